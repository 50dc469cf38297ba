"""Who did what, and who looked at what: kept with each answer, and shown at `/v1/audit`.

An action says who, when, by which route, about which recording, and how it ended. It never says
what was asked or answered: no names, no words searched for, no bodies. Requests that nobody was let
in with are not here: whoever has no key could fill the log.
"""

import logging
import secrets
from datetime import datetime
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.callers import API, Caller, actor
from shared.domain.audit import EVERYBODY, SALT_BYTES, Action, acted
from shared.domain.names import TENANT
from shared.domain.recording import Recording
from shared.errors import EarwitnessError
from shared.logs import say
from shared.wiring import Parts

log = logging.getLogger("earwitness.gateway")

#: Looks at what holds nothing that was said: lists, counts, states of our own machinery. They come
#: again and again while a page is open. Every other look is kept, and every change.
PLAIN = frozenset(
    {
        "/",
        "/dead-letters",
        "/fragments/recordings",
        "/healthz",
        "/metrics",
        "/openapi.json",
        "/v1/audit",
        "/v1/dead-letters",
        "/v1/dead-letters/causes",
        "/v1/events",
        "/v1/keys",
        "/v1/models",
        "/v1/models/{model}",
        "/v1/recordings",
        "/v1/uploads/{tenant}/{key}",
        "/v1/webhooks",
        "/v1/webhooks/{webhook_id}/deliveries",
    }
)
LOOKING = frozenset({"GET", "HEAD", "OPTIONS"})
#: Who sends an upload: the address itself is the right to.
PERMIT = "permit"
FAILED, SWITCHED = 500, 101
_STATUS = {"http.response.start", "websocket.http.response.start"}
_BODY = {"http.response.body", "websocket.http.response.body"}


class Logged:
    """Middleware, behind the one that finds out who asks.

    The last bytes of an answer wait for its action, one small commit: between two requests the
    platform gives an instance no time, and a reader who was told everything stands in the log. A
    log that cannot be written takes no answer back: then the error is said, with its route.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope)

        async def sent(message: Message) -> None:
            if exchange.ends_with(message):
                await exchange.keep()
            await send(message)

        try:
            await self._app(scope, receive, sent)
        finally:
            await exchange.keep()  # a line that broke off, or a live stream


class _Exchange:
    """One request and how it is answered, kept once."""

    def __init__(self, scope: Scope) -> None:
        self._scope, self._parts = scope, scope["app"].state.parts
        self._begun, self._status, self._kept = self._parts.now(), FAILED, False

    def ends_with(self, message: Message) -> bool:
        """Whether this is the last of the answer."""
        if message["type"] in _STATUS:
            self._status = int(message["status"])
        if message["type"] == "websocket.accept":
            self._status = SWITCHED
        return message["type"] in _BODY and not message.get("more_body", False)

    async def keep(self) -> None:
        action = None if self._kept else _action(self._scope, self._begun, self._status)
        self._kept = True
        if action is not None:
            await run_in_threadpool(_keep, self._parts, action)


def _keep(parts: Parts, action: Action) -> None:
    try:
        parts.actions.append(action)
    except EarwitnessError as error:
        say(log, error, unlogged=f"{action.method} {action.route}")


def _action(scope: Scope, at: datetime, status: int) -> Action | None:
    """What is kept of an exchange; None of one that nobody was let in with, or that is PLAIN."""
    state: dict[str, Any] = scope.get("state", {})
    route, method = getattr(scope.get("route"), "path", None), scope.get("method", "WEBSOCKET")
    who: Caller | None = state.get("caller")
    if route is None or who is None or (method in LOOKING and route in PLAIN):
        return None
    known: Recording | None = state.get("about")
    tenant, one = (known.tenant, known.id) if known else (_tenant(scope, who), None)
    entropy = secrets.token_bytes(2 * SALT_BYTES)
    return acted(tenant, at, _actor(scope, who), (method, route), one, status, entropy)


def _tenant(scope: Scope, who: Caller) -> str:
    """Whose log it belongs in: the key's, the one that was asked for, or everybody's."""
    asked = scope["path_params"].get("tenant") or HTTPConnection(scope).query_params.get("tenant")
    named = asked if asked and TENANT.fullmatch(asked) else None
    return who.tenant or named or EVERYBODY


def _actor(scope: Scope, who: Caller) -> str:
    if who.key is None and "key" in scope["path_params"] and scope.get("method") != "GET":
        return PERMIT
    return actor(who, "api" if scope["path"].startswith(API) else "page")
