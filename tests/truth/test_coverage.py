"""A1: every half minute's own words are found, however long the recording."""

import pytest

from truth.coverage import (
    LEAST_COVERAGE,
    LEAST_RIGHT,
    WINDOW_S,
    Listened,
    carrier,
    found,
    listened,
    lost,
    measured,
    own_words,
)

LONGEST_S = 10_800


def check(one: Listened) -> None:
    misheard = [text for text, hit in zip(one.texts, found(one.texts), strict=True) if not hit]
    print(f"misheard: {misheard}")
    assert lost(one.texts) == []
    assert len(misheard) <= (1 - LEAST_RIGHT) * len(one.texts)
    assert len(one.texts) == one.length_s / WINDOW_S
    assert one.coverage >= LEAST_COVERAGE


def test_three_hours_have_words_of_their_own_in_every_window() -> None:
    assert len({own_words(n) for n in range(round(LONGEST_S / WINDOW_S))}) == LONGEST_S / WINDOW_S


def test_a_window_is_found_by_both_its_words_only() -> None:
    texts = [carrier(0), carrier(2), carrier(2).replace("blue", "new")]

    assert found(texts) == [True, False, False]


def test_a_window_is_lost_where_its_words_are_missing_not_where_they_are_misheard() -> None:
    misheard = carrier(0).replace("red", "read")

    assert lost([carrier(0), misheard, carrier(2)]) == []
    assert lost(["", carrier(1).split(".")[0]]) == ["", carrier(1).split(".")[0]]


def test_what_was_kept_reaches_the_goal() -> None:
    figures = measured()

    assert "300 s" in figures
    for one in figures.values():
        assert one["coverage"] >= LEAST_COVERAGE
        assert one["low"] <= one["found"] / one["windows"] <= one["high"]


@pytest.mark.whisper
def test_five_minutes_are_heard_whole() -> None:
    """Half a minute of CPU: ten windows with 16 s of speech each, Whisper base."""
    check(listened(300))


@pytest.mark.slow
@pytest.mark.timeout(2_400)
def test_three_hours_are_heard_whole() -> None:
    """360 windows with 5 s of speech each."""
    check(listened(LONGEST_S))
