"""Who asks: the holder of an API key, or whoever opened the page: on one machine who sits at it, in
the cloud who signed in before the door."""

import hashlib
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, State
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway import errors
from gateway.incoming import drained
from gateway.rights import lacking, needed
from gateway.viewers import Viewers
from shared.domain.api_keys import ApiKey, Grant, id_of, looks_like_one, opens
from shared.errors import EarwitnessError, ExpiredApiKey, Forbidden, InvalidApiKey, NotFound
from shared.settings import Backend, Settings
from shared.wiring import Parts

#: Where keys are asked for; a page is for whoever sits at the machine.
API = "/v1/"


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

    def may_grant(self, grant: Grant) -> bool:
        """Nobody makes a key that may more than their own."""
        return self.key is None or self.key.grant.covers(grant)


def actor(caller: Caller, nobody: str = "api") -> str:
    """Who asked, for histories: a key by its id, a person by a digest of the address.

    `nobody`: who it is where neither was needed.
    """
    if caller.key is not None:
        return f"key:{caller.key.id}"
    if caller.viewer is not None:
        return f"viewer:{hashlib.sha256(caller.viewer.encode()).hexdigest()[:16]}"
    return nobody


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
        ExpiredApiKey: its time is over.
        Forbidden: the key may not do that.
        NotFound: no key opens this address.
    """
    # As the routes see it: `request.url` would end the path at a question mark that was encoded.
    path: str = request.scope["path"]
    if _open(request.method, path):
        return Caller()
    found = identified(request.app.state, request.headers)
    if found.key:
        if not path.startswith(API):
            raise Forbidden("A key opens the API under /v1/, not the page.")
        check(found.key, request.method, path)
    return found


def _open(method: str, path: str) -> bool:
    """Whether nobody needs a key there."""
    try:
        return needed(method, path) is None
    except NotFound:
        return False


def check(key: ApiKey, method: str, path: str) -> None:
    """Whether the key may do that.

    Raises:
        Forbidden: it may not. NotFound: no key may, for the table of rights has no such line.
    """
    scope = needed(method, path)
    if scope is not None and not key.may(scope):
        raise lacking(scope)


def identified(state: State, headers: Headers) -> Caller:
    """Who holds the key in these headers; without one who signed in, or sits here.

    Raises:
        InvalidApiKey: it is none of ours or was revoked, or there is none and one is needed.
        ExpiredApiKey: its time is over.
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
    return Caller(held(parts, text or ""))


def held(parts: Parts, text: str) -> ApiKey:
    """The key that `text` is.

    Raises:
        InvalidApiKey: none of ours, or one that was revoked.
        ExpiredApiKey: its time is over; nobody is told who does not hold the very key.
    """
    key_id = id_of(text)
    key = parts.api_keys.get(key_id) if key_id else None
    if key is None or not opens(key, text):
        raise InvalidApiKey
    now = parts.now()
    if key.expired(now):
        raise ExpiredApiKey(_over(key))
    if key.used_on is None or key.used_on < now.date():
        parts.api_keys.used(key.id, now.date())  # once a day: no request but the first writes
    return key


def _over(key: ApiKey) -> str:
    ended = f"{key.expires_at:%Y-%m-%d at %H:%M} UTC"
    if key.rotated_to:
        return f"This API key was rotated and ended on {ended}. Use {key.rotated_to} in its place."
    return f"This API key ended on {ended}. Make another one with `earwitness keys new`."


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
