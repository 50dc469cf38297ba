"""Pub/Sub for one machine: publish over HTTP, push over HTTP, acknowledge by status.

In memory only. A message here is a doorbell: lost ones are rung again by `reconcile`.
Source of requests, answers and the push envelope: Google Cloud, Pub/Sub REST reference
`projects.topics.publish` and "Push subscriptions", section "Message format".
"""

import base64
import binascii
import http.client
import itertools
import json
import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from local.backlog import Backlog, Waiting, wait_s
from local.cloud_events import PubsubMessage, message_published, rfc3339
from local.push_keys import PushKeys
from shared.adapters.embedded.posts import Posts
from shared.errors import InvalidRequest, NotFound
from shared.ports import Clock

log = logging.getLogger("earwitness.broker")

#: Deliveries of one message; DESIGN section 4 sets the same on the cloud's subscriptions.
MOST_DELIVERIES = 100
#: Messages a subscription keeps. Past this a doorbell says nothing new and is dropped.
MOST_WAITING = 100_000
#: Pub/Sub's limits of one publish request: bytes, messages.
MAX_REQUEST_BYTES, MAX_MESSAGES = 10_000_000, 1_000
#: Seconds an answer to a push may take: Pub/Sub's longest acknowledgement deadline.
PUSH_TIMEOUT_S = 600.0
_PUBLISH = re.compile(r"/v1/projects/local/topics/([a-z-]+):publish")

#: Delivers one message; True acknowledges it.
Deliver = Callable[[PubsubMessage], bool]


def ticket_push(posts: Posts, keys: PushKeys, lane_topic: str) -> Deliver:
    """Push in the exact Pub/Sub envelope, with our token, to the GPU service."""
    subscription = f"projects/local/subscriptions/{lane_topic}"

    def deliver(message: PubsubMessage) -> bool:
        inner = message.as_json() | {"message_id": message.id, "publish_time": message.published}
        body = json.dumps({"message": inner, "subscription": subscription}).encode()
        headers = {"authorization": keys.authorization(), "content-type": "application/json"}
        return _acknowledged(posts.send("/pubsub/tickets", headers, body))

    return deliver


def event_push(posts: Posts, topic: str, entry_point: str) -> Deliver:
    """Push as a CloudEvent to a function. The slash: without it the framework answers 308."""

    def deliver(message: PubsubMessage) -> bool:
        event = message_published(topic, message)
        return _acknowledged(posts.send(f"/{entry_point}/", event.headers, event.body))

    return deliver


def _acknowledged(status: int) -> bool:
    return 200 <= status < 300


