"""Spans become segments: whole, short enough, in order."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_service.hearing.segmentation import COMFORTABLE_SILENCE_S, OVERLAP_S, cut, windows
from gpu_service.hearing.voice_activity import VoiceActivity
from shared.domain.sound import MAX_SEGMENT_S, Segment
from tests.engines.speech import SENTENCES, said, silence

Span = tuple[float, float]


@st.composite
def speech(draw: st.DrawFn) -> tuple[list[Span], float]:
    """Sorted spans that are apart, and the length of the sound they are in."""
    pieces = draw(st.lists(st.tuples(st.floats(0, 9), st.floats(0.01, 70)), max_size=25))
    now, found = 0.0, list[Span]()
    for gap, length in pieces:
        found.append((now + gap, now + gap + length))
        now = found[-1][1]
    return found, now + draw(st.floats(0, 5))


@given(speech(), st.none() | st.integers(0, 7))
def test_segments_are_sorted_short_and_hold_every_second_of_speech(
    heard: tuple[list[Span], float], channel: int | None
) -> None:
    found, duration_s = heard

    segments = cut(found, duration_s, channel)

    assert [s.index for s in segments] == list(range(len(segments)))
    assert all(s.channel == channel for s in segments)
    assert all(0 <= s.start_s < s.end_s <= duration_s for s in segments)
    assert all(s.duration_s <= MAX_SEGMENT_S for s in segments)
    assert all(a.end_s <= b.start_s for a, b in pairwise(segments))
    for start, end in found:
        assert covered(segments, start, end) == pytest.approx(end - start, abs=1e-6)


def covered(segments: tuple[Segment, ...], start: float, end: float) -> float:
    return sum(max(0.0, min(s.end_s, end) - max(s.start_s, start)) for s in segments)


@given(st.floats(0.001, 100_000))
def test_windows_tile_the_whole_time_line_with_the_fewest_equal_pieces(duration_s: float) -> None:
    tiles = windows(duration_s)

    assert tiles[0].start_s == 0
    assert tiles[-1].end_s == duration_s
    assert [t.index for t in tiles] == list(range(len(tiles)))
    assert all(t.duration_s <= MAX_SEGMENT_S for t in tiles)
    assert all(b.start_s - a.end_s == pytest.approx(0, abs=1e-9) for a, b in pairwise(tiles))
    assert (len(tiles) - 1) * MAX_SEGMENT_S < duration_s
    assert max(t.duration_s for t in tiles) - min(t.duration_s for t in tiles) < 1e-6


@pytest.mark.parametrize(
    ("duration_s", "count"), [(0.0, 0), (0.1, 1), (28.0, 1), (28.001, 2), (84.0, 3)], ids=str
)
def test_windows_needed(duration_s: float, count: int) -> None:
    assert len(windows(duration_s)) == count


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([], []),
        ([(1.0, 1.4)], [(1.0, 1.4)]),
        ([(0, 10), (12.0, 20)], [(0, 20)]),
        ([(0, 10), (12.01, 20)], [(0, 10), (12.01, 20)]),
        ([(0, 28)], [(0, 28)]),
        ([(0, 20), (21, 28)], [(0, 28)]),
        ([(0, 20), (21, 28.1)], [(0, 20), (21, 28.1)]),
        ([(0, 17), (17.3, 20), (20.1, 26), (26.1, 40)], [(0, 17), (17.3, 40)]),
        ([(0, 17), (17.1, 20), (20.19, 26), (26.1, 40)], [(0, 20), (20.19, 40)]),
        ([(0, 5), (6, 30)], [(0, 5), (6, 30)]),
        ([(-1, 5), (9, 99)], [(0, 5), (9, 37), (37, 50)]),
        ([(60, 70)], []),
    ],
    ids=[
        "none",
        "a word",
        "short silence",
        "long silence",
        "just fits",
        "two just fit",
        "just not",
        "last comfortable silence",
        "no comfortable silence: the longest",
        "far from filled",
        "outside the sound",
        "after the sound",
    ],
)
def test_where_speech_is_cut(spans: list[Span], expected: list[Span]) -> None:
    assert [(s.start_s, s.end_s) for s in cut(spans, 50.0)] == expected


def test_a_long_span_is_cut_where_the_caller_says_it_is_quietest() -> None:
    asked: list[Span] = []

    def quietest(start_s: float, end_s: float) -> float:
        asked.append((start_s, end_s))
        return start_s + 2

    found = cut([(10, 60)], 60.0, quietest=quietest)

    assert [s.end_s for s in found] == pytest.approx([28.8, 47.6, 60])
    assert asked[0] == pytest.approx((26.8, 38.0))


@pytest.mark.parametrize("wrong", [0.0, 1e9], ids=["too early", "too late"])
def test_a_moment_outside_what_was_asked_does_no_harm(wrong: float) -> None:
    found = cut([(0, 100)], 100.0, quietest=lambda start_s, end_s: wrong)

    assert all(s.duration_s <= MAX_SEGMENT_S for s in found)
    assert covered(found, 0, 100) == pytest.approx(100)


@given(speech(), st.floats(0, 28), st.booleans())
def test_pieces_share_sound_only_where_speech_goes_on(
    heard: tuple[list[Span], float], late_s: float, goes_on: bool
) -> None:
    found, duration_s = heard

    segments = cut(
        found,
        duration_s,
        quietest=lambda start_s, end_s: min(start_s + late_s, end_s),
        goes_on=lambda moment_s: goes_on,
    )

    assert all(s.duration_s <= MAX_SEGMENT_S for s in segments)
    assert all(a.start_s < b.start_s and a.end_s < b.end_s for a, b in pairwise(segments))
    shared = [a.end_s - b.start_s for a, b in pairwise(segments) if a.end_s > b.start_s]
    assert shared == pytest.approx([OVERLAP_S] * len(shared), abs=1e-6)
    assert goes_on or not shared
    inner = [s for s in segments if any(a < s.end_s < b for a, b in found)]
    assert len(shared) == (len(inner) if goes_on else 0)


def test_speech_without_a_pause_is_cut_with_an_overlap_and_with_one_without() -> None:
    """Two voices over each other never stop; one that says a sentence again and again does."""
    one = said(" ".join(SENTENCES[:6]))
    other = np.roll(said(" ".join(SENTENCES[6:]), "rms"), 16_000)
    size = min(one.size, other.size)
    never_stops = np.tile(one[:size] * 0.5 + other[:size] * 0.5 + np.roll(one[:size], 24_000), 4)
    calm = np.tile(np.concatenate([said(SENTENCES[0]), silence(0.6)]), 12)

    cuts = []
    for sound in (never_stops, calm):
        voice = VoiceActivity()
        voice.add(sound)
        whole = [(0.0, sound.size / 16_000)]
        found = cut(whole, whole[0][1], quietest=voice.quietest, goes_on=voice.goes_on)
        cuts.append([a.end_s > b.start_s for a, b in pairwise(found)])

    assert any(cuts[0])
    assert cuts[1]
    assert not any(cuts[1])


def test_a_speech_without_pauses_is_cut_between_sentences() -> None:
    """Each cut falls where the sound is quiet, so no word is cut in two."""
    sound = said(" ".join(SENTENCES))
    voice = VoiceActivity()
    voice.add(sound)

    segments = cut(voice.result(), sound.size / 16_000, quietest=voice.quietest)

    assert len(segments) >= 2
    for segment in segments[:-1]:
        at = round(segment.end_s * 16_000)
        around = sound[at - 640 : at + 640]
        assert np.sqrt(np.mean(around**2)) < 0.1 * np.sqrt(np.mean(sound**2))


def test_a_comfortable_silence_is_shorter_than_one_that_ends_a_segment() -> None:
    assert 0 < COMFORTABLE_SILENCE_S < 2.0
