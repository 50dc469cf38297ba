"""Publish, push, acknowledge: as Pub/Sub does it, over real HTTP."""

import base64
import http.client
import json
import threading
import urllib.error
import urllib.request

import jwt
import pytest
from cloudevents.http import from_http

from functions.events import published_message
from local.broker import (
    MAX_REQUEST_BYTES,
    MOST_DELIVERIES,
    Broker,
    Subscription,
    event_push,
    ticket_push,
)
from local.push_keys import PushKeys
from local.ticks import Ticks, into_broker
from shared.adapters.embedded.local_publisher import LocalPublisher
from shared.adapters.embedded.posts import Posts
from shared.adapters.embedded.sqlite_database import Database
from shared.domain.lanes import Lane
from shared.domain.messages import ticket
from shared.wiring import clock
from tests.builders import NOW
from tests.local.receiver import PATIENCE_S, Receiver

TICKET = {"data": base64.b64encode(b'{"v": 1, "lane": "high"}').decode(), "attributes": {}}


@pytest.fixture
def brokers():
    made = []

    def make(**subscriptions):
        topics = {name.replace("_", "-"): s for name, s in subscriptions.items()}
        broker = Broker(topics, lambda: NOW)
        broker.start()
        made.append(broker)
        return broker

    yield make
    for broker in made:
        broker.stop()


def never(_):
    return 0.0


def post(url, body, **headers):
    asked = urllib.request.Request(url, body, {"content-type": "application/json", **headers})
    try:
        with urllib.request.urlopen(asked, timeout=PATIENCE_S) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def publish_url(broker, topic="lane-high"):
    return f"{broker.url}/v1/projects/local/topics/{topic}:publish"


def test_ticket_arrives_in_the_exact_pubsub_envelope(brokers, receiver, tmp_path):
    keys = PushKeys(tmp_path, clock)
    push = ticket_push(Posts(lambda: receiver.url, 5), keys, "lane-high")
    broker = brokers(lane_high=Subscription(push, 2))

    status, answer = post(publish_url(broker), json.dumps({"messages": [TICKET]}).encode())
    got = receiver.take()

    assert status == 200
    [message_id] = answer["messageIds"]
    assert got.path == "/pubsub/tickets"
    assert json.loads(got.body) == {
        "message": {
            "attributes": {},
            "data": TICKET["data"],
            "messageId": message_id,
            "message_id": message_id,
            "publishTime": "2026-03-01T12:00:00.000Z",
            "publish_time": "2026-03-01T12:00:00.000Z",
        },
        "subscription": "projects/local/subscriptions/lane-high",
    }
    token = got.headers["authorization"].removeprefix("Bearer ")
    public = jwt.PyJWKSet.from_dict(json.loads(keys.jwks.read_text())).keys[0]
    assert jwt.decode(token, public, algorithms=["RS256"], audience="earwitness")["email_verified"]


def test_store_publishes_through_it(brokers, receiver, tmp_path):
    push = ticket_push(Posts(lambda: receiver.url, 5), PushKeys(tmp_path, clock), "lane-low")
    broker = brokers(lane_low=Subscription(push, 2))

    LocalPublisher(Database(":memory:"), broker.url).publish([ticket("rec1", Lane.LOW, 1)])

    data = json.loads(receiver.take().body)["message"]["data"]
    assert json.loads(base64.b64decode(data)) == {"v": 1, "lane": "low"}


@pytest.mark.parametrize("topic", ["jobs-dead", "ticks"])
def test_functions_get_cloud_events(brokers, receiver, topic):
    push = event_push(Posts(lambda: receiver.url, 5), topic, "on_job_dead")
    broker = brokers(**{topic: Subscription(push, 1)})
    data = base64.b64encode(b'{"code": "decoder_died"}').decode()

    [message_id] = broker.publish(topic, [{"data": data}])
    got = receiver.take()

    event = from_http(got.headers, got.body)
    assert got.path == "/on_job_dead/"
    assert event["type"] == "google.cloud.pubsub.topic.v1.messagePublished"
    assert event["id"] == message_id
    assert event["source"] == f"//pubsub.googleapis.com/projects/local/topics/{topic}"
    assert published_message(event) == {"code": "decoder_died"}


