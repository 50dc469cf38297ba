"""`WS /v1/audio/stream`: passed on to the GPU service, both ways, nothing kept."""

import asyncio
import logging
from typing import TypedDict

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from gateway import errors
from gateway.callers import Caller, check, identified
from gateway.security import check_origin
from gateway.upstream import CONNECT_S, OUR_AFFAIR, Upstream
from shared.domain.tenants import DEMO
from shared.errors import EarwitnessError, ServiceUnreachable
from shared.logs import say

log = logging.getLogger("earwitness.gateway")
router = APIRouter()

PATH = "/v1/audio/stream"
#: Bytes of one message, as the service takes it.
MAX_FRAME = 6 << 20
#: Messages read ahead in each direction; then the other side waits.
AHEAD = 4
#: Seconds a message may wait for its reader. The service itself gives up after 10.
READER_S = 20.0
#: Close codes. Source: RFC 6455, section 7.4.1.
AWAY, LATER = 1001, 1013
#: Codes that say how a line ended and may not be sent over one. Source: RFC 6455, section 7.4.1.
UNSENDABLE = frozenset({1004, 1005, 1006, 1015})


class _Lines(TypedDict):
    ws_max_size: int
    ws_per_message_deflate: bool
    ws_ping_interval: float
    ws_ping_timeout: None


#: How the server keeps WebSockets: as the service does, see `gpu_service.main`.
LINES: _Lines = {
    "ws_max_size": MAX_FRAME,
    "ws_per_message_deflate": False,
    "ws_ping_interval": 20.0,
    "ws_ping_timeout": None,
}


@router.websocket(PATH)
async def stream(line: WebSocket) -> None:
    """Sound in, hypotheses out; `docs/streaming.md` describes the messages."""
    try:
        check_origin(line.scope)
        caller = line.state.caller = await run_in_threadpool(_admitted, line)
        upstream = await _connected(line.app.state.upstream, caller.tenant or DEMO)
    except EarwitnessError as error:
        say(log, error)
        await _deny(line, errors.plain(error))
        return
    except InvalidStatus as refused:
        await _deny(line, _passed_on(refused))
        return
    async with upstream:
        await line.accept()
        code, reason = await _talk(line, upstream)
    line.app.state.metrics.streamed(code)
    await _closed(line, code, reason)


def _admitted(line: WebSocket) -> Caller:
    """Who asks, and may; raises what `gateway.callers.caller` does."""
    found = identified(line.app.state, line.headers)
    if found.key:
        check(found.key, "WEBSOCKET", PATH)
    return found


async def _connected(upstream: Upstream, tenant: str) -> ClientConnection:
    """A line to the service.

    Raises:
        ServiceUnreachable: there is none now. InvalidStatus: it refuses, and says why.
    """
    headers = await upstream.vouched(tenant)
    try:
        return await connect(
            upstream.websocket_url + PATH,
            additional_headers=headers,
            compression=None,
            max_size=MAX_FRAME,
            max_queue=AHEAD,
            open_timeout=CONNECT_S,
            # While the service stops reading, it cannot answer a ping either.
            ping_timeout=None,
            proxy=None,
        )
    except InvalidStatus as refused:
        if refused.response.status_code in OUR_AFFAIR:
            said = "The GPU service does not take the gateway's word."
            raise ServiceUnreachable(said) from refused
        raise
    except (OSError, TimeoutError, WebSocketException) as error:
        raise ServiceUnreachable from error


def _passed_on(refused: InvalidStatus) -> Response:
    answer = refused.response
    told = ("content-type", "retry-after")
    headers = {k: v for k, v in answer.headers.raw_items() if k.lower() in told}
    return Response(bytes(answer.body or b""), answer.status_code, headers)


async def _talk(line: WebSocket, upstream: ClientConnection) -> tuple[int, str]:
    """Pass messages on both ways until one side hangs up; the close code and its reason."""
    up, down = (
        asyncio.ensure_future(_up(line, upstream)),
        asyncio.ensure_future(_down(line, upstream)),
    )
    try:
        await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
        if down.done():
            return down.result()
        # The client has gone. What the service still says has no reader.
        await upstream.close(AWAY)
        return up.result(), ""
    finally:
        for task in (up, down):
            task.cancel()
        await asyncio.gather(up, down, return_exceptions=True)


async def _up(line: WebSocket, upstream: ClientConnection) -> int:
    """What the client says; gives the code it hung up with."""
    while (said := await line.receive())["type"] != "websocket.disconnect":
        try:
            await upstream.send(said["bytes"] if said.get("bytes") is not None else said["text"])
        except ConnectionClosed:
            await asyncio.Event().wait()  # `_down` says how the service ended it
    return int(said.get("code") or AWAY)


async def _down(line: WebSocket, upstream: ClientConnection) -> tuple[int, str]:
    """What the service says; gives how it ended it."""
    try:
        while True:
            text = await upstream.recv(decode=True)
            async with asyncio.timeout(READER_S):
                await line.send_text(str(text))
    except ConnectionClosed:
        code = upstream.close_code or AWAY
        return (LATER if code in UNSENDABLE else code), upstream.close_reason or ""
    except TimeoutError:
        return LATER, "slow_reader"
    except (WebSocketDisconnect, RuntimeError):
        return AWAY, ""


async def _closed(line: WebSocket, code: int, reason: str) -> None:
    try:
        async with asyncio.timeout(1.0):
            await line.close(LATER if code in UNSENDABLE else code, reason)
    except (RuntimeError, TimeoutError, WebSocketDisconnect):
        return  # it is closed already


async def _deny(line: WebSocket, answer: Response) -> None:
    await line.send_denial_response(answer)
    # uvicorn 0.54 takes a refused handshake for an unfinished one, and logs an error, unless the
    # line is gone before we return: it goes in the loop's next turn.
    await asyncio.sleep(0)
