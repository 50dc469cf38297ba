"""Who may work now: places, a waiting room, and the high lane first."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.domain.lanes import Lane, lease_order
from shared.errors import ServiceFull

#: Places the low lane may never take, so that a high job does not wait for a long low one.
RESERVED_FOR_HIGH = 1
#: Seconds a ticket waits inside for a place before it is sent away with 429. Shorter than
#: the platform's own hold, long enough to ride out a burst without a redelivery's backoff.
PATIENCE_S = 10.0


class Slots:
    """Places for jobs; one event loop, so no locks. Low lane keeps every 20th grant."""

    def __init__(self, places: int, *, room: int = 256, patience_s: float = PATIENCE_S) -> None:
        self.places, self._room, self._patience_s = places, room, patience_s
        self._taken: dict[Lane, int] = dict.fromkeys(Lane, 0)
        self._waiting: dict[Lane, deque[asyncio.Future[int]]] = {lane: deque() for lane in Lane}
        self._turn = 0

    @property
    def taken(self) -> int:
        return sum(self._taken.values())

    def waits(self, lane: Lane) -> bool:
        """Whether a ticket of this lane waits for a place."""
        # Copied in one go: threads ask, too.
        return any(not f.done() for f in tuple(self._waiting[lane]))

    @asynccontextmanager
    async def take(self, lane: Lane) -> AsyncIterator[int]:
        """Hold a place; gives the number of this turn, from 0.

        Raises:
            ServiceFull: the waiting room is full, or no place came free in time.
        """
        turn = await self._wait(lane)
        try:
            yield turn
        finally:
            self._taken[lane] -= 1
            self._grant()

    async def _wait(self, lane: Lane) -> int:
        if sum(map(len, self._waiting.values())) >= self._room:
            raise ServiceFull
        place: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting[lane].append(place)
        self._grant()
        try:
            async with asyncio.timeout(self._patience_s):
                return await asyncio.shield(place)
        except (TimeoutError, asyncio.CancelledError) as error:
            self._leave(lane, place)
            if isinstance(error, TimeoutError):
                raise ServiceFull from error
            raise

    def _leave(self, lane: Lane, place: asyncio.Future[int]) -> None:
        if place.done():  # the place came in the very moment of leaving: pass it on
            self._taken[lane] -= 1
            self._grant()
        else:
            self._waiting[lane].remove(place)

    def _grant(self) -> None:
        while (lane := self._next()) is not None:
            self._waiting[lane].popleft().set_result(self._turn)
            self._taken[lane] += 1
            self._turn += 1

    def _next(self) -> Lane | None:
        """The lane whose first ticket may sit down now."""
        free = self.places - self.taken
        for lane in lease_order(self._turn):
            reserved = RESERVED_FOR_HIGH if lane is Lane.LOW and self.places > 1 else 0
            if free > reserved and self._waiting[lane]:
                return lane
        return None
