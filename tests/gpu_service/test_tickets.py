"""`POST /pubsub/tickets` through ASGI: real decoder, real store, the echo engine."""

import base64
import json
import sqlite3
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO

import httpx
import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from gpu_service.archiving.restoring import restore
from gpu_service.main import create_app
from gpu_service.slots import Slots
from gpu_service.tickets import parse
from shared.domain.lanes import Lane
from shared.domain.recording import UploadedObject
from shared.domain.states import State
from shared.errors import InvalidSettings
from shared.flows.grip import Grip
from shared.settings import Cascade, load
from shared.wiring import STORE, intake
from tests.broker import RecordingBroker
from tests.sounds import speech, tone_wav

KEY = rsa.generate_private_key(65537, 2048)
IDENTITY = {
    "push_issuer": "https://earwitness.local",
    "push_audience": "earwitness",
    "push_email": "push@earwitness.local",
    "push_subject": "local-push",
}


def authorization():
    now = int(time.time())
    claims = {
        "iss": IDENTITY["push_issuer"],
        "aud": IDENTITY["push_audience"],
        "email": IDENTITY["push_email"],
        "email_verified": True,
        "sub": IDENTITY["push_subject"],
        "iat": now,
        "exp": now + 600,
    }
    return "Bearer " + jwt.encode(claims, KEY, algorithm="RS256", headers={"kid": "k"})


def envelope(body, message_id="1"):
    data = base64.b64encode(json.dumps(body).encode()).decode()
    return {"message": {"data": data, "messageId": message_id}, "subscription": "s"}


@pytest.fixture
def settings(tmp_path):
    jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key())) | {"kid": "k"}
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [jwk]}))
    with RecordingBroker() as broker:
        yield load(
            home=tmp_path / "home",
            push_keys=str(tmp_path / "jwks.json"),
            broker_url=broker.url,
            cascade={"transcribe": ["echo"], "classify": []},
            slots=2,
            decoders=1,
            **IDENTITY,
        )


@pytest.fixture
async def service(settings):
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            client.house, client.metrics = app.state.house, app.state.metrics
            yield client


def drop(house, content, name="uploads/demo/a.wav", **metadata) -> UploadedObject:
    parts = house.parts
    upload = parts.inlet.put(
        name, BytesIO(content), content_type="", metadata=metadata, at=datetime.now(UTC)
    )
    return intake(parts)(upload)


async def ring(service, body=None, **headers):
    return await service.post(
        "/pubsub/tickets",
        json=envelope(body or {"v": 1, "lane": "high"}),
        headers={"authorization": authorization()} | headers,
    )


async def test_a_ticket_turns_a_recording_into_a_result(service):
    made = drop(service.house, tone_wav(3.0))

    answer = await ring(service)

    known = service.house.parts.recordings.get(made.id)
    assert (answer.status_code, known.state) == (204, State.DONE)
    result = json.loads(service.house.parts.results.load(known.result, "result.json"))
    assert result["audio"]["duration_s"] == pytest.approx(3.0, abs=0.01)
    assert result["recording"]["sha256"]
    assert service.house.slots.taken == 0


def due(house, recording_id):
    """Its original is to be compressed now."""
    now = datetime.now(UTC)
    house.parts.retention.decide(
        recording_id, lambda known: replace(known, compress_at=now), "archive", now
    )


async def test_a_heard_recording_is_compressed_in_a_month_if_it_is_pcm_and_kept_long(service):
    made = drop(service.house, tone_wav(3.0))

    await ring(service)

    known = service.house.parts.recordings.get(made.id)
    assert known.compress_at == known.uploaded_at + timedelta(days=23)


async def test_a_low_ticket_that_finds_nothing_to_hear_compresses_what_is_due(service):
    content, parts = tone_wav(3.0), service.house.parts
    made = drop(service.house, content)
    await ring(service)
    due(service.house, made.id)

    high = await ring(service)
    untouched = parts.recordings.get(made.id).archived
    low = await ring(service, {"v": 1, "lane": "low"})

    known = parts.recordings.get(made.id)
    assert (high.status_code, low.status_code, untouched) == (204, 204, None)
    assert service.house.pushes["nothing"] == 2
    with parts.uploads.fetch(known.original.name, known.original.generation) as fetched:
        restored = BytesIO()
        restore(fetched.file, restored)
    assert restored.getvalue() == content
    assert known.original.size_bytes < len(content)


