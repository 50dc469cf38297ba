"""Each function through the real framework, on a store in a temporary HOME."""

import base64
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from functions_framework import create_app

import functions.main as source
from shared import wiring
from shared.domain.states import State
from shared.domain.tenants import Tier
from tests.broker import RecordingBroker
from tests.sounds import silence_wav


@pytest.fixture
def broker():
    with RecordingBroker() as running:
        yield running


@pytest.fixture
def parts(tmp_path, monkeypatch, broker):
    monkeypatch.setenv("EARWITNESS_HOME", str(tmp_path))
    monkeypatch.setenv("EARWITNESS_BROKER_URL", broker.url)
    wiring.from_environment.cache_clear()
    yield wiring.from_environment()
    wiring.from_environment.cache_clear()


@pytest.fixture
def function(parts):
    """One entry point as the platform calls it."""

    def client(name):
        app = create_app(name, str(Path(source.__file__)), "cloudevent")
        app.testing = False
        return app.test_client()

    return client


def headers(kind, subject=""):
    return {
        "ce-id": "e1",
        "ce-source": "//storage.googleapis.com/projects/_/buckets/uploads",
        "ce-specversion": "1.0",
        "ce-type": kind,
        "ce-subject": subject,
        "content-type": "application/json",
    }


FINALIZED = "google.cloud.storage.object.v1.finalized"
PUBLISHED = "google.cloud.pubsub.topic.v1.messagePublished"


def stored(parts, content, name="uploads/acme/talk.wav", metadata=None):
    parts.tenants.ensure("acme", Tier.FREE, datetime.now(UTC))
    with (parts.settings.home / "in").open("wb+") as file:
        file.write(content)
        file.seek(0)
        return parts.inlet.put(
            name, file, content_type="audio/wav", metadata=metadata or {}, at=datetime.now(UTC)
        )


def finalized(upload, **changes):
    body = {
        "bucket": upload.bucket,
        "name": upload.name,
        "generation": str(upload.generation),
        "size": str(upload.size_bytes),
        "contentType": upload.content_type,
        "metadata": dict(upload.metadata),
        "timeCreated": upload.created_at.isoformat(),
    }
    kept = {k: v for k, v in (body | changes).items() if v is not None}
    return {"headers": headers(FINALIZED), "data": json.dumps(kept)}


def published(body):
    data = base64.b64encode(json.dumps(body).encode()).decode()
    message = {"message": {"data": data, "messageId": "1"}, "subscription": "s"}
    return {"headers": headers(PUBLISHED), "data": json.dumps(message)}


def test_an_upload_becomes_a_queued_recording_and_one_ticket(function, parts, broker):
    upload = stored(parts, silence_wav(2.0))

    answer = function("on_audio_uploaded").post("/", **finalized(upload))

    [known] = parts.recordings.page()
    assert answer.status_code == 200
    assert (known.state, known.tenant, known.path) == (State.QUEUED, "acme", "talk.wav")
    assert known.seconds == pytest.approx(2.0)
    assert broker.bodies("lane-low") == [{"v": 1, "lane": "low"}]


def test_an_event_that_comes_again_adds_nothing(function, parts, broker):
    upload = stored(parts, silence_wav(2.0))
    post = function("on_audio_uploaded").post

    codes = [post("/", **finalized(upload)).status_code for _ in range(3)]

    assert codes == [200] * 3
    assert len(parts.recordings.page()) == 1
    assert len(broker.bodies("lane-low")) == 1


def test_a_broken_broker_is_an_exception_and_the_redelivery_publishes(function, parts, broker):
    upload = stored(parts, silence_wav(2.0))
    post = function("on_audio_uploaded").post
    broker.status = 503

    first = post("/", **finalized(upload))
    broker.status = 200
    second = post("/", **finalized(upload))

    assert (first.status_code, second.status_code) == (500, 200)
    assert parts.recordings.page()[0].state is State.QUEUED


@pytest.mark.parametrize(
    ("content", "name", "metadata", "code"),
    [
        pytest.param(b"", "uploads/acme/a.wav", {}, "empty_audio", id="empty"),
        pytest.param(b"Hello, world. " * 9, "uploads/acme/a.wav", {}, "not_audio", id="text"),
        pytest.param(b"RIFF\x00", "uploads/acme/a.wav", {}, "damaged_audio", id="cut header"),
        pytest.param(b"#EXTM3U\n", "uploads/acme/a.mp3", {}, "references_elsewhere", id="hls"),
        pytest.param(silence_wav(1), "a.wav", {}, "outside_tenant_folder", id="no folder"),
        pytest.param(silence_wav(1), "uploads/stranger/a.wav", {}, "unknown_tenant", id="stranger"),
        pytest.param(
            silence_wav(1), "uploads/acme/a.wav", {"lane": "x"}, "invalid_wish", id="wish"
        ),
        pytest.param(
            silence_wav(3601, rate=4000), "uploads/acme/a.wav", {}, "audio_too_long", id="1 h 1 s"
        ),
    ],
)
def test_a_hopeless_upload_is_recorded_and_settled(
    function, parts, broker, content, name, metadata, code
):
    upload = stored(parts, content, name, metadata)

    answer = function("on_audio_uploaded").post("/", **finalized(upload))

    [known] = parts.recordings.page()
    assert answer.status_code == 200
    assert (known.state, known.error.code) == (State.REJECTED, code)
    assert broker.bodies("lane-low") == broker.bodies("lane-high") == []


@pytest.mark.parametrize(
    "changes",
    [{"generation": None}, {"size": "many"}, {"timeCreated": "yesterday"}, {"name": None}],
)
def test_an_event_that_is_none_is_settled(function, parts, changes):
    upload = stored(parts, silence_wav(1.0))

    answer = function("on_audio_uploaded").post("/", **finalized(upload, **changes))

    assert answer.status_code == 200
    assert parts.recordings.page() == []


def test_an_object_that_is_gone_is_settled(function, parts):
    upload = stored(parts, silence_wav(1.0))

    answer = function("on_audio_uploaded").post("/", **finalized(upload, generation="9"))

    assert answer.status_code == 200


def test_a_tick_rings_for_what_waits(function, parts, broker):
    upload = stored(parts, silence_wav(2.0))
    broker.status = 503
    function("on_audio_uploaded").post("/", **finalized(upload))
    broker.status, broker.taken[:] = 200, []

    answer = function("reconcile").post("/", **published({}))

    assert answer.status_code == 200
    assert parts.outbox.pending() == []
    assert len(broker.bodies("lane-low")) >= 1


def test_a_dead_letter_is_one_error_in_the_log(function, parts, caplog):
    letter = {"recording_id": "r1", "tenant": "acme", "code": "engine_died", "message": "It died."}

    answer = function("on_job_dead").post("/", **published(letter))

    assert answer.status_code == 200
    [record] = [r for r in caplog.records if r.name == "earwitness.dead"]
    assert (record.levelname, record.recording_id) == ("ERROR", "r1")


@pytest.mark.parametrize("data", ["no json", "[]", "1"])
def test_a_message_that_is_none_is_settled(function, parts, data):
    message = {"message": {"data": base64.b64encode(data.encode()).decode()}}

    answer = function("on_job_dead").post("/", headers=headers(PUBLISHED), data=json.dumps(message))

    assert answer.status_code == 200
