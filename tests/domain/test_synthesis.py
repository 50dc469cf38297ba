"""One answer of several: who stands, what is left out, who contradicts whom."""

import pytest

from shared.domain.answers import Answer, Embedding, SoundEvent, Task
from shared.domain.synthesis import (
    Given,
    Strategy,
    Synthesis,
    better,
    disputed,
    merged,
    synthesised,
)

LATEST, WEIGHTED = Synthesis(Strategy.LATEST), Synthesis(Strategy.WEIGHTED)


def given(engine, confidence=None, text="x", *, coverage=None, **more):
    known = confidence is not None
    answer = Answer(engine, Task.TRANSCRIBE, text, confidence=confidence, calibrated=known)
    return Given(answer, coverage, **more)


def stands(answers, made=Synthesis()):
    return synthesised(answers, made).answer.engine


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (given("a", 0.7), given("b", 0.5), "a"),
        (given("a", 0.5), given("b", 0.7), "b"),
        (given("a", 0.5), given("b", 0.5), "b"),
        (given("a", 0.9, coverage=0.5), given("b", 0.5, coverage=1.0), "b"),
        (given("a", 0.9, coverage=0.6), given("b", 0.5, coverage=1.0), "a"),
        (given("a", coverage=0.9), given("b", coverage=0.5), "a"),
        (given("a", coverage=0.5), given("b", coverage=0.9), "b"),
        (given("a", 0.2, coverage=0.9), given("b", coverage=0.8), "a"),
        (given("a", 0.7, coverage=1.0), given("b", coverage=1.0), "b"),
        (given("a"), given("b"), "b"),
    ],
)
def test_the_better_of_two_is_told_by_belief_then_coverage_then_order(one, other, expected):
    assert better(one, other).answer.engine == expected


@pytest.mark.parametrize(
    ("made", "expected"),
    [(Synthesis(), "b"), (LATEST, "c"), (Synthesis(Strategy.LATEST, quality=0.65), "b")],
    ids=["highest", "latest", "latest of those good enough"],
)
def test_strategies_choose(made, expected):
    assert stands([given("a", 0.6), given("b", 0.7), given("c", 0.5)], made) == expected


def test_an_accepted_answer_stands_before_a_surer_one_with_a_higher_threshold():
    assert stands([given("a", 0.85), given("b", 0.82, accepted=True)]) == "b"


@pytest.mark.parametrize(("quality", "expected"), [(0.5, "b"), (0.5001, "a"), (1.0, "b")])
def test_what_is_below_the_quality_is_left_out_unless_nothing_else_is_there(quality, expected):
    answers = [given("a", 0.6), given("b", 0.5)]

    assert stands(answers, Synthesis(Strategy.LATEST, quality=quality)) == expected


def test_an_answer_of_unknown_confidence_is_not_below_anything():
    answers = [given("a"), given("b", 0.5)]

    assert stands(answers, Synthesis(Strategy.LATEST, quality=0.9)) == "a"


class TestVotes:
    def test_two_that_agree_outvote_a_surer_one(self):
        answers = [
            given("a", 0.6, "the cat sat on the mat"),
            given("b", 0.9, "he cut a hat"),
            given("c", 0.6, "The cat sat on the mat!"),
        ]

        assert stands(answers, WEIGHTED) == "c"
        assert stands(answers) == "b"

    def test_between_two_the_weight_times_the_confidence_decides(self):
        answers = [given("a", 0.6, "one two"), given("b", 0.8, "three four")]

        assert stands(answers, WEIGHTED) == "b"
        assert stands(answers, Synthesis(Strategy.WEIGHTED, {"a": 2.0})) == "a"

    def test_an_answer_of_unknown_confidence_counts_half(self):
        doubted = [given("a", text="one"), given("b", 0.49, "two")]
        believed = [given("a", text="one"), given("b", 0.51, "two")]

        assert (stands(doubted, WEIGHTED), stands(believed, WEIGHTED)) == ("a", "b")

    def test_an_engine_of_weight_nothing_counts_where_nobody_else_does(self):
        nothing = Synthesis(Strategy.WEIGHTED, {"a": 0.0, "b": 0.0})

        assert stands([given("a", 0.9, "one"), given("b", 0.5, "two")], nothing) == "b"


def heard(*events):
    return tuple(SoundEvent(label, start, end, sure) for label, start, end, sure in events)


class TestSounds:
    def test_what_overlaps_under_one_label_is_one_sound_of_mean_times(self):
        one, other = heard(("Dog", 1.0, 3.0, 0.8)), heard(("dog", 2.0, 4.0, 0.4))

        assert merged([one, other], [3.0, 1.0]) == heard(("Dog", 1.25, 3.25, pytest.approx(0.7)))

    def test_what_only_touches_stays_two_sounds(self):
        one, other = heard(("dog", 1.0, 2.0, None)), heard(("dog", 2.0, 3.0, None))

        assert merged([one, other], [1.0, 1.0]) == one + other

    @pytest.mark.parametrize(("vote", "told"), [(1.0, True), (0.99, False)])
    def test_a_sound_needs_half_of_the_votes(self, vote, told):
        found = merged([heard(("siren", 0.0, 1.0, 0.9)), ()], [vote, 1.0])

        assert bool(found) is told

    def test_sounds_are_told_in_the_order_of_time(self):
        found = merged([heard(("b", 3.0, 4.0, None)), heard(("a", 1.0, 2.0, None))], [1.0, 1.0])

        assert [e.label for e in found] == ["a", "b"]

    def test_only_votes_mix_sounds(self):
        dog, cat = heard(("dog", 0.0, 1.0, 0.9)), heard(("cat", 0.0, 1.0, 0.9))
        answers = [
            Given(Answer(name, Task.CLASSIFY, confidence=c, calibrated=True, events=events))
            for name, c, events in (("a", 0.9, dog), ("b", 0.9, cat))
        ]

        assert synthesised(answers, WEIGHTED).answer.events == cat + dog
        assert synthesised(answers, LATEST).answer.events == cat


def test_vectors_of_two_engines_are_never_mixed():
    vectors = [Embedding((float(n),), "", 1, 1.0) for n in range(2)]
    answers = [Given(Answer("e", Task.EMBED, embedding=v)) for v in vectors]

    assert synthesised(answers, WEIGHTED) is answers[1]


class TestDisputes:
    """20 % of five words is one word: that much two sure engines may differ."""

    def test_two_sure_engines_that_differ_are_named_the_believed_one_first(self):
        one = given("a", 0.85, "we meet at nine o'clock", sure=True)
        other = given("b", 0.95, "we eat the wine clock", sure=True)

        assert disputed([one, other], one, Synthesis()) == ("a", "b")
        assert disputed([one, other], other, Synthesis()) == ("b", "a")

    @pytest.mark.parametrize(
        ("text", "expected"),
        [("one two three four nine", ()), ("one two three eight nine", ("a", "b"))],
    )
    def test_a_share_of_the_words_may_differ(self, text, expected):
        one = given("a", 0.9, "One, two, three, four, five.", sure=True)

        assert disputed([one, given("b", 0.9, text, sure=True)], one, Synthesis()) == expected

    def test_a_guess_contradicts_nobody(self):
        one, guess = given("a", 0.9, "yes", sure=True), given("b", 0.7, "no")

        assert disputed([one, guess], one, Synthesis()) == ()
        assert disputed([one, guess], guess, Synthesis()) == ()
