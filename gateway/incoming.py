"""The body of a request as a file, for code that reads files; nothing is held in memory."""

import io
from collections.abc import AsyncIterator
from contextlib import suppress

from anyio import from_thread
from fastapi import Request
from starlette.requests import ClientDisconnect

from shared.errors import InvalidRequest

#: Bytes handed on at a time.
BLOCK = 1 << 20
#: Bytes of a refused body that are still read, so that the refusal is, too: a sender that is cut
#: off in the middle of sending sees a broken line and no answer.
DRAINED = 64 << 20


async def drained(request: Request) -> None:
    """Read what is left of a body, within bounds, and forget it."""
    count = 0
    with suppress(ClientDisconnect):
        async for part in request.stream():
            count += len(part)
            if count > DRAINED:
                return


def incoming(request: Request, size_bytes: int) -> io.BufferedReader:
    """The body, to be read from a worker thread of the server.

    Reading raises InvalidRequest where the body is not exactly `size_bytes` long, also
    when the sender goes away in the middle: a file cut short is never taken for whole.
    """
    return io.BufferedReader(_Body(request.stream(), size_bytes), BLOCK)


class _Body(io.RawIOBase):
    def __init__(self, chunks: AsyncIterator[bytes], size_bytes: int) -> None:
        self._chunks, self._size_bytes = chunks, size_bytes
        self._rest, self._count = memoryview(b""), 0

    def readable(self) -> bool:
        return True

    def readinto(self, into: bytearray | memoryview) -> int:  # type: ignore[override]  # any buffer
        while not self._rest:
            chunk = from_thread.run(self._next)
            if chunk is None:
                return self._ended()
            self._rest = memoryview(chunk)
        taken = min(len(into), len(self._rest))
        into[:taken] = self._rest[:taken]
        self._rest = self._rest[taken:]
        self._count += taken
        return taken

    async def _next(self) -> bytes | None:
        try:
            return await anext(self._chunks, None)
        except ClientDisconnect as error:
            said = "The upload broke off. Go on where it stopped, or send it again."
            raise InvalidRequest(said) from error

    def _ended(self) -> int:
        if self._count != self._size_bytes:
            raise InvalidRequest("The size is not the one this address was made for.")
        return 0
