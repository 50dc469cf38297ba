"""The line to the GPU service: bodies stream both ways, nothing is kept, a gone caller cuts it."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Coroutine
from functools import cache
from typing import Any

import httpx
from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.responses import Response, StreamingResponse

from gateway.errors import TooLarge
from gateway.incoming import drained
from shared.errors import EarwitnessError, ServiceSilent, ServiceUnreachable
from shared.ports import Identity
from shared.settings import Settings

TENANT_HEADER = "x-earwitness-tenant"
#: What of a caller's request the service is told, and what of its answer the caller.
ASKED = ("accept", "content-type", "content-length", "traceparent")
ANSWERED = re.compile(r"content-type|content-length|retry-after|x-earwitness-[a-z-]+")
#: Statuses that are between the service and us: the caller can do nothing about them.
OUR_AFFAIR = frozenset({401, 403})
#: Bytes around the file of a multipart body.
OVERHEAD = 64 << 10
#: Seconds for the service to take the line, or the next bytes. Cloud Run may hold a request
#: for 10 s while it scales.
CONNECT_S, WRITE_S = 15.0, 60.0
#: Seconds to the first byte of an answer, whatever was sent: a model may have to load.
PATIENCE_S = 120.0
#: Bytes of the thriftiest codec a second (Opus at 6 kbit/s): a body holds at most that much sound,
#: and hearing it takes at most as long as it lasts.
LEAST_BYTES_PER_S = 750


@cache
def _trusted() -> ssl.SSLContext:
    """Whom the service's certificate may be from; reading them takes 20 ms, so once a process."""
    return httpx.create_ssl_context(trust_env=False)


class Upstream:
    """One connection pool; used on one event loop."""

    def __init__(
        self, settings: Settings, identity: Identity | None, *, patience_s: float = PATIENCE_S
    ) -> None:
        """`identity` None: no service is known, and every call is answered so."""
        self._settings, self._identity, self._patience_s = settings, identity, patience_s
        self._client = httpx.AsyncClient(
            base_url=settings.service_url, trust_env=False, verify=_trusted()
        )

    @property
    def websocket_url(self) -> str:
        """Where the service answers, for lines that stay open."""
        return self._settings.service_url.replace("http", "ws", 1)

    async def close(self) -> None:
        await self._client.aclose()

    async def passed_on(self, request: Request, tenant: str) -> Response:
        """The service's answer to the same request, its bytes as they come.

        Raises:
            TooLarge: the body is larger than the service takes.
            ServiceUnreachable, ServiceSilent: trying again may help.
            ClientDisconnect: the caller has gone, and so the service was left.
        """
        if self._identity is None:
            raise ServiceUnreachable
        body = _Body(request, self._settings.api_max_bytes + OVERHEAD)
        try:
            return _answered(await self._asked(request, tenant, body))
        except EarwitnessError:
            await body.drain()
            raise

    async def vouched(self, tenant: str) -> dict[str, str]:
        """Headers by which the service knows us, and for whom we ask.

        Raises:
            ServiceUnreachable: no service is known.
        """
        if self._identity is None:
            raise ServiceUnreachable
        # It may have to ask the metadata server.
        said = await run_in_threadpool(self._identity.authorization)
        return {"authorization": said, TENANT_HEADER: tenant}

    async def _asked(self, request: Request, tenant: str, body: "_Body") -> httpx.Response:
        if body.claimed is not None and body.claimed > body.most:
            raise TooLarge
        told = {name: request.headers[name] for name in ASKED if name in request.headers}
        upstream = self._client.build_request(
            request.method,
            # As it came: decoded, a `?` in a name would begin a query.
            request.scope["raw_path"].decode("latin-1"),
            params=str(request.query_params),
            headers=told | await self.vouched(tenant),
            content=body.stream() if request.method == "POST" else None,
            timeout=self._timeout(body.at_most),
        )
        return await body.unless_gone(self._sent(upstream))

    async def _sent(self, request: httpx.Request) -> httpx.Response:
        try:
            answer = await self._client.send(request, stream=True)
        except (httpx.ReadTimeout, httpx.WriteTimeout) as error:
            raise ServiceSilent from error
        except httpx.TransportError as error:
            raise ServiceUnreachable from error
        if answer.status_code in OUR_AFFAIR:
            await answer.aclose()
            raise ServiceUnreachable("The GPU service does not take the gateway's word.")
        return answer

    def _timeout(self, at_most: int) -> httpx.Timeout:
        """For a body of at most so many bytes."""
        longest_s = min(self._settings.api_max_seconds, at_most / LEAST_BYTES_PER_S)
        return httpx.Timeout(self._patience_s + longest_s, connect=CONNECT_S, write=WRITE_S)


class _Body:
    """The caller's body on its way through, counted, and whether the caller is still there."""

    def __init__(self, request: Request, most: int) -> None:
        self._request, self.most = request, most
        claimed = request.headers.get("content-length", "")
        self.claimed = int(claimed) if claimed.isdecimal() else None
        self._read = asyncio.Event()
        self.at_most = most if self.claimed is None else self.claimed
        if request.method != "POST":
            self.at_most = 0
            self._read.set()

    async def stream(self) -> AsyncIterator[bytes]:
        """Raises TooLarge: more came than the service takes. ClientDisconnect: the caller left."""
        count = 0
        async for part in self._request.stream():
            count += len(part)
            if count > self.most:
                raise TooLarge
            yield part
        self._read.set()

    async def drain(self) -> None:
        """Read what is left of a body that is refused."""
        if not self._read.is_set():
            await drained(self._request)

    async def unless_gone(self, work: Coroutine[Any, Any, httpx.Response]) -> httpx.Response:
        """What `work` gives; it is cancelled if the caller goes.

        Raises:
            ClientDisconnect: the caller has gone.
        """
        working = asyncio.ensure_future(work)
        watching = asyncio.ensure_future(self._hung_up())
        try:
            await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise ClientDisconnect
            return working.result()
        finally:
            working.cancel()
            watching.cancel()

    async def _hung_up(self) -> None:
        """Return when the caller has gone. Only once the body is read: before, that tells."""
        await self._read.wait()
        while (await self._request.receive())["type"] != "http.disconnect":
            pass


def _answered(answer: httpx.Response) -> Response:
    """The answer, streamed on; leaving it closes the line to the service, which hears no more."""
    headers = {k: v for k, v in answer.headers.items() if ANSWERED.fullmatch(k)}
    return StreamingResponse(_parts(answer), answer.status_code, headers)


async def _parts(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for part in answer.aiter_raw():
            yield part
    finally:
        await answer.aclose()