async def test_what_waits_to_be_heard_is_heard_first(service):
    made = drop(service.house, tone_wav(3.0))
    await ring(service)
    due(service.house, made.id)
    other = drop(service.house, tone_wav(2.0), "uploads/demo/bulk/b.wav")

    await ring(service, {"v": 1, "lane": "low"})

    parts = service.house.parts
    assert parts.recordings.get(other.id).state is State.DONE
    assert parts.recordings.get(made.id).archived is None


async def test_nothing_is_compressed_while_we_stop(service):
    made = drop(service.house, tone_wav(3.0))
    await ring(service)
    due(service.house, made.id)
    service.house.stopping = True

    assert service.house.compress(service.house.needed) == 0
    assert service.house.parts.recordings.get(made.id).archived is None


async def test_a_wished_engine_outside_every_cascade_is_asked(settings):
    """`hear --engine whisper` under a cascade of echo ended dead: only engines of a cascade
    were ever started."""
    app = create_app(msgspec.structs.replace(settings, engines={"other": {"kind": "echo"}}))
    async with app.router.lifespan_context(app):
        house = app.state.house
        made = drop(house, speech("Good morning."), engine="other")

        house.work(list(Lane))

    known = house.parts.recordings.get(made.id)
    result = json.loads(house.parts.results.load(known.result, "result.json"))
    assert {d["engine"] for d in result["decisions"]} == {"other"}


async def test_a_wished_engine_that_does_not_transcribe_is_refused_at_once(service):
    """`hear --engine sounds` took four attempts and 38 s to die of a ValueError."""
    made = drop(service.house, speech("Good morning."), engine="sounds")

    service.house.work(list(Lane))

    known = service.house.parts.recordings.get(made.id)
    assert (known.state, known.attempts) == (State.REJECTED, 1)
    assert known.error.code == "invalid_wish"
    assert "sounds does not transcribe" in known.error.message


async def test_nothing_ready_is_acked(service):
    assert (await ring(service)).status_code == 204


async def test_a_stranger_is_refused_before_anything_is_looked_at(service):
    made = drop(service.house, tone_wav(1.0))

    answer = await ring(service, authorization="Bearer x.y.z")

    assert answer.status_code == 403
    assert service.house.pushes == {"forged_ticket": 1}
    assert service.house.parts.recordings.get(made.id).state is State.QUEUED


NO_TICKETS = {
    "empty": b"",
    "no JSON": b"\xff{",
    "no message": b"{}",
    "a list": b"[]",
    "a message that is a text": b'{"message": "x"}',
    "no data": b'{"message": {"attributes": {"a": "b"}}}',
    "unknown lane": json.dumps(envelope({"v": 1, "lane": "middle"})).encode(),
    "unknown version": json.dumps(envelope({"v": 2, "lane": "high"})).encode(),
    "data that is no object": json.dumps(envelope(7)).encode(),
    "bad base64": b'{"message": {"data": "%%%"}}',
    "base64 of no JSON": b'{"message": {"data": "AAAA"}}',
    "too large": b'{"message": {"data": "' + b"A" * 70_000 + b'"}}',
    "deep": b'{"message":' * 20_000,
}


@pytest.mark.parametrize("body", NO_TICKETS.values(), ids=NO_TICKETS.keys())
async def test_what_is_no_ticket_is_acked_counted_and_logged(service, caplog, body):
    """It would be none the next time either: any other answer makes Pub/Sub send it for days."""
    answer = await service.post(
        "/pubsub/tickets", content=body, headers={"authorization": authorization()}
    )

    assert answer.status_code == 204
    assert service.house.pushes == {"invalid_event": 1}
    [line] = [r for r in caplog.records if r.name == "earwitness.tickets"]
    assert (line.levelname, line.code) == ("WARNING", "invalid_event")