@pytest.mark.parametrize("refusal", [429, 503, 500, 308, 403, 0], ids=lambda s: s or "no answer")
def test_refused_push_comes_again_until_acknowledged(brokers, refusal):
    receiver = Receiver([refusal, refusal, 200])
    push = event_push(Posts(lambda: receiver.url, 5), "ticks", "reconcile")
    broker = brokers(ticks=Subscription(push, 1, never))

    broker.publish("ticks", [{"data": "e30="}])
    tries = [receiver.take() for _ in range(3)]
    broker.publish("ticks", [{"data": "e30="}])
    receiver.close()

    assert len({t.headers["ce-id"] for t in tries}) == 1
    assert receiver.take().headers["ce-id"] != tries[0].headers["ce-id"]


def test_push_waits_before_it_comes_again_and_hurry_ends_the_wait(brokers):
    tried, wait_asked = threading.Semaphore(0), threading.Event()

    def deliver(_):
        tried.release()
        return False

    def an_hour(_):
        wait_asked.set()
        return 3600.0

    broker = brokers(ticks=Subscription(deliver, 1, an_hour))
    broker.publish("ticks", [{"data": "e30="}])
    assert tried.acquire(timeout=PATIENCE_S)
    assert wait_asked.wait(PATIENCE_S)
    assert broker.waiting("ticks") == 1

    broker.hurry("ticks")

    assert tried.acquire(timeout=PATIENCE_S)


def test_message_is_given_up_after_so_many_deliveries(brokers, caplog):
    tries, given_up = [], threading.Semaphore(0)

    def deliver(message):
        tries.append(message.id)
        given_up.release()
        return False

    broker = brokers(ticks=Subscription(deliver, 1, never))
    [doomed] = broker.publish("ticks", [{"data": "e30="}])
    for _ in range(MOST_DELIVERIES):
        assert given_up.acquire(timeout=PATIENCE_S)
    [later] = broker.publish("ticks", [{"data": "e30="}])
    assert given_up.acquire(timeout=PATIENCE_S)

    assert tries.count(doomed) == MOST_DELIVERIES
    assert tries[-1] == later
    assert "given up" in caplog.text


def test_at_most_so_many_pushes_are_outstanding(brokers):
    receiver = Receiver(hold=True)
    push = event_push(Posts(lambda: receiver.url, 5), "ticks", "reconcile")
    broker = brokers(ticks=Subscription(push, 3))

    broker.publish("ticks", [{"data": "e30="}] * 8)
    for _ in range(3):
        receiver.take()
    assert receiver.received.empty()
    assert broker.waiting("ticks") == 5

    receiver.release(8)
    for _ in range(5):
        receiver.take()
    receiver.close()


def test_a_push_that_takes_long_holds_up_no_other(brokers):
    receiver = Receiver(hold=True)
    push = event_push(Posts(lambda: receiver.url, 5), "ticks", "reconcile")
    broker = brokers(ticks=Subscription(push, 2))

    broker.publish("ticks", [{"data": "e30="}])
    receiver.take()
    broker.publish("ticks", [{"data": "e30="}])

    receiver.take()
    receiver.release(2)
    receiver.close()


