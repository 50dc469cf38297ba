"""One recording's whole way, in this process: function, broker, service, store."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from functions_framework import create_app as framework_app

import functions.main as source
from gpu_service.main import create_app
from local import push_keys
from local.cloud_events import storage_finalized
from local.push_keys import PushKeys
from shared import wiring
from shared.adapters.embedded.sqlite_database import Database
from shared.adapters.embedded.sqlite_recordings import SqliteRecordings
from shared.domain.recording import Recording
from shared.settings import load
from tests.broker import RecordingBroker


@dataclass
class World:
    """The parts of one HOME, joined by hand as `local/` joins them."""

    broker: RecordingBroker
    client: httpx.AsyncClient
    house: Any
    keys: PushKeys

    @property
    def parts(self) -> wiring.Parts:
        return wiring.from_environment()

    def upload(self, content: bytes, name: str = "uploads/demo/a.wav", /, **metadata: str) -> Any:
        return self.parts.inlet.put(
            name, BytesIO(content), content_type="", metadata=metadata, at=datetime.now(UTC)
        )

    def announce(self, upload: Any, **headers: str) -> int:
        """The storage event reaches the function."""
        app = framework_app("on_audio_uploaded", str(Path(source.__file__)), "cloudevent")
        app.testing = False
        event = storage_finalized(upload)
        return (
            app.test_client()
            .post("/", headers=dict(event.headers) | headers, data=event.body)
            .status_code
        )

    async def ring(self, message: dict[str, Any]) -> int:
        """The message reaches the service, as the platform pushes it."""
        answer = await self.client.post(
            "/pubsub/tickets",
            json={"message": message | {"messageId": "1"}, "subscription": "s"},
            headers={"authorization": self.keys.authorization()},
        )
        return answer.status_code

    async def hear(self, upload: Any) -> Recording:
        """From the storage event to the end of the one ticket it led to."""
        self.announce(upload)
        [(_, message)] = self.broker.messages
        self.broker.messages.clear()
        await self.ring(message)
        return self.known()[0]

    def known(self) -> list[Recording]:
        """The recordings, looked up past every span."""
        return SqliteRecordings(Database(self.parts.settings.home / wiring.STORE)).page()


@pytest.fixture
async def world(tmp_path, monkeypatch):
    keys = PushKeys(tmp_path / "keys", wiring.clock)
    with RecordingBroker() as broker:
        said = {
            "HOME": str(tmp_path / "home"),
            "BROKER_URL": broker.url,
            "CASCADE__TRANSCRIBE": json.dumps(["echo"]),
            "CASCADE__CLASSIFY": "[]",
            "DECODERS": "1",
            "PUSH_ISSUER": push_keys.ISSUER,
            "PUSH_EMAIL": push_keys.EMAIL,
            "PUSH_SUBJECT": push_keys.SUBJECT,
            "PUSH_KEYS": str(keys.jwks),
        }
        for name, value in said.items():
            monkeypatch.setenv(f"EARWITNESS_{name}", value)
        wiring.from_environment.cache_clear()
        app = create_app(load())
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
                yield World(broker, client, app.state.house, keys)
        wiring.from_environment.cache_clear()
