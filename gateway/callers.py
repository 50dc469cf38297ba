"""Who asks: the holder of an API key, or whoever opened the page: on one machine who sits at it, in
the cloud who signed in before the door."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, State
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway import errors
from gateway.incoming import drained
from gateway.viewers import Viewers
from shared.domain.api_keys import ApiKey, id_of, looks_like_one, opens
from shared.domain.api_keys import Scope as Right
from shared.errors import EarwitnessError, Forbidden, InvalidApiKey, NotFound
from shared.settings import Backend, Settings
from shared.wiring import Parts

#: Where keys are asked for; a page is for whoever sits at the machine.
API = "/v1/"
#: What nobody needs a key for: whether we live, and what the API is.
OPEN = frozenset({"/healthz", "/openapi.json", "/metrics"})
#: Sent with a permit of its own (`gateway.signatures`), by whoever was given it.
PERMITTED = ("PUT", "/v1/uploads/")
LOOKING = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Caller:
    """`key` None: whoever opened the page; they may see and do everybody's."""

    key: ApiKey | None = None
    viewer: str | None = None  #: e-mail of who signed in

    @property
    def tenant(self) -> str | None:
        """Whose things the caller may see; None: everybody's."""
        return self.key.tenant if self.key else None

    def may_see(self, tenant: str) -> bool:
        return self.tenant in (None, tenant)


def required(settings: Settings) -> bool:
    """Whether nobody comes in without a key: where others than this machine may knock."""
    wished = settings.keys_required
    reachable = settings.backend is Backend.GCP or bool(settings.public_hosts)
    return reachable if wished is None else wished


class Keyholder:
    """Middleware: finds out who asks, and whether they may ask for that at all."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            # It reads the store, which blocks.
            request.state.caller = await run_in_threadpool(caller, request)
        except EarwitnessError as error:
            await drained(request)
            await errors.known(request, error)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def caller(request: Request) -> Caller:
    """Who asks; reads the store if there is a key.

    Raises:
        InvalidApiKey: the key is none of ours or was revoked, or there is none and one is needed.
        Forbidden: the key may not do that.
    """
    method, path = request.method, request.url.path
    if path in OPEN or (method == PERMITTED[0] and path.startswith(PERMITTED[1])):
        return Caller()
    right = Right.READ if method in LOOKING else Right.WRITE
    found = admitted(request.app.state, request.headers, right)
    if found.key and not path.startswith(API):
        raise Forbidden("A key opens the API under /v1/, not the page.")
    return found


def admitted(state: State, headers: Headers, right: Right) -> Caller:
    """Who holds the key in these headers; without one who signed in, or sits here.

    Raises:
        InvalidApiKey: it is none of ours or was revoked, or there is none and one is needed.
        Forbidden: the key lacks `right`.
        KeysUnavailable: nobody can tell who signed in; asking again will help.
    """
    parts: Parts = state.parts
    viewers: Viewers | None = state.viewers
    text = _bearer(headers)
    # A key says more than an identity: a program brings both, and means one tenant.
    email = viewers.signed_in(headers) if viewers and text is None else None
    if email is not None:
        return Caller(viewer=email)
    if not required(parts.settings) and (text is None or not looks_like_one(text)):
        # Clients of OpenAI's API cannot be made without any key: theirs, or `unused`, is none.
        return Caller()
    key = held(parts, text or "")
    if not key.may(right):
        raise Forbidden("This key may only look. Make one with `--scope write`.")
    return Caller(key)


def held(parts: Parts, text: str) -> ApiKey:
    """The key that `text` is.

    Raises:
        InvalidApiKey: none of ours, or one that was revoked.
    """
    key_id = id_of(text)
    key = parts.api_keys.get(key_id) if key_id else None
    if key is None or not opens(key, text):
        raise InvalidApiKey
    today = parts.now().date()
    if key.used_on is None or key.used_on < today:
        parts.api_keys.used(key.id, today)  # once a day: no request but the first writes
    return key


def _bearer(headers: Headers) -> str | None:
    """The token, or None if there is no Authorization header.

    Raises:
        InvalidApiKey: there are several, or it is of another kind.
    """
    given = headers.getlist("authorization")
    if not given:
        return None
    scheme, _, token = given[0].partition(" ")
    if len(given) > 1 or scheme.lower() != "bearer":
        raise InvalidApiKey
    return token.strip()


def caller_of(request: Request) -> Caller:
    found: Caller = request.state.caller
    return found


#: For the API description; `Keyholder` does the work, before any route is chosen.
_KEY = HTTPBearer(
    auto_error=False,
    scheme_name="API key",
    description="Made with `earwitness keys new`. On 127.0.0.1 none is needed.",
)
DESCRIBED = Security(_KEY)
Calling = Annotated[Caller, Depends(caller_of)]


def own(caller: Caller, tenant: str | None) -> str | None:
    """The tenant to list: the one asked for, if the caller may see it; else the caller's own.

    Raises:
        NotFound: another's, which for this caller is not there.
    """
    if tenant is not None and not caller.may_see(tenant):
        raise NotFound
    return tenant or caller.tenant
