"""What the platform's parts tell each other on the emulators: sorted, and told once."""

import json

import pytest
from google.pubsub_v1 import PubsubMessage

from local.emulated.bridges import Announcements, UploadNotifications
from shared.adapters.gcp.pubsub_pull import PullSubscription
from shared.domain.recording import Topic
from shared.errors import BrokerUnavailable
from tests.emulators import reached
from tests.pubsub import Topics


@pytest.fixture
def topics(pubsub_emulator, monkeypatch):
    reached(pubsub_emulator, monkeypatch)
    made = Topics()
    yield made
    made.close()


def send(topics, topic, *messages):
    topics.publisher.publish(topic=topics.path("topics", topic), messages=list(messages))


def pulled(topics, topic):
    return PullSubscription(topics.subscriber, topics.project, topics.prefix + topic)


def notification(bucket, name):
    return PubsubMessage(data=name.encode(), attributes={"bucketId": bucket, "objectId": name})


@pytest.fixture
def sorter(topics):
    topics.make("all-buckets")
    topics.make("uploads-only")
    subscription = pulled(topics, "all-buckets")
    to = topics.path("topics", "uploads-only")
    return UploadNotifications(subscription, topics.publisher, to, "ours")


def test_only_our_buckets_notifications_are_published_again_as_they_came(topics, sorter):
    send(topics, "all-buckets", notification("ours", "a"), notification("results", "b"))

    assert sorter.step() == 1

    [told] = topics.taken("uploads-only", 1)
    assert (told.data, dict(told.attributes)) == (b"a", {"bucketId": "ours", "objectId": "a"})
    topics.taken("all-buckets", 0)


def test_what_cannot_be_published_again_is_not_acknowledged(topics, sorter):
    topics.drop("uploads-only")
    send(topics, "all-buckets", notification("ours", "a"))

    with pytest.raises(BrokerUnavailable):
        sorter.step()

    topics.make("uploads-only")
    assert sorter.step() == 0  # hidden until its deadline, not gone
    subscription = topics.path("subscriptions", "all-buckets")
    topics.subscriber.seek(request={"subscription": subscription, "time": "2020-01-01T00:00:00Z"})
    assert sorter.step() == 1


def announced(event, recording):
    return PubsubMessage(data=json.dumps({"event_id": event, "recording_id": recording}).encode())


def test_an_announcement_that_comes_again_is_told_once(topics):
    news = Announcements(pulled(topics, Topic.EVENTS))
    send(topics, Topic.EVENTS, announced("1", "r1"), announced("1", "r1"), announced("2", "r2"))
    send(topics, Topic.EVENTS, PubsubMessage(data=b"no announcement"))

    taken = 0
    while taken < 4:
        taken += news.step()

    assert sorted(news()) == ["r1", "r2"]
    assert news() == []
