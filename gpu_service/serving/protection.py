"""What stands between an engine and its callers: its breaker, its retry budget, its pace."""

import threading
import time
from collections.abc import Callable

from gpu_service.serving.pace import Pace
from shared.domain.breaker import Breaker, Policy, Position
from shared.domain.retry_budget import MAX_TRIES, RetryBudget, wait_s
from shared.errors import BreakerOpen, EngineUnavailable, OutOfMemory

#: Of an engine. Three calls, because a job has four attempts: whoever is alone with an engine
#: that is down must be left one when that is known. Ten minutes, because a redelivery takes up to
#: that long.
POLICY = Policy(minimum=3, window_s=600.0)


class Protection:
    """One engine's; safe to share between threads."""

    def __init__(
        self,
        engine: str,
        *,
        policy: Policy,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float],
    ) -> None:
        self._engine, self._clock, self._chance = engine, clock, chance
        self._lock = threading.Lock()
        self._breaker, self._budget = Breaker(policy), RetryBudget()
        self._pace = Pace()

    @property
    def position(self) -> Position:
        with self._lock:
            return self._breaker.position(self._clock())

    @property
    def pace(self) -> Pace:
        return self._pace

    def look(self) -> None:
        """Raise BreakerOpen with `retry_after_s` if a call would be refused now."""
        with self._lock:
            rest_s = self._breaker.rest_s(self._clock())
        self._refuse(rest_s)

    def admit(self) -> None:
        """Let a call pass, or raise BreakerOpen; half-open this takes one of the probes."""
        with self._lock:
            rest_s = self._breaker.admit(self._clock())
        self._refuse(rest_s)

    def _refuse(self, rest_s: float) -> None:
        if rest_s > 0:
            raise BreakerOpen(engine=self._engine, retry_after_s=rest_s)

    def called(self, sound_s: float, taken_s: float) -> bool:
        """Learn from a call that was answered; True if it was slow."""
        with self._lock:
            slow = self._pace.slow(sound_s, taken_s)
            self._pace = self._pace.after(sound_s, taken_s)
        return slow

    def report(self, *, fine: bool, slow: bool) -> None:
        """Say how a batch that `admit` let pass has ended."""
        with self._lock:
            self._budget.called()
            self._breaker.report(self._clock(), fine=fine, slow=slow, chance=self._chance())

    def again_in_s(self, error: Exception, tries: int) -> float | None:
        """Seconds until the call is made again here, by itself; None = not again.

        Only where the engine says for certain that nothing was done, by naming a time to come
        back (`retry_after_s`): a paid call that may have been served is never made twice.
        """
        if not isinstance(error, EngineUnavailable) or isinstance(error, BreakerOpen | OutOfMemory):
            return None
        if "retry_after_s" not in error.context or tries >= MAX_TRIES:
            return None
        with self._lock:
            if not self._budget.spend():
                return None
        asked = error.context["retry_after_s"]
        return wait_s(tries, self._chance(), float(asked) if asked is not None else None)
