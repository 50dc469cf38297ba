"""HTTP requests as a server sees them go by: which, how long, how many bytes, how they ended.

Plain ASGI and nothing else, so that each edge counts alike with whatever it counts with.
"""

import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

#: What a server answers where the application raised.
FAILED = 500


@dataclass(slots=True)
class Exchange:
    """One request and its answer, when both are over."""

    path: str
    status: int = FAILED
    received: int = 0  #: bytes of the body
    sent: int = 0
    seconds: float = 0.0  #: to the last byte of the answer


class Observed:
    """Middleware: tells `seen` of every HTTP exchange; other scopes pass by."""

    def __init__(self, app: App, seen: Callable[[Exchange], None]) -> None:
        self._app, self._seen = app, seen

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange, begun = Exchange(str(scope["path"])), time.perf_counter()

        async def received() -> Message:
            message = await receive()
            exchange.received += len(message.get("body", b""))
            return message

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = int(message["status"])
            exchange.sent += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, received, sent)
        finally:
            exchange.seconds = time.perf_counter() - begun
            self._seen(exchange)
