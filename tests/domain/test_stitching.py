"""Two segments heard the same seconds: every word is told once."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.domain.answers import Answer, Task, Word
from shared.domain.cascade import Decided
from shared.domain.sound import Facts, Quality, Segment, Survey
from shared.domain.spoken import spoken
from shared.domain.stitching import APART_S, apart, stitched
from shared.domain.subtitles import cues

#: Few words, so that most runs have repeats next to each other and near-repeats after them.
WORDS = st.sampled_from(["no", "no,", "No.", "yes", "the", "then", "them", "go"])
SEGMENTS = (Segment(0, 0.0, 16.0), Segment(1, 14.0, 30.0))
OVERLAP = (14.0, 16.0)


def answer(*words: Word) -> Answer:
    return Answer("e", Task.TRANSCRIBE, " ".join(w.text for w in words), "en", words=words)


def decided(*answers: Answer) -> list[Decided]:
    return [Decided(n, a, ()) for n, a in enumerate(answers)]


def texts(*answers: Answer, segments: tuple[Segment, ...] = SEGMENTS) -> list[str]:
    told = stitched(segments, decided(*answers))
    return [word.text for d in told for word in d.answer.words]


@st.composite
def heard(draw: st.DrawFn) -> tuple[list[Word], Answer, Answer]:
    """Words as they were said around an overlap, and what each segment has of them.

    A segment has each word that lies wholly in it, moved by up to a fifth of the time between
    two words, or half of APART_S if that is less; a word its edge cuts is heard as something
    else, or not at all.
    """
    said, now = list[Word](), 12.0 + draw(st.floats(0, 0.5))
    while now < 18.0:
        length = draw(st.floats(0.08, 0.5))
        said.append(Word(now, now + length, draw(WORDS), None))
        now += length + draw(st.floats(0.02, 0.3))
    gaps = [_middle(b) - _middle(a) for a, b in pairwise(said)]
    off_s = min([APART_S / 2, *(gap / 5 for gap in gaps)]) * 0.99
    return said, _of(draw, said, SEGMENTS[0], off_s), _of(draw, said, SEGMENTS[1], off_s)


def _middle(word: Word) -> float:
    return (word.start_s + word.end_s) / 2


def _of(draw: st.DrawFn, said: list[Word], segment: Segment, off_s: float) -> Answer:
    words = list[Word]()
    for word in said:
        if segment.start_s <= word.start_s and word.end_s <= segment.end_s:
            off = draw(st.floats(-off_s, off_s))
            words.append(replace(word, start_s=word.start_s + off, end_s=word.end_s + off))
        elif word.end_s > segment.start_s and word.start_s < segment.end_s and draw(st.booleans()):
            inside = (max(word.start_s, segment.start_s), min(word.end_s, segment.end_s))
            words.append(Word(*inside, "mumble", None))
    return answer(*words)


@settings(max_examples=500)
@given(heard())
def test_nothing_is_dropped_and_nothing_is_doubled(
    found: tuple[list[Word], Answer, Answer],
) -> None:
    said, first, second = found

    told = texts(first, second)

    assert told == [w.text for w in said if w.start_s >= 0.0 and w.end_s <= 30.0]


@given(heard())
def test_the_text_is_its_words_and_times_rise(found: tuple[list[Word], Answer, Answer]) -> None:
    _, first, second = found

    told = stitched(SEGMENTS, decided(first, second))

    for d in told:
        assert d.answer.text.split() == [w.text for w in d.answer.words]
    starts = [cue.start_s for cue in cues(spoken(survey(*SEGMENTS), decided(first, second)))]
    assert starts == sorted(starts)


def survey(*segments: Segment) -> Survey:
    facts = Facts("wav", "pcm_s16le", 16_000, 1, 90.0)
    return Survey(facts, Quality(-1, 0, -20, 0, -60), segments, (), (), "p")


def at(text: str, *starts: float) -> Answer:
    return answer(*(Word(s, s + 0.3, t, None) for t, s in zip(text.split(), starts, strict=True)))


def test_three_segments_in_a_row_are_stitched_at_both_cuts() -> None:
    three = (Segment(0, 0.0, 16.0), Segment(1, 14.0, 30.0), Segment(2, 28.0, 40.0))

    told = texts(
        at("a b c d", 10, 14.5, 15.1, 15.6),
        at("b c d e f g", 14.5, 15.1, 15.6, 20, 28.5, 29.1),
        at("f g h", 28.5, 29.1, 35),
        segments=three,
    )

    assert told == list("abcdefgh")


def test_where_no_word_is_shared_each_keeps_its_half() -> None:
    assert texts(at("a b c", 10, 14.3, 15.2), at("x y z", 14.3, 15.2, 20)) == ["a", "b", "y", "z"]


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        ("we walk to the old bridge", "the old bridge is closed", "is closed"),
        ("we walk to the old bridge", "is closed today", "is closed today"),
        ("all of it", "all of it", ""),
        ("", "the old bridge", "the old bridge"),
        ("the old bridge", "", ""),
    ],
    ids=["repeated", "nothing shared", "all of it", "first mute", "second mute"],
)
def test_without_word_times_the_second_loses_what_the_first_ends_with(
    one: str, other: str, told: str
) -> None:
    both = [Answer("e", Task.TRANSCRIBE, text) for text in (one, other)]

    kept = stitched(SEGMENTS, decided(*both))

    assert [d.answer.text for d in kept] == [one, told]


def test_only_overlaps_of_one_channel_are_stitched() -> None:
    channels = (Segment(0, 0.0, 16.0, 0), Segment(1, 14.0, 30.0, 1), Segment(2, 16.0, 30.0, 0))
    words = at("same", 15.0)

    assert texts(words, words, segments=channels) == ["same", "same"]
    assert apart(channels) == {s.index: s for s in channels}


def test_an_answer_without_times_stands_for_its_half_of_the_overlap() -> None:
    own = apart(SEGMENTS)

    assert (own[0].end_s, own[1].start_s) == (15.0, 15.0)


@example(["no"] * 12)
@given(st.lists(WORDS, min_size=4, max_size=12))
def test_a_word_said_again_and_again_is_told_as_often(said: list[str]) -> None:
    """One word every 0.4 s through the whole overlap, both answers on time."""
    words = [Word(13.0 + 0.4 * n, 13.2 + 0.4 * n, text, None) for n, text in enumerate(said)]
    first = [w for w in words if w.end_s <= OVERLAP[1]]
    second = [w for w in words if w.start_s >= OVERLAP[0]]

    assert texts(answer(*first), answer(*second)) == said