REQUESTS = {
    "no JSON": ("lane-high", b"{", {}, 400),
    "no messages": ("lane-high", b"{}", {}, 400),
    "empty": ("lane-high", b'{"messages": []}', {}, 400),
    "no list": ("lane-high", b'{"messages": {"data": "e30="}}', {}, 400),
    "no objects": ("lane-high", b'{"messages": ["e30="]}', {}, 400),
    "no base64": ("lane-high", b'{"messages": [{"data": "!"}]}', {}, 400),
    "data is no text": ("lane-high", b'{"messages": [{"data": 1}]}', {}, 400),
    "nothing inside": ("lane-high", b'{"messages": [{}]}', {}, 400),
    "attributes only": ("lane-high", b'{"messages": [{"attributes": {"a": "b"}}]}', {}, 200),
    "odd attributes": ("lane-high", b'{"messages": [{"attributes": {"a": 1}}]}', {}, 400),
    "attributes a list": ("lane-high", b'{"messages": [{"attributes": ["a"]}]}', {}, 400),
    "a thousand": ("lane-high", json.dumps({"messages": [TICKET] * 1000}).encode(), {}, 200),
    "one more": ("lane-high", json.dumps({"messages": [TICKET] * 1001}).encode(), {}, 400),
    "unknown topic": ("lane-mid", json.dumps({"messages": [TICKET]}).encode(), {}, 404),
    "no topic": ("LANE", b"{}", {}, 404),
    "a page's request": ("lane-high", b"{}", {"Origin": "https://evil.example"}, 403),
    "a rebound name": ("lane-high", b"{}", {"Host": "evil.example"}, 403),
}


@pytest.mark.parametrize(("topic", "body", "headers", "status"), REQUESTS.values(), ids=REQUESTS)
def test_publish_answers_as_pubsub_does(brokers, topic, body, headers, status):
    broker = brokers(lane_high=Subscription(lambda _: True, 1))

    found, document = post(publish_url(broker, topic), body, **headers)

    assert found == status
    assert ("messageIds" in document) if status == 200 else document["error"]["message"]


def test_too_large_a_request_is_not_read(brokers):
    broker = brokers(lane_high=Subscription(lambda _: True, 1))
    connection = http.client.HTTPConnection(broker.url.removeprefix("http://"), timeout=PATIENCE_S)
    connection.putrequest("POST", "/v1/projects/local/topics/lane-high:publish")
    connection.putheader("content-length", str(MAX_REQUEST_BYTES + 1))
    connection.endheaders()

    assert connection.getresponse().status == 413
    connection.close()


def test_stopped_broker_takes_nothing_more(brokers):
    """A kept connection must not swallow tickets of a broker that delivers no longer."""
    broker = Broker({"lane-high": Subscription(lambda _: True, 1)}, lambda: NOW)
    broker.start()
    connection = http.client.HTTPConnection(broker.url.removeprefix("http://"), timeout=PATIENCE_S)
    body = json.dumps({"messages": [TICKET]})
    connection.request("POST", "/v1/projects/local/topics/lane-high:publish", body)
    connection.getresponse().read()

    broker.stop()

    with pytest.raises((OSError, http.client.HTTPException)):
        connection.request("POST", "/v1/projects/local/topics/lane-high:publish", body)
        connection.getresponse()


def test_ticks_come_at_once_and_do_not_pile_up(brokers):
    came, hold = threading.Semaphore(0), threading.Event()

    def deliver(_):
        came.release()
        return hold.wait(PATIENCE_S)

    broker = brokers(ticks_mend=Subscription(deliver, 1))
    ticks = Ticks(into_broker(broker, ["mend"]), every_s=0.005)
    ticks.start()
    assert came.acquire(timeout=PATIENCE_S)
    while not broker.waiting("ticks-mend"):  # the second tick waits; there is never a third
        pass
    assert broker.waiting("ticks-mend") == 1
    ticks.stop()

    assert broker.waiting("ticks-mend") == 1
    hold.set()


def test_a_function_that_takes_its_time_holds_up_no_other(brokers):
    came, hold = threading.Semaphore(0), threading.Event()
    slow = Subscription(lambda _: hold.wait(PATIENCE_S), 1)
    broker = brokers(ticks_slow=slow, ticks_mend=Subscription(lambda m: not came.release(), 1))

    ticks = Ticks(into_broker(broker, ["slow", "mend"]), every_s=0.005)
    ticks.start()

    assert all(came.acquire(timeout=PATIENCE_S) for _ in range(5))
    ticks.stop()
    hold.set()
