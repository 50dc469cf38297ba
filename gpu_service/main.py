"""The GPU service: `create_app` wires, `serve` runs it until SIGTERM."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI, Request, Response

from gpu_service import analyses, metrics, models_api, stream, tickets
from gpu_service.house import House, build
from gpu_service.openai_api import routes
from shared import logs, spans, wiring
from shared.exchanges import Observed
from shared.settings import Settings

#: Seconds from SIGTERM until what still runs is handed over; the platform kills after 10 s.
GRACE_S = 5
#: Seconds of these that streams get to tell what they heard, before their lines are cut.
DRAIN_S = 2.5
#: Bytes of one WebSocket message: a second of 8 channels at 192 kHz in float32.
MAX_FRAME = 6 << 20
ROUTERS = (models_api, stream, routes, analyses, metrics)


def create_app(settings: Settings) -> FastAPI:
    """The app over a house that its lifespan starts and stops.

    Raises:
        InvalidSettings: every wrong setting is named.
    """
    house, told = build(settings), metrics.Metrics()
    told.watch(house)
    streams = stream.Streams(house, told.instruments.answered)
    told.portray(house, streams)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        told.start()
        await asyncio.to_thread(house.start)
        yield
        streams.stop()
        await asyncio.to_thread(house.stop)
        await asyncio.to_thread(spans.flush)
        told.stop()

    app = FastAPI(title="Earwitness GPU service", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.house, app.state.streams, app.state.metrics = house, streams, told
    app.state.openai_api = routes.build(house)
    app.router.routes.append(tickets.ROUTE)
    for module in ROUTERS:
        app.include_router(module.router)
    app.add_middleware(Observed, seen=told.instruments.exchanged)
    app.add_api_route("/livez", livez)
    app.add_api_route("/readyz", readyz)
    return app


def livez() -> dict[str, str]:
    """The process answers."""
    return {"status": "alive"}


def readyz(request: Request, response: Response) -> dict[str, object]:
    """Whether tickets are welcome: not while stopping; while engines load they wait inside."""
    house: House = request.app.state.house
    response.status_code = 503 if house.stopping else 200
    return {
        "status": house.standing,
        "sandboxed": house.decoder.sandboxed,
        "engines": {name: host.state.value for name, host in house.hosts.items()},
        "slots": {"taken": house.slots.taken, "places": house.slots.places},
        "pushes": house.pushes,
    }


class _Server(uvicorn.Server):
    """Says at once that we stop, so that running jobs hand over at their next segment."""

    def __init__(self, config: uvicorn.Config, house: House, streams: stream.Streams) -> None:
        super().__init__(config)
        self._house, self._streams = house, streams

    def handle_exit(self, sig: int, frame: object) -> None:
        self._house.stopping = True
        super().handle_exit(sig, frame)  # type: ignore[arg-type]  # a FrameType, as given

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # The framework cuts WebSockets at once; streams first say how to go on elsewhere.
        await self._streams.drain(DRAIN_S)
        await super().shutdown(sockets)


def serve(settings: Settings, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT, then stop within GRACE_S and a little."""
    logs.set_up()
    wiring.observe(settings, "service")
    server(create_app(settings), host, port).run()


def server(app: FastAPI, host: str, port: int) -> uvicorn.Server:
    """A server of the app, ready to run."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        # Nobody asks whose address it was, or which server this is.
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
        timeout_keep_alive=75,
        ws_max_size=MAX_FRAME,
        # Compression costs memory for each line, and sound does not compress by deflate.
        ws_per_message_deflate=False,
        # Pings keep proxies awake. An answer is not demanded: while a busy engine stops us from
        # reading, none can be seen. Who is silent for EARWITNESS_STREAM_IDLE_S is let go.
        ws_ping_interval=20.0,
        ws_ping_timeout=None,
    )
    return _Server(config, app.state.house, app.state.streams)
