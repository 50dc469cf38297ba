"""The breaker's positions; time is an argument."""

import threading

import pytest

from earwitness.client import CircuitOpen
from earwitness.client.breaker import Breaker, Position


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def breaker(clock):
    return Breaker(clock, failures=3, cool_s=10)


def fail(breaker, times=1):
    for _ in range(times):
        breaker.admit()
        breaker.report(fine=False)


def test_opens_at_the_last_failure_allowed(breaker):
    fail(breaker, 2)
    assert breaker.position is Position.CLOSED
    fail(breaker)

    assert breaker.position is Position.OPEN
    with pytest.raises(CircuitOpen):
        breaker.admit()


def test_failures_count_only_in_a_row(breaker):
    for _ in range(9):
        fail(breaker, 2)
        breaker.report(fine=True)

    assert breaker.position is Position.CLOSED


@pytest.mark.parametrize(
    ("after_s", "position"), [(9.9, Position.OPEN), (10.0, Position.HALF_OPEN)]
)
def test_half_opens_when_it_has_cooled(breaker, clock, after_s, position):
    fail(breaker, 3)
    clock.now_s += after_s

    assert breaker.position is position


def test_half_open_lets_one_find_out(breaker, clock):
    fail(breaker, 3)
    clock.now_s += 10
    passed, lock = [], threading.Lock()

    def try_it():
        try:
            breaker.admit()
        except CircuitOpen:
            return
        with lock:
            passed.append(1)

    threads = [threading.Thread(target=try_it) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(passed) == 1


def test_success_closes_it(breaker, clock):
    fail(breaker, 3)
    clock.now_s += 10
    breaker.admit()
    breaker.report(fine=True)

    assert breaker.position is Position.CLOSED


def test_failure_opens_it_for_as_long_again(breaker, clock):
    fail(breaker, 3)
    clock.now_s += 10
    fail(breaker)

    with pytest.raises(CircuitOpen) as alone:
        breaker.admit()
    assert alone.value.context["retry_after_s"] == 10


def test_who_never_reports_does_not_block_the_others_for_good(breaker, clock):
    fail(breaker, 3)
    clock.now_s += 10
    breaker.admit()
    clock.now_s += 10

    breaker.admit()
