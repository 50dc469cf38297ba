"""A running service on a free port of 127.0.0.1, and a client of its streams."""

import asyncio
import contextlib
import json
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import uvicorn
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from gpu_service.main import create_app, server
from gpu_service.stream import Streams
from shared.settings import Settings
from shared.wiring import gateway_identity


@dataclass
class Running:
    app: Any
    serving: uvicorn.Server

    @property
    def address(self) -> str:
        host, port = self.serving.servers[0].sockets[0].getsockname()[:2]
        return f"{host}:{port}"

    @property
    def url(self) -> str:
        return f"ws://{self.address}/v1/audio/stream"

    @property
    def streams(self) -> Streams:
        return self.app.state.streams

    def terminate(self) -> None:
        """What SIGTERM does."""
        self.serving.handle_exit(signal.SIGTERM, None)


@contextmanager
def running(settings: Settings) -> Iterator[Running]:
    """In a thread, where it takes no signals from the tests."""
    app = create_app(settings)
    serving = server(app, "127.0.0.1", 0)
    up = threading.Event()
    begin = serving.startup

    async def startup(sockets=None):
        await begin(sockets)
        up.set()

    serving.startup = startup
    thread = threading.Thread(target=serving.run)
    thread.start()
    try:
        assert up.wait(60), "the service did not start"
        yield Running(app, serving)
    finally:
        serving.should_exit = True
        thread.join(30)


def pcm16(samples: np.ndarray) -> bytes:
    return (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()


def chunks(sound: bytes, size: int) -> list[bytes]:
    return [sound[at : at + size] for at in range(0, len(sound), size)]


class Client:
    """Speaks the protocol and keeps all replies."""

    def __init__(self, line: ClientConnection) -> None:
        self.line = line
        self.replies: list[dict[str, Any]] = []

    async def open(self, **config: object) -> dict[str, Any]:
        await self.line.send(json.dumps(config))
        return await self.next()

    async def send(self, frames: list[bytes]) -> None:
        for frame in frames:
            await self.line.send(frame)

    async def end(self) -> None:
        await self.line.send('{"type": "end"}')

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(60):
            self.replies.append(json.loads(await self.line.recv()))
        return self.replies[-1]

    async def until(self, kind: str) -> dict[str, Any]:
        while (reply := await self.next())["type"] != kind:
            pass
        return reply

    async def rest(self) -> int:
        """All replies until the line is closed; gives the close code."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                await self.next()
        return self.line.close_code

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [r for r in self.replies if r["type"] == kind]


def vouched(settings: Settings, tenant: str = "demo") -> dict[str, str]:
    """What the gateway says of a caller to the service."""
    vouching = gateway_identity(settings).authorization()
    return {"authorization": vouching, "x-earwitness-tenant": tenant}


def connected(up: "Running", tenant: str = "demo", **options: object):
    """As the gateway calls."""
    headers = vouched(up.app.state.house.settings, tenant)
    options = {"ping_interval": None, "open_timeout": 60} | options
    return connect(up.url, additional_headers=headers, **options)
