"""The GPU service and the gateway on Google's emulators: real decoder, the echo engine."""

import json
import os
from urllib.parse import urlsplit

import httpx
import msgspec
import pytest
from fastapi.testclient import TestClient

from gateway.main import create_app as gateway_app
from gpu_service.main import create_app as service_app
from local.push_keys import PushKeys
from shared import wiring
from shared.domain.api_keys import ENTROPY_BYTES, READER, minted
from shared.domain.lanes import Lane
from shared.domain.names import recording_id
from shared.domain.states import State
from shared.domain.tenants import Tier
from shared.settings import load
from tests.cloud.test_measurements import check
from tests.sounds import speech, tone_wav


@pytest.fixture
def settings(cloud, tmp_path):
    """Whose pushes the service takes does not matter here: work is called for directly."""
    return load(
        signing_key=PushKeys(tmp_path / "keys", cloud.parts.now).pem,
        gateway_email="gateway@example.com",
        cascade={"transcribe": ["echo"], "classify": []},
        slots=2,
        decoders=1,
        push_email="push@example.com",
        push_subject="1",
    )


@pytest.fixture
async def house(settings):
    app = service_app(settings)
    async with app.router.lifespan_context(app):
        yield app.state.house


@pytest.fixture
def gateway(settings):
    """As `up --emulators` starts it: only this machine reaches it, so it needs no key."""
    app = gateway_app(msgspec.structs.replace(settings, keys_required=False))
    with TestClient(app, base_url="http://127.0.0.1:8080") as client:
        client.changes = app.state.changes
        yield client


async def test_a_lease_turns_a_recording_into_a_result_in_the_bucket(cloud, house):
    made = wiring.intake(cloud.parts)(cloud.drop(tone_wav(3.0)))

    house.work(list(Lane))

    known = cloud.parts.recordings.get(made.id)
    assert known.state is State.DONE
    result = json.loads(cloud.parts.results.load(known.result, "result.json"))
    assert result["audio"]["duration_s"] == pytest.approx(3.0, abs=0.01)
    assert result["recording"]["uri"] == f"gs://{made.bucket}/uploads/acme/talk.wav"
    assert cloud.parts.results.load(known.result, "transcript.vtt").startswith(b"WEBVTT")


async def test_what_was_measured_and_what_is_announced_lies_in_pubsub(cloud, house):
    made = wiring.intake(cloud.parts)(cloud.drop(speech("Good morning.")))

    house.work(list(Lane))

    [row] = cloud.topics.bodies("inference-metrics", 1)
    check(row)
    assert (row["recording_id"], row["engine"], row["tenant"]) == (made.id, "echo", "acme")
    [told] = cloud.topics.bodies("recording-events", 1)
    assert (told["recording_id"], told["type"]) == (made.id, "recording.done")
    assert cloud.parts.outbox.pending() == []


async def test_the_gateway_lists_shows_and_finds_what_the_service_has_heard(cloud, house, gateway):
    made = wiring.intake(cloud.parts)(cloud.drop(tone_wav(3.0)))
    before = await gateway.changes.number()

    house.work(list(Lane))

    assert await gateway.changes.number() != before
    [listed] = gateway.get("/v1/recordings").json()["recordings"]
    shown = gateway.get(f"/v1/recordings/{made.id}").json()
    assert listed["recording"]["id"] == shown["recording"]["id"] == made.id
    assert shown["status"] == "done"
    assert gateway.get("/").status_code == 200


@pytest.fixture
def demo(cloud):
    cloud.parts.tenants.ensure("demo", Tier.ENTERPRISE, cloud.parts.now())


def offered(gateway, content, **asked):
    told = {"name": "h\u00e9llo.wav", "size": len(content), "content_type": "audio/wav", **asked}
    return gateway.post("/v1/uploads", json=told, headers=token(gateway)).json()


async def test_an_upload_lies_in_the_bucket_and_no_byte_meets_the_gateway(cloud, gateway, demo):
    content = tone_wav(1.0)
    minted = offered(gateway, content, metadata={"subject": "4711"})
    before = gateway.get(urlsplit(minted["status_url"]).path)

    taken = httpx.request(
        minted["method"], minted["url"], content=content, headers=minted["headers"]
    )

    assert taken.status_code == 200, taken.text
    assert minted["url"].startswith(os.environ["STORAGE_EMULATOR_HOST"])
    [stored] = cloud.parts.uploads.page()
    assert dict(stored.metadata) == {"name": "h\u00e9llo.wav", "subject": "4711"}
    with cloud.parts.uploads.fetch(stored.name, stored.generation) as fetched:
        assert fetched.file.read() == content
    after = gateway.get(urlsplit(minted["status_url"]).path)
    assert before.status_code == 404
    assert after.json() == {
        "recording_hint": recording_id(stored.bucket, stored.name, stored.generation)
    }


async def test_the_gateway_of_a_cloud_takes_no_bytes_itself(gateway, demo):
    minted = offered(gateway, b"12345")
    here = urlsplit(minted["status_url"]).path + "?" + urlsplit(minted["url"]).query

    answer = gateway.put(here, content=b"12345", headers=minted["headers"])

    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


async def test_the_page_may_send_to_the_bucket_and_to_no_other(cloud, gateway):
    policy = gateway.get("/").headers["Content-Security-Policy"]

    [bucket] = [one for one in policy.split(";") if one.strip().startswith("connect-src")]
    name = cloud.parts.settings.uploads_bucket
    assert bucket.split() == [
        "connect-src",
        "'self'",
        f"{os.environ['STORAGE_EMULATOR_HOST']}/{name}/",
    ]


async def test_a_browser_that_asks_the_bucket_first_is_let_in(gateway, demo):
    """By the emulator; terraform/stack/storage.tf names the same headers for the real bucket."""
    minted = offered(gateway, b"12345")
    asked = {
        "Origin": "http://127.0.0.1:8080",
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": ",".join(sorted(map(str.lower, minted["headers"]))),
    }

    answer = httpx.options(minted["url"], headers=asked)

    assert (answer.status_code, answer.headers["access-control-allow-methods"]) == (200, "PUT")


async def test_a_page_of_one_instance_is_known_to_the_next(settings, gateway, tmp_path):
    other = msgspec.structs.replace(settings, home=tmp_path / "other", keys_required=False)

    again = gateway_app(other)

    assert again.state.page_token == gateway.app.state.page_token


def token(gateway):
    return {"X-Earwitness-Token": gateway.app.state.page_token}


async def test_in_the_cloud_nobody_comes_in_without_a_key(cloud, settings):
    entropy = bytes(range(ENTROPY_BYTES))
    text, key = minted("acme", READER, "", cloud.parts.now(), entropy)
    cloud.parts.api_keys.add(key)
    made = wiring.intake(cloud.parts)(cloud.drop(tone_wav(1.0)))
    with TestClient(gateway_app(settings), base_url="http://127.0.0.1:8080") as client:
        without = client.get("/v1/recordings")
        with_key = client.get("/v1/recordings", headers={"Authorization": f"Bearer {text}"})

    assert (without.status_code, without.json()["error"]["code"]) == (401, "invalid_api_key")
    assert [r["recording"]["id"] for r in with_key.json()["recordings"]] == [made.id]
    assert cloud.parts.api_keys.get(key.id).used_on == cloud.parts.now().date()
