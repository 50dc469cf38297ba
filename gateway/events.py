"""`/v1/events`: says when something changed, so that a page can look again."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor

from fastapi import APIRouter, Request
from starlette.responses import StreamingResponse

from gateway.errors import DESCRIBED
from shared.errors import EarwitnessError
from shared.logs import say

router = APIRouter(tags=["events"], responses=DESCRIBED)
log = logging.getLogger("earwitness.gateway")

#: Seconds between two looks at the store; a person does not notice less.
PERIOD_S = 0.5
#: Looks between two heartbeats (15 s): proxies cut what is silent for 30 to 60 s.
BEAT_EVERY = 30
BEAT = ": still here\n\n"


class Changes:
    """Numbers the states of a store. One thread asks, because SQLite counts per connection."""

    def __init__(self, look: Callable[[], int], period_s: float = PERIOD_S) -> None:
        self._look, self._period_s = look, period_s
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="changes")
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """End every stream at its next look."""
        self._stopping.set()

    async def number(self) -> int:
        """A number that differs from the one before if anybody committed in between.

        Raises:
            StoreUnavailable: ask again later.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._look)

    async def stream(self) -> AsyncIterator[str]:
        """Server-sent events: one at once, then one for each change, with heartbeats."""
        seen, silent = None, 0
        while not self._stopping.is_set():
            number = await self._number_or(seen)
            silent = 0 if number != seen else silent + 1
            if number != seen:
                yield f"data: {json.dumps({'changed': number})}\n\n"
            elif silent % BEAT_EVERY == 0:
                yield BEAT
            seen = number
            await self._pause()

    async def _number_or(self, seen: int | None) -> int | None:
        try:
            return await self.number()
        except EarwitnessError as error:
            say(log, error)
            return seen

    async def _pause(self) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), self._period_s)
        except TimeoutError:
            return


@router.get(
    "/v1/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}}},
)
async def events(request: Request) -> StreamingResponse:
    """Server-sent events: `data: {"changed": n}` whenever anything may look different."""
    changes: Changes = request.app.state.changes
    return StreamingResponse(changes.stream(), media_type="text/event-stream")
