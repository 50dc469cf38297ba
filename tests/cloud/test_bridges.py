"""What Eventarc and the BigQuery subscription do in the cloud, done by our bridges here."""

import json
from uuid import uuid4

import pytest
from google.cloud import storage

from local.cloud_events import storage_finalized
from local.emulated.bridges import Bridge, MeasurementRows, ObjectEvents
from local.emulated.emulators import PROJECT, Storage, running
from local.storage_events import upload_push
from shared import wiring
from shared.adapters.embedded.posts import Posts
from shared.adapters.gcp import pubsub_clients, pubsub_topics
from shared.adapters.gcp.bigquery_measurements import TABLE
from shared.adapters.gcp.pubsub_arrivals import PubSubArrivals
from shared.adapters.gcp.pubsub_publisher import PubSubPublisher
from shared.adapters.gcp.pubsub_pull import PullSubscription
from shared.domain.recording import Message, Topic
from shared.domain.states import State
from shared.errors import EmulatorMissing
from tests.builders import NOW
from tests.cloud.test_functions import call  # noqa: F401  # a fixture
from tests.cloud.test_measurements import rows, table  # noqa: F401  # a fixture
from tests.emulators import reached
from tests.local.receiver import Receiver
from tests.pubsub import Topics
from tests.sounds import silence_wav

PATIENCE_S = 20.0


class Releasing(PullSubscription):
    """Gives back at once what was pulled and not acknowledged; its deadline would be 60 s."""

    def __init__(self, topics):
        super().__init__(topics.subscriber, topics.project, topics.prefix + Topic.METRICS)
        self._topics, self._pulled = topics, []

    def pull(self, limit):
        found = super().pull(limit)
        self._pulled += [one.ack_id for one in found]
        return found

    def release(self):
        self._topics.subscriber.modify_ack_deadline(
            subscription=self._topics.path("subscriptions", Topic.METRICS),
            ack_ids=self._pulled,
            ack_deadline_seconds=0,
        )


@pytest.fixture
def topics(pubsub_emulator, monkeypatch):
    reached(pubsub_emulator, monkeypatch)
    made = Topics()
    yield made
    made.close()


@pytest.fixture
def publish(topics):
    publisher = PubSubPublisher(pubsub_topics.topics(), PROJECT, topics.prefix)

    def send(*bodies):
        publisher.publish(
            [Message(Topic.METRICS, "r1", body, body.get("event_id", "x")) for body in bodies]
        )

    return send


def pulled(client, topics):
    return PubSubArrivals(lambda: PullSubscription(client, PROJECT, f"{topics.prefix}objects"))


def name_of(table):  # noqa: F811
    return f"{PROJECT}.{table.table.dataset_id}.{TABLE}"


def test_what_is_published_becomes_rows_and_is_acknowledged(table, topics, publish):  # noqa: F811
    subscription = Releasing(topics)
    bridge = MeasurementRows(subscription, table.client, name_of(table))
    publish(*rows())

    carried = bridge.step()
    subscription.release()

    assert carried == 2
    assert sorted(table.seen("engine, task")) == [("e", "transcribe"), ("s", "classify")]
    assert bridge.step() == 0


def test_a_row_that_is_refused_keeps_nobody_out_and_is_not_acknowledged(
    table,  # noqa: F811
    topics,
    publish,
):
    good, other = rows()
    subscription = Releasing(topics)
    bridge = MeasurementRows(subscription, table.client, name_of(table))
    publish(good, other | {"segments": "many"})

    carried = bridge.step()
    subscription.release()
    again = subscription.pull(10)

    assert carried == 1
    assert table.seen("engine") == [(good["engine"],)]
    assert [json.loads(one.message.data)["segments"] for one in again] == ["many"]


def test_a_message_that_is_no_row_is_settled(table, topics, publish):  # noqa: F811
    subscription = Releasing(topics)
    bridge = MeasurementRows(subscription, table.client, name_of(table))
    publish({"v": 1})

    assert bridge.step() == 0
    subscription.release()

    assert subscription.pull(10) == []


@pytest.fixture
def bucket(pubsub_emulator, topics, monkeypatch, tmp_path):
    """A bucket that tells a topic of its objects, and what is told, on a pull subscription."""
    topics.make("objects")
    events = f"{topics.prefix}objects"
    try:
        with running(Storage(events=events, pubsub=pubsub_emulator), tmp_path) as variables:
            reached(variables, monkeypatch)
            yield storage.Client(PROJECT).create_bucket(f"test-{uuid4().hex[:12]}")
    except EmulatorMissing as error:
        pytest.skip(str(error))