class Subscription:
    """Delivers a topic's messages, at most `outstanding` at once, each until acknowledged."""

    def __init__(
        self,
        deliver: Deliver,
        outstanding: int,
        wait_s: Callable[[int], float] = wait_s,
    ) -> None:
        self._deliver, self._outstanding = deliver, outstanding
        self._backlog: Backlog[PubsubMessage] = Backlog(wait_s)
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._stopped = False

    def put(self, messages: Sequence[PubsubMessage]) -> None:
        with self._changed:
            room = max(0, MOST_WAITING - len(self._backlog))
            for message in messages[:room]:
                self._backlog.add(message)
            self._hire()
            self._changed.notify(len(messages))

    def hurry(self) -> None:
        """Try everything now that waits for another try."""
        with self._changed:
            self._backlog.hurry()
            self._changed.notify_all()

    def waiting(self) -> int:
        """Messages neither acknowledged nor on their way."""
        with self._changed:
            return len(self._backlog)

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _hire(self) -> None:
        """Start as many pushers as have, or will have, something to do; they stay."""
        wanted = min(len(self._backlog) - self._idle, self._outstanding - len(self._threads))
        for _ in range(wanted):
            thread = threading.Thread(target=self._push_all, name="push", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _push_all(self) -> None:
        while (waiting := self._next()) is not None:
            self._push(waiting)

    def _next(self) -> Waiting[PubsubMessage] | None:
        with self._changed:
            while not self._stopped:
                now_s = time.monotonic()
                if (waiting := self._backlog.take(now_s)) is not None:
                    return waiting
                self._idle += 1
                self._changed.wait(self._backlog.rest_s(now_s))
                self._idle -= 1
        return None

    def _push(self, waiting: Waiting[PubsubMessage]) -> None:
        try:
            if self._deliver(waiting.item):
                return
        except (OSError, http.client.HTTPException) as error:
            log.debug("no answer to a push: %r", error)
        with self._changed:
            if self._stopped:
                return
            if waiting.failed + 1 >= MOST_DELIVERIES:
                log.warning("a message was given up after %d deliveries", MOST_DELIVERIES)
                return
            self._backlog.fail(waiting, time.monotonic())
            self._hire()
            self._changed.notify()


class Broker:
    """The topics of one machine, and the port where they are published to."""

    def __init__(self, topics: Mapping[str, Subscription], now: Clock) -> None:
        self._topics, self._now = topics, now
        self._ids = itertools.count(int(now().timestamp() * 1e6))
        self._server = _Server(self)
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.1},
            name="broker",
            daemon=True,
        )
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Take nothing more and deliver nothing more."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()
        for subscription in self._topics.values():
            subscription.stop()

    def publish(self, topic: str, messages: Sequence[Mapping[str, Any]]) -> list[str]:
        """Take messages {data: base64, attributes} and return the ids they got.

        Raises:
            NotFound: no such topic. InvalidRequest: not such messages; none was taken.
        """
        subscription = self._topics.get(topic)
        if subscription is None:
            raise NotFound(f"There is no topic {topic!r} here.")
        if not 0 < len(messages) <= MAX_MESSAGES:
            raise InvalidRequest(f"Publish 1 to {MAX_MESSAGES} messages at a time.")
        at = rfc3339(self._now())
        taken = [self._message(m, at) for m in messages]
        subscription.put(taken)
        return [m.id for m in taken]

    def waiting(self, topic: str) -> int:
        return self._topics[topic].waiting()

    def hurry(self, *topics: str) -> None:
        """Whoever takes these topics' pushes is back: do not wait any longer."""
        for topic in topics:
            self._topics[topic].hurry()

    def _message(self, given: Mapping[str, Any], at: str) -> PubsubMessage:
        data, attributes = given.get("data", ""), given.get("attributes") or {}
        if not isinstance(data, str) or not _texts(attributes) or not (data or attributes):
            raise InvalidRequest("A message has base64 `data`, or `attributes` that are texts.")
        try:
            base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError) as error:
            raise InvalidRequest("The `data` of a message is not base64.") from error
        return PubsubMessage(str(next(self._ids)), data, attributes, at)


def _texts(attributes: object) -> bool:
    if not isinstance(attributes, dict):
        return False
    return all(isinstance(k, str) and isinstance(v, str) for k, v in attributes.items())


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self._talking: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._talking.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._talking.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A publisher that went away in the middle of a request asks again."""
        log.debug("a publisher broke off", exc_info=True)

    def server_close(self) -> None:
        """Kept connections too: a publisher must not believe a broker that has stopped."""
        super().server_close()
        for connection in list(self._talking):
            self.shutdown_request(connection)


class _Handler(BaseHTTPRequestHandler):
    """One connection; HTTP/1.1, so it is kept. Answers leave in one packet, at once."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    server: _Server
    #: Seconds a connection may be idle; the publishers' pools reopen what was closed.
    timeout = 300

    def do_POST(self) -> None:
        if not self._from_here():
            self._answer(403, "This port is for the processes of one Earwitness.")
            return
        length = int(self.headers.get("content-length") or 0)
        if length > MAX_REQUEST_BYTES:
            self.close_connection = True
            self._answer(413, f"A request has at most {MAX_REQUEST_BYTES:,} bytes.")
            return
        body = self.rfile.read(length)
        topic = _PUBLISH.fullmatch(self.path)
        if topic is None:
            self._answer(404, "POST /v1/projects/local/topics/{topic}:publish")
            return
        self._publish(topic[1], body)

    def _from_here(self) -> bool:
        """No browser page: those send Origin, or a name that was made to point here."""
        host = self.headers.get("host", "")
        return "origin" not in self.headers and host == f"127.0.0.1:{self.server.server_port}"

    def _publish(self, topic: str, body: bytes) -> None:
        try:
            messages = _messages(body)
            self._send(200, {"messageIds": self.server.broker.publish(topic, messages)})
        except NotFound as error:
            self._answer(404, str(error))
        except InvalidRequest as error:
            self._answer(400, str(error))

    def _answer(self, status: int, message: str) -> None:
        self._send(status, {"error": {"code": status, "message": message}})

    def _send(self, status: int, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response_only(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        log.debug(format, *args)


def _messages(body: bytes) -> list[dict[str, Any]]:
    try:
        messages = json.loads(body)["messages"]
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidRequest("The body is no JSON object with `messages`.") from error
    if not isinstance(messages, list) or not all(isinstance(m, dict) for m in messages):
        raise InvalidRequest("`messages` is a list of objects.")
    return messages
