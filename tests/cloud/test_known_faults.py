"""What Google's emulators are known to get wrong, so that nobody takes their word for it.

Each case fails when the emulator is mended: then the line in docs/unproved.md can go, and
the contract suite may lean on it. Measured with the versions in `local/emulated/emulators.py`.
"""

from uuid import uuid4

import pytest
from google.cloud import storage

from local.emulated.emulators import PROJECT
from shared.adapters.gcp import pubsub_clients
from tests.emulators import reached


@pytest.fixture
def blob(storage_emulator, monkeypatch):
    reached(storage_emulator, monkeypatch)
    made = storage.Client(PROJECT).create_bucket(f"test-{uuid4().hex[:12]}").blob("a")
    made.upload_from_string(b"content")
    return made


def test_storage_reads_whatever_generation_was_the_condition(blob):
    """Production: 412. We name the generation itself, which is heeded."""
    read = blob.download_as_bytes(if_generation_match=blob.generation + 1)

    assert read == b"content"


def test_storage_deletes_whatever_generation_was_the_condition(blob):
    """Production: 412."""
    blob.delete(if_generation_match=blob.generation + 1)

    assert not blob.exists()


def test_storage_keeps_the_class_that_a_rewrite_should_change(blob):
    """Production: NEARLINE, as a new generation."""
    blob.update_storage_class("NEARLINE")

    blob.reload()
    assert blob.storage_class == "STANDARD"


@pytest.fixture
def topic(pubsub_emulator, monkeypatch):
    reached(pubsub_emulator, monkeypatch)
    with pubsub_clients.publisher() as publisher:
        name = f"projects/{PROJECT}/topics/t{uuid4().hex[:12]}"
        publisher.create_topic(name=name)
        yield publisher, name


def test_pubsub_delivers_what_a_filter_should_keep_out(topic):
    """Production: nothing. That is why the lanes are two topics."""
    publisher, name = topic
    subscription = name.replace("/topics/", "/subscriptions/")
    with pubsub_clients.subscriber() as subscriber:
        wanted = {"name": subscription, "topic": name, "filter": 'attributes.lane = "high"'}
        subscriber.create_subscription(request=wanted)
        publisher.publish(topic=name, messages=[{"data": b"x", "attributes": {"lane": "low"}}])

        [found] = subscriber.pull(subscription=subscription, max_messages=9).received_messages

    assert found.message.attributes["lane"] == "low"


def test_pubsub_takes_a_subscription_of_a_bigquery_table_that_is_nowhere(topic):
    """Production: NotFound. Nothing is ever written."""
    _, name = topic
    with pubsub_clients.subscriber() as subscriber:
        wanted = {
            "name": name.replace("/topics/", "/subscriptions/"),
            "topic": name,
            "bigquery_config": {"table": f"{PROJECT}.nowhere.nothing", "use_table_schema": True},
        }
        made = subscriber.create_subscription(request=wanted)

    assert made.bigquery_config.table == f"{PROJECT}.nowhere.nothing"
    assert made.bigquery_config.state == 0
