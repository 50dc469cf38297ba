"""What an engine teaches about itself: how long a call takes, how much fits."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_service.serving.bound import FULL, LEAST_S, PROBE_AFTER, PROBE_BY, Bound
from gpu_service.serving.pace import BASE_LIMIT_S, ENOUGH, HANGS, Pace

costs = st.floats(0.5, 500.0)


def learnt(calls: list[tuple[float, float]]) -> Pace:
    pace = Pace()
    for sound_s, taken_s in calls:
        pace = pace.after(sound_s, taken_s)
    return pace


@settings(deadline=None)
@given(st.floats(0.001, 2.0), st.floats(0.001, 2.0))
def test_a_pace_is_found_again(call_s: float, per_s: float) -> None:
    calls = [(float(s), call_s + per_s * s) for s in range(1, 30)]

    assert learnt(calls).fit() == (pytest.approx(call_s, rel=1e-3), pytest.approx(per_s, rel=1e-3))


def test_an_engine_that_became_slower_is_known_to_be_after_a_while() -> None:
    rng = random.Random(1)
    fast = [(s, 0.1 * s) for s in (rng.uniform(1, 28) for _ in range(200))]
    slow = [(s, 0.5 * s) for s in (rng.uniform(1, 28) for _ in range(200))]

    assert learnt(fast + slow).expected_s(10.0) == pytest.approx(5.0, rel=0.05)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0.0, 500.0), st.floats(0.0, 500.0)), max_size=60), costs)
def test_limits_are_always_usable_and_grow_with_the_sound(
    calls: list[tuple[float, float]], sound_s: float
) -> None:
    pace = learnt(calls)

    assert BASE_LIMIT_S <= pace.limit_s(sound_s) <= pace.limit_s(2 * sound_s)
    assert pace.limit_s(sound_s) >= HANGS * pace.expected_s(sound_s)
    assert not pace.slow(sound_s, 0.0)


def test_nothing_is_slow_before_the_pace_is_known() -> None:
    assert not learnt([(1.0, 0.1)] * (ENOUGH - 1)).slow(1.0, 1e6)
    assert learnt([(1.0, 0.1)] * ENOUGH).slow(1.0, 1e6)


def test_equal_lengths_alone_do_not_tell_call_and_pace_apart() -> None:
    assert learnt([(10.0, 5.0)] * 20).expected_s(10.0) == pytest.approx(5.0, rel=1e-3)


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), costs), max_size=300))
def test_a_bound_never_exceeds_its_most_nor_half_of_what_was_lost_last(
    course: list[tuple[bool, float]],
) -> None:
    bound = Bound(200.0, 200.0)
    for fine, cost in course:
        bound = bound.held(cost) if fine else bound.exhausted(cost)
        assert LEAST_S <= bound.now_s <= 200.0
        assert fine or bound.now_s <= max(LEAST_S, cost / 2)


def test_a_bound_is_probed_upward_only_by_full_batches() -> None:
    bound = Bound(200.0, 200.0).exhausted(100.0)
    for _ in range(10 * PROBE_AFTER):
        bound = bound.held(FULL * 50.0 - 1.0)
    assert bound.now_s == 50.0

    for _ in range(PROBE_AFTER):
        bound = bound.held(50.0)

    assert bound.now_s == pytest.approx(50.0 * PROBE_BY)
