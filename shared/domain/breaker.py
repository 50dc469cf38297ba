"""Leaves a service alone that fails or is slow too often, until a few calls found out more.

Pure: time and chance are arguments, and whoever shares one between threads brings the lock.
"""

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum


class Position(StrEnum):
    CLOSED = "closed"  #: calls pass
    OPEN = "open"  #: calls are refused here
    HALF_OPEN = "half_open"  #: a few calls may find out


@dataclass(frozen=True, slots=True)
class Policy:
    """When it opens, for how long, and what closes it."""

    window: int = 20  #: the last so many calls are looked at
    window_s: float = 120.0  #: of those, the ones that ended in this time
    minimum: int = 5  #: fewer calls say nothing
    failure_rate: float = 0.5  #: opens at this share of failed calls
    slow_rate: float = 0.8  #: opens at this share of slow calls; above 1 = never
    open_s: float = 10.0  #: the first probe is let through after so long
    open_most_s: float = 60.0  #: each probe that fails doubles that, up to so long
    jitter: float = 0.5  #: and up to this share longer, so that instances do not knock together
    probes: int = 2  #: calls let through half-open; all must be fine to close


@dataclass(slots=True)
class Breaker:
    """Closed -> open at a rate -> half-open after a time -> closed when all probes are fine.

    Source: Nygard, "Release It!", 2nd edition 2018, section "Circuit Breaker"; sliding window
    and slow calls: resilience4j documentation, "CircuitBreaker".
    """

    policy: Policy = field(default_factory=Policy)
    _ended: deque[tuple[float, bool, bool]] = field(default_factory=deque)  #: at, failed, slow
    _open_until_s: float | None = None  #: None while closed
    _reopened: int = 0  #: times a probe failed since it last closed
    _probing: int = 0  #: probes let through
    _probes_fine: int = 0
    _probes_until_s: float = 0.0  #: who has not reported by then is not waited for

    def position(self, now_s: float) -> Position:
        if self._open_until_s is None:
            return Position.CLOSED
        return Position.OPEN if now_s < self._open_until_s else Position.HALF_OPEN

    def rest_s(self, now_s: float) -> float:
        """Seconds until a call may pass; 0.0 = one may now."""
        if self._open_until_s is None:
            return 0.0
        if now_s < self._open_until_s:
            return self._open_until_s - now_s
        free = self._probing < self.policy.probes or now_s >= self._probes_until_s
        return 0.0 if free else self._probes_until_s - now_s

    def admit(self, now_s: float) -> float:
        """Let a call pass (0.0), or say in how many seconds to ask again."""
        rest_s = self.rest_s(now_s)
        if rest_s == 0.0 and self._open_until_s is not None:
            if self._probing >= self.policy.probes:  # none of them came back
                self._probing = self._probes_fine = 0
            self._probing += 1
            self._probes_until_s = now_s + self.policy.open_s
        return rest_s

    def report(self, now_s: float, *, fine: bool, slow: bool = False, chance: float = 0.0) -> None:
        """Say how a call that passed has ended; a call from before it opened is not counted.

        Args:
            chance: uniform in 0..1, drawn by the caller, spreads the time it stays open.
        """
        position = self.position(now_s)
        if position is Position.CLOSED:
            self._ended.append((now_s, not fine, slow))
            if self._tripped(now_s):
                self._open(now_s, chance)
        elif position is Position.HALF_OPEN and self._probing:
            self._found_out(now_s, fine and not slow, chance)

    def _found_out(self, now_s: float, fine: bool, chance: float) -> None:
        if not fine:
            self._reopened += 1
            self._open(now_s, chance)
            return
        self._probes_fine += 1
        if self._probes_fine >= self.policy.probes:
            self._open_until_s, self._reopened = None, 0
            self._ended.clear()

    def _open(self, now_s: float, chance: float) -> None:
        # Bounded before it is raised: 2 ** 1024 is no float.
        full_s = min(self.policy.open_most_s, self.policy.open_s * 2.0 ** min(self._reopened, 30))
        self._open_until_s = now_s + full_s * (1.0 + self.policy.jitter * chance)
        self._probing = self._probes_fine = 0

    def _tripped(self, now_s: float) -> bool:
        while len(self._ended) > self.policy.window or (
            self._ended[0][0] <= now_s - self.policy.window_s
        ):
            self._ended.popleft()
        calls = len(self._ended)
        failed, slow = sum(f for _, f, _ in self._ended), sum(s for _, _, s in self._ended)
        rates = (failed / calls, self.policy.failure_rate), (slow / calls, self.policy.slow_rate)
        return calls >= self.policy.minimum and any(rate >= most for rate, most in rates)
