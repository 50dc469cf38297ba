import pytest

from shared.adapters.embedded.local_publisher import LocalPublisher
from shared.adapters.embedded.sqlite_database import Database
from shared.domain.lanes import Lane
from shared.domain.messages import announcement, dead_letter, ticket
from shared.domain.recording import Failure
from shared.errors import BrokerUnavailable
from tests.broker import RecordingBroker
from tests.builders import NOW, recording


@pytest.fixture
def db():
    return Database(":memory:")


def kept(db):
    with db.read() as connection:
        return [row["topic"] for row in connection.execute("SELECT topic FROM published")]


def test_doorbells_and_dead_letters_are_pushed_the_rest_is_kept(db):
    letter = dead_letter(recording(1), Failure("c", "m"), NOW, 4)
    messages = [
        ticket("r1", Lane.LOW, 1),
        announcement(recording(1), "done", NOW, 3),
        ticket("r1", Lane.HIGH, 2),
        letter,
    ]
    with RecordingBroker() as broker:
        LocalPublisher(db, broker.url).publish(messages)

        assert broker.bodies("lane-low") == [{"v": 1, "lane": "low"}]
        assert broker.bodies("lane-high") == [{"v": 1, "lane": "high"}]
        assert broker.bodies("jobs-dead") == [letter.body]
    assert kept(db) == ["recording-events"]


def test_an_announcement_published_twice_is_kept_once(db):
    publisher = LocalPublisher(db, "http://127.0.0.1:9")
    message = announcement(recording(1), "done", NOW, 3)

    publisher.publish([message])
    publisher.publish([message])

    assert kept(db) == ["recording-events"]


def test_nobody_at_the_address_is_unavailable(db):
    with pytest.raises(BrokerUnavailable):
        LocalPublisher(db, "http://127.0.0.1:9").publish([ticket("r1", Lane.LOW, 1)])


def test_a_refusing_broker_is_unavailable(db):
    with RecordingBroker() as broker:
        broker.status = 503

        with pytest.raises(BrokerUnavailable):
            LocalPublisher(db, broker.url).publish([ticket("r1", Lane.LOW, 1)])


def test_a_broker_started_anew_on_the_same_port_is_found(db):
    with RecordingBroker() as broker:
        publisher = LocalPublisher(db, broker.url)
        publisher.publish([ticket("r1", Lane.LOW, 1)])
        publisher._posts.close()  # what a restart does to a kept connection

        publisher.publish([ticket("r2", Lane.LOW, 1)])

        assert len(broker.bodies("lane-low")) == 2
