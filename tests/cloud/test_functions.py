"""Each function through the real framework, on Google's emulators."""

import base64
from datetime import UTC, datetime
from pathlib import Path

import pytest
from functions_framework import create_app
from google.cloud.storage._bucket_metadata_cache import BucketMetadataCache

import functions.main as source
from local.cloud_events import PubsubMessage, message_published, storage_finalized
from shared.domain.recording import Topic
from shared.domain.states import State
from tests.builders import webhook
from tests.endpoints import Endpoint
from tests.sounds import silence_wav

BEFORE = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def call(cloud):
    """Post a CloudEvent to one entry point, as the platform does; the status it answers."""

    def post(name, event):
        app = create_app(name, str(Path(source.__file__)), "cloudevent")
        app.testing = False
        answer = app.test_client().post("/", headers=dict(event.headers), data=event.body)
        return answer.status_code

    return post


def tick():
    return message_published("ticks", PubsubMessage("1", "e30=", {}, "2026-01-01T00:00:00.000Z"))


def test_an_upload_becomes_a_queued_recording_and_one_ticket(cloud, call):
    upload = cloud.drop(silence_wav(2.0))

    status = call("on_audio_uploaded", storage_finalized(upload))

    [known] = cloud.parts.recordings.page()
    assert (status, known.state, known.tenant, known.path) == (
        200,
        State.QUEUED,
        "acme",
        "talk.wav",
    )
    assert known.generation == upload.generation
    assert known.seconds == pytest.approx(2.0)
    assert cloud.topics.bodies("lane-low", 1) == [{"v": 1, "lane": "low"}]
    assert cloud.parts.outbox.pending() == []


def test_no_bucket_is_asked_for_what_only_spans_of_its_client_want(cloud, call, monkeypatch):
    asked = []
    monkeypatch.setattr(
        BucketMetadataCache, "get_or_queue_fetch", lambda _, name: asked.append(name)
    )

    call("on_audio_uploaded", storage_finalized(cloud.drop(silence_wav(2.0))))

    assert asked == []


def test_an_event_that_comes_again_adds_nothing(cloud, call):
    event = storage_finalized(cloud.drop(silence_wav(2.0)))

    assert [call("on_audio_uploaded", event) for _ in range(3)] == [200] * 3

    assert len(cloud.parts.recordings.page()) == 1
    cloud.topics.taken("lane-low", 1)


def test_a_refusal_is_recorded_and_announced(cloud, call):
    upload = cloud.drop(b"Hello, world. " * 9)

    status = call("on_audio_uploaded", storage_finalized(upload))

    [known] = cloud.parts.recordings.page()
    assert (status, known.state, known.error.code) == (200, State.REJECTED, "not_audio")
    [told] = cloud.topics.bodies("recording-events", 1)
    assert (told["recording_id"], told["type"]) == (known.id, "recording.rejected")


def test_an_object_that_was_replaced_meanwhile_is_settled(cloud, call):
    first = cloud.drop(silence_wav(2.0))
    cloud.drop(silence_wav(3.0))

    status = call("on_audio_uploaded", storage_finalized(first))

    assert status == 200
    assert cloud.parts.outbox.pending() == []


def test_a_broker_that_refuses_is_an_exception_and_the_redelivery_publishes(cloud, call):
    cloud.topics.drop(Topic.LANE_LOW)
    event = storage_finalized(cloud.drop(silence_wav(2.0)))

    first = call("on_audio_uploaded", event)
    waiting = cloud.parts.outbox.pending()
    cloud.topics.make(Topic.LANE_LOW)
    second = call("on_audio_uploaded", event)

    assert (first, len(waiting), second) == (500, 1, 200)
    assert cloud.parts.recordings.page()[0].state is State.QUEUED
    cloud.topics.taken("lane-low", 1)


def test_a_tick_publishes_what_a_refusing_broker_left_behind(cloud, call):
    cloud.topics.drop(Topic.LANE_LOW)
    call("on_audio_uploaded", storage_finalized(cloud.drop(silence_wav(2.0))))
    cloud.topics.make(Topic.LANE_LOW)

    status = call("reconcile", tick())

    assert status == 200
    assert cloud.parts.outbox.pending() == []
    assert cloud.topics.bodies("lane-low", 1) == [{"v": 1, "lane": "low"}]


def test_what_is_announced_is_told_and_never_inside(cloud, call):
    """The message is the one that Pub/Sub carries; a stranger would point us to such a URL."""
    with Endpoint() as inside:
        hook = webhook(tenant="acme", url=f"https://127.0.0.1:{inside.port}/", made_at=BEFORE)
        cloud.parts.webhooks.add(hook)
        call("on_audio_uploaded", storage_finalized(cloud.drop(b"Hello, world. " * 9)))
        [told] = cloud.topics.taken("recording-events", 1)
        data = base64.b64encode(told.data).decode()
        message = PubsubMessage("1", data, dict(told.attributes), "2026-01-01T00:00:00.000Z")

        status = call("on_announcement", message_published("recording-events", message))

        [kept] = cloud.parts.deliveries.page(webhook_id=hook.id)
        assert inside.requests.empty()
    assert (status, kept.type) == (200, "recording.rejected")
    assert [a.fault for a in kept.attempts] == ["address_refused"]
    assert cloud.parts.webhooks.get(hook.id).failing_since is not None
    assert call("deliver", tick()) == 200
