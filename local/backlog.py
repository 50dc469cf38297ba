"""Messages that wait to be delivered, and when each may be tried again."""

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
#: Seconds to wait before the second delivery, and the longest wait; it doubles in between.
#: Locally a neighbour that died is back within a second or two; the cloud's 10 s would be felt.
FIRST_WAIT_S, LONGEST_WAIT_S = 0.2, 10.0


def wait_s(attempts: int) -> float:
    """Seconds to wait after `attempts` (from 1) failed deliveries."""
    return min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(attempts - 1, 30))


@dataclass(frozen=True, slots=True)
class Waiting(Generic[T]):
    """One message, and how often its delivery was tried and failed."""

    item: T
    failed: int = 0


class Backlog(Generic[T]):
    """First come, first tried; what failed comes back after its wait. Not for several threads.

    Times are seconds of any clock that only moves forward.
    """

    def __init__(self, wait_s: Callable[[int], float] = wait_s) -> None:
        """`wait_s`: how long to wait after so many failed deliveries."""
        self._wait_s = wait_s
        self._ready: deque[Waiting[T]] = deque()
        self._later: list[tuple[float, int, Waiting[T]]] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._ready) + len(self._later)

    def add(self, item: T) -> None:
        self._ready.append(Waiting(item))

    def fail(self, tried: Waiting[T], now_s: float) -> None:
        """Put back what could not be delivered."""
        failed = tried.failed + 1
        self._count += 1  # breaks ties, so that two messages are never compared
        heapq.heappush(
            self._later, (now_s + self._wait_s(failed), self._count, Waiting(tried.item, failed))
        )

    def take(self, now_s: float) -> Waiting[T] | None:
        """The next message whose time has come, or None."""
        if self._later and self._later[0][0] <= now_s:
            return heapq.heappop(self._later)[2]
        return self._ready.popleft() if self._ready else None

    def rest_s(self, now_s: float) -> float | None:
        """Seconds until `take` has something; None: not before something is added."""
        if self._ready:
            return 0.0
        return max(0.0, self._later[0][0] - now_s) if self._later else None

    def hurry(self) -> None:
        """Everything may be tried now: whoever did not answer is back."""
        self._ready.extend(waiting for _, _, waiting in sorted(self._later, key=lambda w: w[:2]))
        self._later.clear()
