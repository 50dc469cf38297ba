"""Trying again: how often, how long, and only what is safe."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import tenacity

from earwitness.client.steps import Flow, Pause
from shared.errors import EarwitnessError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Patience:
    """Waits double from `first_wait_s` to `longest_wait_s`, with jitter; Retry-After goes first."""

    attempts: int = 8
    total_s: float = 60.0  #: from the first attempt; no other begins later
    first_wait_s: float = 0.2
    longest_wait_s: float = 10.0

    def wait_s(self, state: tenacity.RetryCallState) -> float:
        """Source: Brooker 2015, "Exponential Backoff And Jitter"."""
        jittered = tenacity.wait_exponential_jitter(
            multiplier=self.first_wait_s, max=self.longest_wait_s, jitter=self.first_wait_s
        )
        return max(_asked_s(state), jittered(state))


def _asked_s(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.context.get("retry_after_s") if isinstance(error, EarwitnessError) else None
    return float(asked or 0.0)


class Tries:
    """The attempts of one call, with a budget that begins anew when there was progress."""

    def __init__(
        self, patience: Patience, clock: Callable[[], float], again: Callable[[BaseException], bool]
    ) -> None:
        self._patience, self._clock = patience, clock
        self._retrying = tenacity.Retrying(
            stop=self._is_over,
            wait=patience.wait_s,
            retry=tenacity.retry_if_exception(again),
            reraise=True,
        )
        self.refresh()

    def refresh(self) -> None:
        self._until_s = self._clock() + self._patience.total_s
        self._retrying.begin()
        self._state = tenacity.RetryCallState(self._retrying, None, (), {})

    def run(self, attempt: Callable[[], Flow[T]]) -> Flow[T]:
        """The result of the first attempt that succeeds.

        Raises:
            EarwitnessError: what the last attempt said.
        """
        while True:
            try:
                return (yield from attempt())
            except EarwitnessError as error:
                pause_s = self.pause_s(error)
            yield Pause(pause_s)

    def pause_s(self, error: EarwitnessError) -> float:
        """How long to wait after an attempt failed so, in seconds.

        Raises:
            EarwitnessError: `error`, where trying again will not help or patience is at its end.
        """
        self._state.set_exception((type(error), error, error.__traceback__))
        seconds = self._retrying.iter(retry_state=self._state)
        assert isinstance(seconds, tenacity.DoSleep)
        self._state.prepare_for_next_attempt()
        return seconds

    def _is_over(self, state: tenacity.RetryCallState) -> bool:
        out_of_time = self._clock() + state.upcoming_sleep > self._until_s
        return out_of_time or state.attempt_number >= self._patience.attempts
