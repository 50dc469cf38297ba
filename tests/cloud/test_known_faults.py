"""What Google's emulators are known to get wrong, so that nobody takes their word for it.

Each case fails when the emulator is mended: then the line in docs/unproved.md can go, and
the contract suite may lean on it. Measured with the versions in `local/emulated/emulators.py`.
"""

from datetime import timedelta
from uuid import uuid4

import httpx
import pytest
from google.cloud import storage

from local.emulated.emulators import PROJECT
from local.push_keys import PushKeys
from shared.adapters.gcp import pubsub_clients
from shared.adapters.gcp.storage_permits import KeySigner, StoragePermits
from shared.domain.permits import Permit
from tests.builders import NOW
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
def signed(storage_emulator, monkeypatch, tmp_path):
    """What is minted for five bytes, and for a session of as many."""
    reached(storage_emulator, monkeypatch)
    bucket = storage.Client(PROJECT).create_bucket(f"test-{uuid4().hex[:12]}")
    key = KeySigner(PushKeys(tmp_path, lambda: NOW).pem, "gateway@example.com")
    permits = StoragePermits(bucket.client, bucket.name, key)
    permit = Permit("uploads/demo/KEY", "audio/wav", 5, {"name": "talk.wav"})
    ways = [permits.sign(permit, "", timedelta(minutes=15), resumable=r) for r in (False, True)]
    return bucket, *ways


FORGERIES = {
    "the signed one": ({}, b"12345"),
    "another length": ({}, b"123456"),
    "another type": ({"Content-Type": "text/html"}, b"12345"),
    "other metadata": ({"x-goog-meta-name": "other"}, b"12345"),
    "metadata more": ({"x-goog-meta-lane": "bulk"}, b"12345"),
}


@pytest.mark.parametrize(("changed", "content"), FORGERIES.values(), ids=FORGERIES)
def test_storage_takes_whatever_is_sent_to_a_signed_address_and_again(signed, changed, content):
    """Production: 200, then 412; of the others 400, 403, 403, 400."""
    _, once, _ = signed

    statuses = [
        httpx.put(once.url, headers={**once.headers, **changed}, content=content).status_code
        for _ in range(2)
    ]

    assert statuses == [200, 200]


def test_storage_takes_a_signature_that_is_none_and_an_address_out_of_time(signed):
    """Production: 403, and 400."""
    _, once, _ = signed
    forged = once.url[:-8] + "00000000"
    late = once.url.replace("X-Goog-Date=2", "X-Goog-Date=1")

    statuses = [
        httpx.put(url, headers=once.headers, content=b"12345").status_code for url in (forged, late)
    ]

    assert statuses == [200, 200]


def test_storage_begins_a_session_for_an_object_without_a_name(signed):
    """Production: 201, for the object of the address; so none is offered where it is emulated."""
    bucket, _, session = signed
    begun = httpx.post(session.url, headers=session.headers)

    httpx.put(begun.headers["Location"], content=b"12345")

    assert begun.status_code == 200
    assert [blob.name for blob in bucket.client.list_blobs(bucket)] == [""]


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
