"""Leaves a gateway alone that fails again and again, until somebody may find out more."""

import threading
from collections.abc import Callable

from earwitness.client.errors import CircuitOpen
from shared.domain import breaker
from shared.domain.breaker import Policy, Position

__all__ = ["Breaker", "Position"]


class Breaker:
    """Opens after `failures` in a row; after `cool_s` one request at a time may find out.

    Safe to share between threads and tasks. Who passes half-open has `cool_s` to report; then
    the next one may find out.
    """

    def __init__(self, clock: Callable[[], float], failures: int = 10, cool_s: float = 10.0):
        self._clock, self._lock = clock, threading.Lock()
        in_a_row = Policy(
            window=failures,
            window_s=float("inf"),
            minimum=failures,
            failure_rate=1.0,
            slow_rate=2.0,
            open_s=cool_s,
            open_most_s=cool_s,
            jitter=0.0,
            probes=1,
        )
        self._breaker = breaker.Breaker(in_a_row)

    @property
    def position(self) -> Position:
        with self._lock:
            return self._breaker.position(self._clock())

    def admit(self) -> None:
        """Pass, or raise CircuitOpen with `retry_after_s`."""
        with self._lock:
            rest_s = self._breaker.admit(self._clock())
        if rest_s > 0:
            raise CircuitOpen(retry_after_s=rest_s)

    def report(self, *, fine: bool) -> None:
        """Say how a request that passed has ended."""
        with self._lock:
            self._breaker.report(self._clock(), fine=fine)