async def test_what_a_ticket_says_beyond_its_lane_does_not_matter(service):
    made = drop(service.house, tone_wav(1.0))
    said = envelope({"v": 1, "lane": "high", "colour": "red"})
    said["message"] |= {
        "attributes": {"unknown": "x", "traceparent": "nonsense"},
        "orderingKey": "k",
    }

    answer = await service.post(
        "/pubsub/tickets",
        json=said | {"deliveryAttempt": 7},
        headers={"authorization": authorization()},
    )

    assert answer.status_code == 204
    assert service.house.parts.recordings.get(made.id).state is State.DONE
    assert service.house.pushes == {"done": 1}


async def test_a_full_service_says_so_and_costs_nobody_an_attempt(service):
    made = drop(service.house, tone_wav(1.0))
    service.house.slots = slots = Slots(1, patience_s=0.001)

    async with slots.take(Lane.HIGH):
        full = await ring(service)
    heard = await ring(service)

    assert (full.status_code, heard.status_code) == (429, 204)
    assert service.house.parts.recordings.get(made.id).attempts == 1


def test_nothing_of_a_ticket_is_kept():
    """pydantic kept up to 16,384 message ids, none of which comes twice: memory grew by 1 MB
    in the first 10,000 jobs."""
    pushed = [json.dumps(envelope({"v": 1, "lane": "high"}, f"id-{n}")) for n in range(5_000)]
    parse(pushed[0].encode())
    before = sys.getallocatedblocks()

    for body in pushed:
        parse(body.encode())

    assert sys.getallocatedblocks() - before < 500


async def test_a_refusal_found_while_decoding_is_acked(service):
    head = tone_wav(1.0)[:44]
    made = drop(service.house, head + b"\x00\x00")

    answer = await ring(service)

    assert answer.status_code == 204
    assert service.house.parts.recordings.get(made.id).state in (State.DONE, State.REJECTED)


async def test_readiness_says_what_there_is(service):
    ready = await service.get("/readyz")
    service.house.stopping = True
    stopping = await service.get("/readyz")

    assert (ready.status_code, stopping.status_code) == (200, 503)
    assert ready.json()["slots"] == {"taken": 0, "places": 2}
    assert set(ready.json()["engines"]) >= {"whisper", "sounds", "echo"}
    assert (await service.get("/livez")).json() == {"status": "alive"}


@pytest.mark.parametrize(
    ("cascade", "said"),
    [
        (Cascade(transcribe=["oracle"], classify=[]), "TRANSCRIBE names oracle: there is no such"),
        (Cascade(transcribe=["sounds"], classify=[]), "TRANSCRIBE names sounds: it cannot"),
        (Cascade(transcribe=["echo"], classify=["whisper"]), "CLASSIFY names whisper: it cannot"),
    ],
)
def test_a_cascade_that_cannot_work_is_said_at_start(settings, cascade, said):
    with pytest.raises(InvalidSettings, match=said):
        create_app(msgspec.structs.replace(settings, cascade=cascade))


async def test_a_store_in_trouble_is_rung_again(service, monkeypatch):
    monkeypatch.setattr("shared.adapters.embedded.sqlite_database.BUSY_MS", 50)
    made = drop(service.house, tone_wav(1.0))
    other = sqlite3.connect(service.house.settings.home / STORE, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    refused = await ring(service)
    other.execute("ROLLBACK")
    heard = await ring(service)

    assert (refused.status_code, heard.status_code) == (503, 204)
    known = service.house.parts.recordings.get(made.id)
    assert (known.state, known.attempts) == (State.DONE, 1)


async def test_what_is_held_at_the_end_is_handed_over(settings):
    """Stopping spends no attempt: the next start goes on where this one was."""
    app = create_app(settings)
    house = app.state.house
    made = drop(house, tone_wav(1.0))

    async with app.router.lifespan_context(app):
        lease = house.parts.jobs.lease_next(tuple(Lane), "w", house.parts.now(), 60)
        house.work.grips[made.id] = Grip(house.parts.jobs, lease, house.parts.now, 60)

    assert house.parts.recordings.get(made.id).state is State.QUEUED
    again = house.parts.jobs.lease_next(tuple(Lane), "w", house.parts.now(), 60)
    assert (again.attempt, again.token) == (1, 2)
