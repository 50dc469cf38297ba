"""A project of its own for every test, on the emulators that all tests share."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from google.cloud import storage

from shared import wiring
from shared.domain.recording import UploadedObject
from shared.domain.tenants import Tier
from shared.settings import load
from tests.emulators import reached
from tests.pubsub import Topics

ARRIVALS = "upload-arrivals"


@dataclass(frozen=True)
class Cloud:
    topics: Topics
    parts: wiring.Parts

    def drop(
        self,
        content: bytes,
        name: str = "uploads/acme/talk.wav",
        metadata: Mapping[str, str] | None = None,
    ) -> UploadedObject:
        """An object in the bucket; nobody is told of it."""
        return self.parts.inlet.put(
            name,
            io.BytesIO(content),
            content_type="audio/wav",
            metadata=metadata or {},
            at=datetime.now(UTC),
        )


@pytest.fixture
def cloud(pubsub_emulator, firestore_emulator, storage_emulator, monkeypatch, tmp_path):
    """What Terraform would have made, and the variables it would have set."""
    reached(pubsub_emulator | firestore_emulator | storage_emulator, monkeypatch)
    project = f"test-{uuid4().hex[:12]}"
    topics = Topics(project)
    files = storage.Client(project)
    for kind in ("uploads", "results", "archive", "temp", "audit"):
        files.create_bucket(f"{project}-{kind}")
        monkeypatch.setenv(f"EARWITNESS_{kind.upper()}_BUCKET", f"{project}-{kind}")
    topics.make(ARRIVALS)
    monkeypatch.setenv("EARWITNESS_BACKEND", "gcp")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", project)
    monkeypatch.setenv("EARWITNESS_TOPIC_PREFIX", topics.prefix)
    monkeypatch.setenv("EARWITNESS_ARRIVALS_SUBSCRIPTION", topics.prefix + ARRIVALS)
    monkeypatch.setenv("EARWITNESS_HOME", str(tmp_path / "home"))
    wiring.from_environment.cache_clear()
    parts = wiring.parts(load())
    parts.tenants.ensure("acme", Tier.FREE, datetime.now(UTC))
    yield Cloud(topics, parts)
    wiring.from_environment.cache_clear()
    topics.close()
