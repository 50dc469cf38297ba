"""What `publish` has confirmed lies in Pub/Sub; what it has not stays in the outbox."""

import pytest
from requests import Session

from local.emulated.emulators import PROJECT
from local.ports import some_free
from shared.adapters.gcp import pubsub_topics
from shared.adapters.gcp.pubsub_publisher import MOST_MESSAGES, PubSubPublisher
from shared.adapters.gcp.pubsub_topics import PubSubTopics
from shared.domain.lanes import Lane
from shared.domain.messages import announcement, dead_letter, ticket
from shared.domain.recording import Failure, Message, Topic
from shared.errors import BrokerUnavailable
from tests.builders import NOW, recording
from tests.emulators import reached
from tests.pubsub import Topics


@pytest.fixture
def topics(pubsub_emulator, monkeypatch):
    reached(pubsub_emulator, monkeypatch)
    made = Topics()
    yield made
    made.close()


@pytest.fixture
def publisher(topics):
    return PubSubPublisher(pubsub_topics.topics(), PROJECT, topics.prefix)


def measurement(number):
    return Message(Topic.METRICS, "r1", {"v": 1, "n": number}, f"event-{number}")


def test_every_topic_has_its_messages_when_publish_returns(topics, publisher):
    letter = dead_letter(recording(1), Failure("c", "m"), NOW, 4)
    told = announcement(recording(1), "done", NOW, 3)
    messages = [ticket("r1", Lane.LOW, 1), told, ticket("r1", Lane.HIGH, 2), letter]

    publisher.publish([*messages, measurement(1)])

    assert topics.bodies("lane-low", 1) == [{"v": 1, "lane": "low"}]
    assert topics.bodies("lane-high", 1) == [{"v": 1, "lane": "high"}]
    assert topics.bodies("jobs-dead", 1) == [letter.body]
    assert topics.bodies("recording-events", 1) == [told.body]
    assert topics.bodies("inference-metrics", 1) == [{"v": 1, "n": 1}]


def test_a_message_carries_its_event_id_so_that_doubles_can_be_dropped(topics, publisher):
    message = ticket("r1", Lane.LOW, 1)

    publisher.publish([message])
    publisher.publish([message])

    found = topics.taken("lane-low", 2)
    assert {one.attributes["event_id"] for one in found} == {message.event_id}


def test_more_than_one_request_may_hold(topics, publisher):
    publisher.publish([measurement(n) for n in range(MOST_MESSAGES + 1)])

    found = topics.bodies("inference-metrics", MOST_MESSAGES + 1)
    assert {one["n"] for one in found} == set(range(MOST_MESSAGES + 1))


def test_nothing_to_publish_is_nothing(publisher):
    publisher.publish([])


def test_a_topic_that_is_not_there_is_unavailable_until_somebody_makes_it(topics):
    missing = PubSubPublisher(pubsub_topics.topics(), PROJECT, "missing-")

    with pytest.raises(BrokerUnavailable):
        missing.publish([ticket("r1", Lane.LOW, 1)])


def test_nobody_at_the_address_is_unavailable_and_the_wait_is_bounded():
    [port] = some_free(1)
    nobody = PubSubTopics(Session(), f"http://127.0.0.1:{port}")

    with pytest.raises(BrokerUnavailable):
        PubSubPublisher(nobody, PROJECT, confirm_s=0.3).publish([ticket("r1", Lane.LOW, 1)])
