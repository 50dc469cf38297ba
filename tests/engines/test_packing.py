"""Clips share windows, and each gets its own words back."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_service.engines.packing import Place, Window, pack, split
from shared.domain.answers import Word

durations = st.lists(st.floats(0.01, 28.0), max_size=40)


@given(durations, st.floats(0.0, 1.5))
def test_every_clip_is_in_one_window_and_no_window_is_over_the_limit(
    durations_s: list[float], gap_s: float
) -> None:
    found = pack(durations_s, 28.0, gap_s)

    assert sorted(p.clip for w in found for p in w.places) == list(range(len(durations_s)))
    for window in found:
        assert window.duration_s <= 28.0 + 1e-9
        for place in window.places:
            assert place.end_s - place.start_s == pytest.approx(durations_s[place.clip])
        for a, b in pairwise(window.places):
            assert b.clip > a.clip
            assert b.start_s - a.end_s == pytest.approx(gap_s)


@given(durations)
def test_no_two_windows_could_be_one(durations_s: list[float]) -> None:
    found = pack(durations_s, 28.0, 0.5)

    sizes = sorted(window.duration_s for window in found)
    assert all(a + 0.5 + b > 28.0 - 1e-9 for a, b in pairwise(sizes))


@pytest.mark.parametrize(
    ("durations_s", "count"),
    [([], 0), ([28.0], 1), ([13.75, 13.75], 1), ([13.75, 13.76], 2), ([20, 15, 7, 12], 2)],
    ids=["none", "full", "just fits", "just not", "long first"],
)
def test_windows_needed(durations_s: list[float], count: int) -> None:
    assert len(pack(durations_s, 28.0, 0.5)) == count


def test_a_clip_longer_than_a_window_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="longer than the window"):
        pack([28.01], 28.0, 0.5)


TWO = Window((Place(3, 0.0, 2.0), Place(5, 3.0, 6.0)))


@pytest.mark.parametrize(
    ("start_s", "end_s", "owner", "inside"),
    [
        (0.5, 1.0, 0, (0.5, 1.0)),
        (1.9, 2.3, 0, (1.9, 2.0)),
        (2.3, 2.7, 1, (0.0, 0.0)),
        (2.2, 2.7, 0, (2.0, 2.0)),
        (2.8, 3.4, 1, (0.0, 0.4)),
        (5.5, 9.0, 1, (2.5, 3.0)),
    ],
    ids=[
        "inside",
        "over the end",
        "gap, middle",
        "gap, nearer first",
        "over the start",
        "past all",
    ],
)
def test_a_word_goes_to_the_clip_of_its_midpoint(
    start_s: float, end_s: float, owner: int, inside: tuple[float, float]
) -> None:
    parts = split(TWO, [Word(start_s, end_s, "x", 0.5)])

    (word,) = parts[owner]
    assert (word.start_s, word.end_s) == pytest.approx(inside)
    assert parts[1 - owner] == ()


@given(durations.filter(bool), st.lists(st.tuples(st.floats(0, 30), st.floats(0, 2)), max_size=30))
def test_no_word_is_lost_or_doubled_and_all_lie_inside_their_clip(
    durations_s: list[float], said: list[tuple[float, float]]
) -> None:
    words = [Word(at, at + length, str(i), None) for i, (at, length) in enumerate(said)]

    for window in pack(durations_s, 28.0, 0.5):
        parts = split(window, words)

        assert sorted(w.text for part in parts for w in part) == sorted(w.text for w in words)
        for place, part in zip(window.places, parts, strict=True):
            length = place.end_s - place.start_s
            assert all(0 <= w.start_s <= w.end_s <= length for w in part)
