"""Replies on their way out: finals in order, the newest partial, nothing without bound."""

import asyncio
from collections import deque
from collections.abc import Callable

from gpu_service.streaming.protocol import Reply

#: Finals that wait for a reader; then nothing more is asked, and so nothing more is read.
ROOM = 16
#: Different warnings that wait; each code is said once a stream anyhow.
MAX_WARNINGS = 8


class Mailbox:
    """One event loop, so no locks. A slow reader costs ROOM finals and one partial."""

    def __init__(self, room: int = ROOM) -> None:
        self._finals: deque[Reply] = deque()
        self._warnings: deque[Reply] = deque(maxlen=MAX_WARNINGS)
        self._partial: Reply | None = None
        self._last: Callable[[], Reply] | None = None
        self._room = room
        self._change = asyncio.Event()
        self.merged = 0  #: partials that a newer one replaced before they could be sent
        self.most = 0  #: finals that ever waited at once

    @property
    def waiting(self) -> int:
        """Replies that wait now."""
        one = (self._partial, self._last)
        return len(self._finals) + len(self._warnings) + sum(x is not None for x in one)

    async def final(self, reply: Reply) -> None:
        """Post what must arrive; waits while there is no room. It outdates the partial."""
        while len(self._finals) >= self._room:
            await self._changed()
        self._finals.append(reply)
        self.most = max(self.most, len(self._finals))
        self._partial = None
        self._change.set()

    def partial(self, reply: Reply) -> None:
        """Post what may be replaced by the next one."""
        self.merged += self._partial is not None
        self._partial = reply
        self._change.set()

    def warn(self, reply: Reply) -> None:
        self._warnings.append(reply)
        self._change.set()

    def close(self, last: Callable[[], Reply]) -> None:
        """Post what comes after everything else; written when all of that is out."""
        self._last = last
        self._change.set()

    async def take(self) -> tuple[Reply, bool]:
        """The next reply, and whether it is the last."""
        while not self.waiting:
            await self._changed()
        reply, last = self._next()
        self._change.set()
        return reply, last

    def _next(self) -> tuple[Reply, bool]:
        if self._warnings:
            return self._warnings.popleft(), False
        if self._finals:
            return self._finals.popleft(), False
        if self._partial is not None:
            reply, self._partial = self._partial, None
            return reply, False
        assert self._last is not None
        return self._last(), True

    async def _changed(self) -> None:
        self._change.clear()
        await self._change.wait()
