"""The gain the bench prints, asserted: it is computed, not timed."""

import pytest

from bench.batching import (
    DEPTHS,
    LEAST_GAIN,
    MOST_PADDING,
    all_known,
    by_length,
    in_order,
    lengths,
    ours,
    play,
)
from gpu_service.serving.batches import NEAREST

CLIPS = lengths(1_000)


@pytest.mark.parametrize("depth", DEPTHS)
def test_ours_pays_less_than_arrival_order_and_than_a_sorted_queue(depth: int) -> None:
    mine, theirs = play(ours, depth, CLIPS), play(in_order, depth, CLIPS)

    assert mine.sound_s == pytest.approx(theirs.sound_s) == pytest.approx(sum(CLIPS))
    assert theirs.paid_s / mine.paid_s >= LEAST_GAIN
    assert mine.padding <= MOST_PADDING
    assert mine.paid_s < play(by_length, depth, CLIPS).paid_s


def test_with_all_known_beforehand_sorting_pays_hardly_less() -> None:
    assert play(ours, DEPTHS[0], CLIPS).paid_s <= 1.1 * all_known(CLIPS).paid_s


def test_nobody_waits_longer_than_the_queue_was_deep() -> None:
    """Whoever waited longest leads each batch; sorting lets the longest clip wait for ever."""
    assert DEPTHS[0] <= NEAREST
    assert play(ours, DEPTHS[0], CLIPS).longest_wait < DEPTHS[0]
    assert play(by_length, DEPTHS[0], CLIPS).longest_wait > 2 * DEPTHS[0]
