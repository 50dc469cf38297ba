"""How much of what was spoken an answer accounts for."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.answers import Answer, Task, Word
from shared.domain.coverage import LONGEST_WORD_S, SLACK_S, covered
from shared.domain.sound import Facts, Quality, Segment, Span, Survey
from shared.domain.stretches import joined, seconds, within, without

SEGMENT = Segment(0, 10.0, 30.0)


def survey(*channels: tuple[Span, ...]) -> Survey:
    facts = Facts("wav", "pcm_s16le", 16_000, 1, 60.0)
    return Survey(facts, Quality(-1, 0, -20, 0, -60), (SEGMENT,), (), (), "p", channels)


def answer(*spans: Span, text: str = "") -> Answer:
    words = tuple(Word(a, b, "word", None) for a, b in spans)
    return Answer("e", Task.TRANSCRIBE, text or " ".join(w.text for w in words), words=words)


def test_words_over_all_the_speech_account_for_all_of_it():
    said = answer(*((10.0 + n, 10.9 + n) for n in range(20)))

    assert covered(said, SEGMENT, survey(((10.0, 30.0),))) == 1.0


def test_no_words_account_for_no_speech():
    assert covered(answer(), SEGMENT, survey(((10.0, 30.0),))) == 0.0


def test_where_nobody_speaks_nothing_is_missing():
    assert covered(answer(), SEGMENT, survey(((0.0, 10.0), (30.0, 31.0)))) == 1.0


@pytest.mark.parametrize(("said", "share"), [(answer((10.0, 11.0)), 1.0), (answer(), 0.0)])
def test_without_detectors_only_whether_there_is_text_is_known(said: Answer, share: float):
    assert covered(said, SEGMENT, survey()) == share


def test_a_word_stretched_over_what_was_dropped_does_not_account_for_it():
    said = answer((10.0, 10.5), (10.5, 30.0))

    expected = (0.5 + LONGEST_WORD_S + SLACK_S) / 20

    assert covered(said, SEGMENT, survey(((10.0, 30.0),))) == pytest.approx(expected)


def test_a_word_over_a_pause_accounts_for_the_speech_at_both_ends():
    said = answer((10.0, 30.0))

    assert covered(said, SEGMENT, survey(((10.0, 10.7), (29.5, 30.0)))) == 1.0


def test_the_last_third_without_words_is_missing():
    said = answer(*((10.0 + n, 10.9 + n) for n in range(13)))

    assert covered(said, SEGMENT, survey(((10.0, 30.0),))) < 0.75


def test_a_segment_of_a_channel_is_judged_by_its_own_voices():
    second, both = Segment(0, 10.0, 30.0, 1), survey(((10.0, 30.0),), ((10.0, 12.0),))
    said = answer((10.0, 12.0))

    assert covered(said, second, both) == 1.0
    assert covered(said, Segment(0, 10.0, 30.0, 0), both) < 0.2
    assert covered(said, Segment(0, 10.0, 30.0), both) < 0.2


@pytest.mark.parametrize(("count", "whole"), [(30, True), (4, False)], ids=["enough", "far short"])
def test_a_text_without_times_is_judged_by_its_length(count: int, whole: bool):
    said = answer(text="word " * count)

    assert (covered(said, SEGMENT, survey(((10.0, 30.0),))) >= 0.99) is whole


@st.composite
def spans(draw: st.DrawFn) -> list[Span]:
    found, now = list[Span](), 0.0
    for gap, length in draw(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), max_size=9)):
        found.append((now + gap, now + gap + length))
        now = found[-1][1]
    return found


@given(spans(), spans())
def test_what_is_taken_and_what_is_left_are_the_whole(one: list[Span], other: list[Span]):
    left = without(one, other)
    shared = [piece for a, b in other for piece in within(one, a, b)]

    assert seconds(left) + seconds(shared) == seconds(one)
    assert joined([*left, *shared]) == joined(one)


@given(spans(), spans())
def test_joined_spans_are_sorted_and_apart(one: list[Span], other: list[Span]):
    whole = joined([*one, *other])

    assert all(a[1] < b[0] for a, b in pairwise(whole))
    assert without(whole, one) == without(joined(other), one)


@given(spans(), spans(), st.integers(0, 30))
def test_more_words_never_account_for_less(voices: list[Span], words: list[Span], extra: int):
    plan, some = survey(tuple(voices)), answer(*words)
    more = answer(*words, (extra, extra + 1))

    assert covered(more, SEGMENT, plan) >= covered(some, SEGMENT, plan)
