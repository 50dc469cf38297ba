"""Who may come through the door: Host, Origin, the page's token, sizes and headers."""

import hmac
import logging
from collections.abc import Mapping
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway import errors
from gateway.callers import caller_of
from shared.errors import EarwitnessError, Forbidden, ForeignHost
from shared.logs import say
from shared.settings import Settings

log = logging.getLogger("earwitness.gateway")

#: Bytes. No request but an upload or a correction needs more than a few hundred.
MAX_BODY = 64 << 10
#: Bytes of a correction: the whole text of the longest recording there may be (12 h, 14 letters
#: a second: 600 kB) is corrected in parts, that of four hours (200 kB) at once.
MAX_CORRECTION = 512 << 10
#: Where bodies are counted against their permit instead of MAX_BODY, and where by the line to
#: the GPU service.
STREAMED = (("PUT", "/v1/uploads/"), ("POST", "/v1/audio/"), ("POST", "/v1/analyses"))
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
HTTP_PORT, HTTPS_PORT = 80, 443
TOKEN_HEADER, TOKEN_FIELD = "X-Earwitness-Token", "token"


class Doorkeeper:
    """Middleware: refuses foreign hosts and origins, bounds bodies, adds headers.

    A foreign name that resolves to 127.0.0.1 (DNS rebinding) comes with its own Host;
    another site's script or form comes with its own Origin.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _with_headers(send, scope["app"].state.headers)
        try:
            check_origin(scope)
            ready = receive if _streams(scope) else await _bounded(scope, receive)
        except EarwitnessError as error:
            say(log, error)
            await errors.answer(Request(scope), error)(scope, receive, answer)
            return
        await self._app(scope, ready, answer)


def check_origin(scope: Scope) -> None:
    """Refuse a Host that is neither this machine nor named, and an Origin that is not this Host.

    Raises:
        ForeignHost: the request comes through a name that is none of ours.
        Forbidden: it comes from somebody else's site.
    """
    headers = Headers(scope=scope)
    hosts, origins = headers.getlist("host"), headers.getlist("origin")
    ours = _origins(scope)
    if len(hosts) != 1 or hosts[0].lower() not in ours:
        raise ForeignHost
    if any(origin.lower() != ours[hosts[0].lower()] for origin in origins):
        raise Forbidden("Another site may not ask for this. Open the page itself.")


def origin(scope: Scope) -> str:
    """Where the request's sender finds us; of a request that `check_origin` let in."""
    return _origins(scope)[Headers(scope=scope)["host"].lower()]


def _origins(scope: Scope) -> dict[str, str]:
    """What may stand in Host, and the Origin of a page that was loaded from there."""
    settings: Settings = scope["app"].state.parts.settings
    port = scope["server"][1]
    here = [f"{name}:{port}" for name in LOOPBACK] + list(LOOPBACK) * (port == HTTP_PORT)
    named = settings.public_hosts
    # A default port may be said or not, but no browser writes it into an Origin.
    return (
        {host: f"http://{host}" for host in here}
        | {f"{host}:{HTTPS_PORT}": f"https://{host}" for host in named if ":" not in host}
        | {host: f"https://{host}" for host in named}
    )


def _streams(scope: Scope) -> bool:
    method, path = scope["method"], str(scope["path"])
    return any(method == m and path.startswith(start) for m, start in STREAMED)


def _most(scope: Scope) -> int:
    """Bytes this request may have."""
    corrects = scope["method"] == "POST" and str(scope["path"]).endswith("/corrections")
    return MAX_CORRECTION if corrects else MAX_BODY


async def _bounded(scope: Scope, receive: Receive) -> Receive:
    """Read the whole small body; `receive` gives it once, then what comes after it."""
    most = _most(scope)
    claimed = Headers(scope=scope).get("content-length", "0")
    if not claimed.isdecimal() or int(claimed) > most:
        raise errors.TooLarge
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > most:
            raise errors.TooLarge
    unread: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return unread.pop() if unread else await receive()

    return replay


def _with_headers(send: Send, told: Mapping[str, str]) -> Send:
    async def answer(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in told.items():
                headers.setdefault(name, value)
        await send(message)

    return answer


_TOKEN = APIKeyHeader(
    name=TOKEN_HEADER,
    scheme_name="page token",
    description="Stands in the page's meta tag and in HOME/keys/page.token.",
    auto_error=False,
)


async def page_token(
    request: Request, in_header: Annotated[str | None, Security(_TOKEN)] = None
) -> None:
    """A state-changing request carries a key, or the page's token in a header or a form field.

    No other site's script knows either.

    Raises:
        Forbidden: it does not. The token stands in the page and in HOME/keys/page.token.
    """
    if caller_of(request).key is not None:
        return
    given = in_header or await _field(request)
    if not same(given, request.app.state.page_token):
        raise Forbidden("The page's token is missing or old. Load the page again.")


async def _field(request: Request) -> str:
    if not is_form(request):
        return ""
    form = await request.form()
    value = form.get(TOKEN_FIELD, "")
    return value if isinstance(value, str) else ""


def is_form(request: Request) -> bool:
    """Whether a browser's form was sent."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/x-www-form-urlencoded"


def same(given: str, expected: str) -> bool:
    """Compare secrets in a time that tells nothing about where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode())


TOKEN_CHECKED = Depends(page_token)