@pytest.fixture
def arrivals(topics):
    return pulled(pubsub_clients.subscriber(), topics)


def events_to(receiver, arrivals, bucket):
    posts = Posts(lambda: receiver.url, PATIENCE_S)
    return ObjectEvents(arrivals, bucket.name, upload_push(posts), lambda: NOW)


@pytest.fixture
def receiver():
    made = Receiver([500])
    yield made
    made.close()


def test_each_object_arrives_as_it_was_put(bucket, arrivals):
    blob = bucket.blob("uploads/acme/ä b.wav")
    blob.metadata = {"lane": "bulk"}
    blob.upload_from_string(b"sound", content_type="audio/wav")

    [arrival] = arrivals.pull(NOW)

    upload = arrival.upload
    assert (upload.bucket, upload.name) == (bucket.name, "uploads/acme/ä b.wav")
    assert (upload.generation, upload.size_bytes) == (blob.generation, 5)
    assert (upload.content_type, upload.metadata) == ("audio/wav", (("lane", "bulk"),))
    arrivals.ack([arrival])
    assert arrivals.pull(NOW) == []


def test_an_object_becomes_the_event_that_eventarc_sends(bucket, arrivals, receiver):
    """The first answer is 500: not confirmed, so it would come again after its deadline."""
    bridge = events_to(receiver, arrivals, bucket)
    bucket.blob("uploads/acme/first.wav").upload_from_string(b"sound")
    refused = bridge.step()
    bucket.blob("uploads/acme/second.wav").upload_from_string(b"sound")

    confirmed = bridge.step()

    assert (refused, confirmed) == (0, 1)
    first, second = receiver.take(), receiver.take()
    assert first.path == second.path == "/on_audio_uploaded/"
    sent = {key.lower(): value for key, value in second.headers.items()}
    assert sent["ce-type"] == "google.cloud.storage.object.v1.finalized"
    assert json.loads(second.body)["name"] == "uploads/acme/second.wav"


def test_objects_of_another_bucket_are_settled_and_sent_to_nobody(bucket, arrivals, receiver):
    other = bucket.client.create_bucket(f"test-{uuid4().hex[:12]}")
    other.blob("results/a").upload_from_string(b"result")

    assert events_to(receiver, arrivals, bucket).step() == 1

    assert receiver.received.empty()


def test_a_bridge_goes_on_carrying_until_it_is_stopped(bucket, arrivals, receiver):
    bridge = Bridge("object-events", events_to(receiver, arrivals, bucket).step)
    bridge.start()
    bucket.blob("uploads/acme/a.wav").upload_from_string(b"sound")
    receiver.take()
    bucket.blob("uploads/acme/b.wav").upload_from_string(b"sound")

    assert json.loads(receiver.take().body)["name"] == "uploads/acme/b.wav"

    bridge.stop()


def test_from_an_object_in_the_bucket_to_a_ticket_in_pubsub(
    pubsub_emulator,
    cloud,
    call,  # noqa: F811
    topics,
    monkeypatch,
    tmp_path,
):
    """The whole way of an upload, on emulators: bucket, notification, event, function, ticket."""
    topics.make("objects")
    told = pulled(topics.subscriber, topics)
    bucket_name = cloud.parts.settings.uploads_bucket
    server = Storage(events=f"{topics.prefix}objects", pubsub=pubsub_emulator)
    with running(server, tmp_path / "logs") as variables:
        reached(variables, monkeypatch)
        wiring.from_environment.cache_clear()
        bucket = storage.Client(PROJECT).create_bucket(bucket_name)
        bucket.blob("uploads/acme/talk.wav").upload_from_string(silence_wav(2.0))
        bridge = ObjectEvents(
            told,
            bucket_name,
            lambda upload: call("on_audio_uploaded", storage_finalized(upload)) == 200,
            lambda: NOW,
        )

        assert bridge.step() == 1

    [known] = cloud.parts.recordings.page()
    assert (known.state, known.path) == (State.QUEUED, "talk.wav")
    assert cloud.topics.bodies("lane-low", 1) == [{"v": 1, "lane": "low"}]
