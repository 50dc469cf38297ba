"""The gateway: `create_app` wires, `serve` runs it until SIGTERM."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from gateway import (
    actions,
    analyses,
    audio,
    audit,
    callers,
    corrections,
    dead_letters,
    deliberations,
    erasures,
    errors,
    events,
    exports,
    health,
    keeping,
    keys,
    metrics,
    openai_api,
    page,
    recordings,
    rendering,
    retention,
    search,
    static,
    stream,
    tenants,
    transcripts,
    uploads,
    usage,
    webhooks,
)
from gateway.headers import headers
from gateway.secrets import agreed, secret
from gateway.security import Doorkeeper
from gateway.sessions import Sessions
from gateway.upstream import Upstream
from gateway.viewers import viewers
from shared import logs, wiring
from shared.domain.testimony import VERSION
from shared.exchanges import Observed
from shared.ports import Permits
from shared.settings import Backend, Settings

#: Seconds from SIGTERM until open answers are cut; the platform kills after 10 s.
GRACE_S = 5
ROUTERS = (
    *(recordings, transcripts, deliberations, corrections, audio, uploads, search, dead_letters),
    *(audit, events, erasures, exports, keys, openai_api, analyses, stream, metrics, health, page),
    *(keeping, retention, tenants, usage, webhooks),
)
SUMMARY = "Recordings in, testimony out."


def create_app(settings: Settings) -> FastAPI:
    """The app over the store of HOME; keys are made at the first start.

    Raises:
        InvalidSettings: the backend cannot be had, or the store is a newer version's.
        StoreUnavailable, DiskFull: starting again may help.
    """
    app = described()
    app.state.parts = wiring.parts(settings)
    app.state.page_token = page_token(settings, app.state.parts)
    app.state.permits = permits(app, settings)
    app.state.headers = headers(app.state.permits.bucket_url)
    app.state.sessions = Sessions(settings.home / "tmp")
    app.state.changes = events.Changes(wiring.changes(settings))
    app.state.upstream = upstream(settings)
    app.state.viewers = viewers(settings)
    app.state.templates = rendering.templates(settings, app.state.page_token)
    return app


def page_token(settings: Settings, parts: wiring.Parts) -> str:
    """What a page of ours shows; in the cloud any instance may be asked next, so all know one."""
    own = secret(settings.home / "keys" / "page.token")
    if settings.backend is Backend.EMBEDDED:
        return own
    return agreed(parts.bookmarks, "gateway/page.token", own)


def permits(app: FastAPI, settings: Settings) -> Permits:
    """Who signs the addresses of uploads; on one machine by the app's own clock and key."""

    def now() -> datetime:
        return app.state.parts.now()  # type: ignore[no-any-return]  # an app's state has no types

    return wiring.permits(settings, lambda: secret(settings.home / "keys" / "upload.key"), now)


def upstream(settings: Settings) -> Upstream:
    """The line to the GPU service; where none is set, one that says so."""
    identity = wiring.gateway_identity(settings) if settings.service_url else None
    return Upstream(settings, identity)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    await app.state.upstream.close()


def described() -> FastAPI:
    """The routes without a store: what the API description is generated from."""
    app = FastAPI(
        title="Earwitness",
        summary=SUMMARY,
        version=VERSION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan,
    )
    for module in ROUTERS:
        app.include_router(module.router, dependencies=[callers.DESCRIBED])
    app.mount("/static", static.Assets(directory=Path(__file__).parent / "static"))
    errors.register(app)
    # The last one added is met first.
    app.add_middleware(actions.Logged)
    app.add_middleware(callers.Keyholder)
    app.add_middleware(Doorkeeper)
    app.state.metrics = metrics.Metrics()
    app.add_middleware(Observed, seen=app.state.metrics.exchanged)
    return app


class _Server(uvicorn.Server):
    """Tells open event streams at once that we stop; else they would use up the grace."""

    def __init__(self, config: uvicorn.Config, changes: events.Changes) -> None:
        super().__init__(config)
        self._changes = changes

    def handle_exit(self, sig: int, frame: object) -> None:
        self._changes.stop()
        super().handle_exit(sig, frame)  # type: ignore[arg-type]  # a FrameType, as given


def serve(settings: Settings, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT, then stop within GRACE_S."""
    logs.set_up()
    app = create_app(settings)
    server(app, host, port).run()


def server(app: FastAPI, host: str, port: int) -> uvicorn.Server:
    """A server of the app, ready to run."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
        **stream.LINES,
    )
    return _Server(config, app.state.changes)
