"""Words moved to onsets and offsets: exact on made sounds, in order on any."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_service.engines.engine import Samples
from gpu_service.hearing.boundaries import HOP_S, refined
from shared.domain.answers import Word
from shared.domain.sound import SAMPLE_RATE

#: Two levels: the window of one reaches over an edge by half its width.
EXACT_S = 0.02


def sound(*bursts: tuple[float, float], length_s: float, noise: float = 0.0) -> Samples:
    """Tones from and to the given seconds, in silence or white noise of that amplitude."""
    t = np.arange(round(length_s * SAMPLE_RATE)) / SAMPLE_RATE
    loud = np.zeros(t.size, bool)
    for start, end in bursts:
        loud |= (t >= start) & (t < end)
    quiet = np.random.default_rng(7).standard_normal(t.size) * noise
    return (0.3 * np.sin(2 * np.pi * 220 * t) * loud + quiet).astype(np.float32)


def words(*spans: tuple[float, float]) -> list[Word]:
    return [Word(start, end, f"w{i}", 0.9) for i, (start, end) in enumerate(spans)]


def times(found: tuple[Word, ...]) -> list[float]:
    return [t for word in found for t in (word.start_s, word.end_s)]


@pytest.mark.parametrize("noise", [0.0, 0.003], ids=["silence", "noise 40 dB below"])
def test_a_word_between_silences_begins_and_ends_with_its_sound(noise: float) -> None:
    """The engine begins it with the clip and ends it too early, as Whisper does."""
    found = refined(words((0.0, 0.6)), sound((0.4, 0.8), length_s=1.2, noise=noise))

    assert times(found) == pytest.approx([0.4, 0.8], abs=EXACT_S)
    assert found[0].source == "engine+energy"
    assert (found[0].text, found[0].confidence) == ("w0", 0.9)


def test_silence_between_two_words_belongs_to_neither() -> None:
    heard = sound((0.2, 0.7), (1.1, 1.6), length_s=2.0)

    found = refined(words((0.15, 0.8), (0.8, 1.5)), heard)

    assert times(found) == pytest.approx([0.2, 0.7, 1.1, 1.6], abs=EXACT_S)


def test_words_said_without_a_pause_meet_at_the_quietest_moment_near() -> None:
    heard = sound((0.2, 1.2), length_s=1.5)
    dip = slice(round(0.68 * SAMPLE_RATE), round(0.72 * SAMPLE_RATE))
    heard[dip] *= 0.3

    found = refined(words((0.2, 0.67), (0.67, 1.2)), heard)

    assert times(found)[1:3] == pytest.approx([0.7, 0.7], abs=EXACT_S)


def test_a_dip_out_of_reach_moves_nothing_beyond_the_reach() -> None:
    heard = sound((0.2, 1.2), length_s=1.5)
    heard[round(0.85 * SAMPLE_RATE) : round(0.9 * SAMPLE_RATE)] *= 0.3

    found = refined(words((0.2, 0.6), (0.6, 1.2)), heard)

    assert found[0].end_s == found[1].start_s == pytest.approx(0.6, abs=0.04 + HOP_S)


def test_a_word_stretched_over_a_long_pause_keeps_its_longer_side() -> None:
    heard = sound((0.2, 0.6), (2.0, 2.8), length_s=3.0)

    found = refined(words((0.2, 0.45), (0.45, 2.8)), heard)

    assert times(found)[2:] == pytest.approx([2.0, 2.8], abs=EXACT_S)


@pytest.mark.parametrize("lead_s", [0.08, -0.08])
def test_what_the_engine_is_too_early_is_taken_away(lead_s: float) -> None:
    """In a steady tone there is nothing to hold on to: only the lead moves the words."""
    said = words((0.5, 0.7), (0.9, 1.1))

    found = refined(said, sound((0.0, 2.0), length_s=2.0), lead_s)

    assert times(found) == pytest.approx([t + lead_s for t in (0.5, 0.7, 0.9, 1.1)])


def test_words_an_aligner_placed_stay_as_they_are() -> None:
    placed = tuple(replace(word, source="aligner") for word in words((0.0, 0.6)))

    assert refined(placed, sound((0.4, 0.8), length_s=1.2), 0.1) == placed


def test_nothing_to_move_or_nothing_to_hear_is_no_mistake() -> None:
    said = tuple(words((0.0, 0.5)))

    assert refined((), sound(length_s=1.0)) == ()
    assert refined(said, np.zeros(0, np.float32)) == said
    assert refined(said, np.zeros(10, np.float32))[0].end_s <= 10 / SAMPLE_RATE
    assert times(refined(said, np.zeros(SAMPLE_RATE, np.float32), 0.1)) == [0.1, 0.6]


@given(
    seed=st.integers(0, 2**32 - 1),
    length_s=st.floats(0.05, 6.0),
    edges=st.lists(st.floats(-0.5, 7.0), max_size=24),
    lead_s=st.floats(-0.3, 0.3),
    in_order=st.booleans(),
)
def test_words_stay_in_order_apart_and_inside_whatever_the_sound(
    seed: int, length_s: float, edges: list[float], lead_s: float, in_order: bool
) -> None:
    dice = np.random.default_rng(seed)
    spans = np.sort(dice.uniform(0, length_s, (6, 2)), axis=1)
    heard = sound(*map(tuple, spans), length_s=length_s, noise=10 ** dice.uniform(-5, -0.5))
    marks = sorted(edges) if in_order else edges
    said = words(*zip(marks[::2], marks[1::2], strict=False))

    found = refined(said, heard, lead_s)

    moments = times(found)
    assert [word.text for word in found] == [word.text for word in said]
    assert moments == sorted(moments)
    assert all(0 <= t <= heard.size / SAMPLE_RATE for t in moments)
    assert refined(said, heard, lead_s) == found


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(2, 8))
def test_a_joint_never_passes_the_far_edges_of_its_words(seed: int, count: int) -> None:
    dice = np.random.default_rng(seed)
    marks = np.sort(dice.uniform(0, 4, count + 1)).tolist()
    spans = np.sort(dice.uniform(0, 4, (5, 2)), axis=1)
    said = words(*pairwise(marks))

    found = refined(said, sound(*map(tuple, spans), length_s=4.0, noise=0.01))

    for (one, following), (before, after) in zip(pairwise(found), pairwise(said), strict=True):
        assert before.start_s - 0.3 <= one.end_s <= after.end_s + 1e-9
        # The outer edges move first, and may move apart.
        earliest = min(before.start_s, one.start_s)
        assert earliest - 1e-9 <= following.start_s <= after.end_s + 0.3
