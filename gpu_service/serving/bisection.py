"""A batch that was lost is asked again in halves, so that only the guilty clip fails."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log2
from typing import Generic, TypeVar

from shared.errors import EarwitnessError, EngineDied, Layer, OutOfMemory

Item = TypeVar("Item")
Given = TypeVar("Given")
Found = TypeVar("Found")


def may_be_one_clips_fault(error: Exception) -> bool:
    """Whether others of the batch may be answered when asked without it."""
    return isinstance(error, EngineDied) or is_its_own_fault(error)


def is_its_own_fault(error: Exception) -> bool:
    """Whether a clip that failed alone with this error says nothing against the engine."""
    refused = isinstance(error, EarwitnessError) and error.layer is Layer.VALIDATION
    return refused or isinstance(error, OutOfMemory)


def is_the_engines_fault(error: Exception) -> bool:
    """Whether a clip that failed alone with this error says that the engine is not well.

    What will not go away by itself (weights that are missing) is better said each time than
    hidden behind an open breaker.
    """
    lasts = isinstance(error, EarwitnessError) and not error.retryable
    return not lasts and not is_its_own_fault(error)


@dataclass(slots=True)
class Settlement(Generic[Item, Found]):
    """Answers or fails every item of one batch, each exactly once.

    One guilty item among n costs at most 2 log2(n) calls more than a batch without it, and
    half of them on average: where one half was fine, the other is cut again unasked.
    """

    ask: Callable[[Sequence[Item]], Sequence[Found]]
    answered: Callable[[Item, Found], None]
    failed: Callable[[Item, Exception], None]
    losses: int = 0  #: calls that answered nothing
    failures: int = 0  #: items that failed
    answers: int = 0
    _most_losses: float = 0.0
    _last: Exception | None = None

    def __call__(self, items: Sequence[Item]) -> None:
        """Settle all of `items`.

        An engine that loses whatever it is asked is not asked for each item: after twice the
        losses that one guilty item can cause, and no answer, the rest fail with the last error.
        """
        self._most_losses = 2 * log2(max(len(items), 1)) + 4
        self._settle(items, None)

    def _settle(self, items: Sequence[Item], lost_with: Exception | None) -> bool:
        """Settle; False if some were lost. `lost_with`: they hold what lost a larger batch."""
        if self._last and self._hopeless():
            self._fail(items, self._last)
            return False
        if lost_with is None or len(items) == 1:
            lost_with = self._tried(items)
        if lost_with is None:
            return True
        if len(items) == 1 or not may_be_one_clips_fault(lost_with):
            self._fail(items, lost_with)
            return False
        half = len(items) // 2
        fine = self._settle(items[:half], None)
        # Memory is no guilt: the other half may fit, so it is asked before it is cut.
        guilty = fine and not isinstance(lost_with, OutOfMemory)
        return self._settle(items[half:], lost_with if guilty else None) and fine

    def _tried(self, items: Sequence[Item]) -> Exception | None:
        """Ask; the error if nothing was answered."""
        try:
            pairs = list(zip(items, self.ask(items), strict=True))
        except Exception as error:  # every item waits for its future to be answered
            self.losses += 1
            self._last = error
            return error
        for item, answer in pairs:
            self.answered(item, answer)
        self.answers += len(items)
        return None

    def _fail(self, items: Sequence[Item], error: Exception) -> None:
        self.failures += len(items)
        for item in items:
            self.failed(item, error)

    def _hopeless(self) -> bool:
        return not self.answers and self.losses >= self._most_losses
