"""Leaves a gateway alone that fails again and again, until somebody may find out more."""

import threading
from collections.abc import Callable
from enum import StrEnum

from earwitness.client.errors import CircuitOpen


class Position(StrEnum):
    CLOSED = "closed"  #: requests pass
    OPEN = "open"  #: requests are refused here
    HALF_OPEN = "half-open"  #: one request may find out


class Breaker:
    """Opens after `failures` in a row; after `cool_s` one request at a time may find out.

    Safe to share between threads and tasks. Source: Nygard, "Release It!", 2nd edition 2018,
    section "Circuit Breaker".
    """

    def __init__(self, clock: Callable[[], float], failures: int = 10, cool_s: float = 10.0):
        self._clock, self._most, self._cool_s = clock, failures, cool_s
        self._lock = threading.Lock()
        self._failures = 0
        self._open_until_s = 0.0  #: while open: when somebody may find out

    @property
    def position(self) -> Position:
        with self._lock:
            if self._failures < self._most:
                return Position.CLOSED
            return Position.OPEN if self._rest_s() > 0 else Position.HALF_OPEN

    def admit(self) -> None:
        """Pass, or raise CircuitOpen with `retry_after_s`.

        Who passes half-open has `cool_s` to report; then the next one may find out.
        """
        with self._lock:
            if self._failures < self._most:
                return
            rest_s = self._rest_s()
            if rest_s > 0:
                raise CircuitOpen(retry_after_s=rest_s)
            self._open_until_s = self._clock() + self._cool_s

    def report(self, *, fine: bool) -> None:
        """Say how a request that passed has ended."""
        with self._lock:
            self._failures = 0 if fine else self._failures + 1
            if self._failures >= self._most:
                self._open_until_s = self._clock() + self._cool_s

    def _rest_s(self) -> float:
        return self._open_until_s - self._clock()
