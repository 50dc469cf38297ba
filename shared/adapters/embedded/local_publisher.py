"""Implements `Publisher` on one machine: doorbells over HTTP, the rest into a table.

Tickets and dead letters go to the broker of `local/` in the exact shape of Pub/Sub's REST
`projects.topics.publish`. Announcements and measurements have no push subscription here;
they are kept in the table `published`, where `event_id` makes a double invisible.

The standard library's HTTP client, not urllib3: 15 ms of the functions' start (P8).
"""

import base64
import http.client
import json
import threading
from collections.abc import Sequence
from itertools import groupby
from urllib.parse import urlsplit

from shared.adapters.embedded.sqlite_database import Database
from shared.domain.messages import attributes
from shared.domain.recording import Message, Topic
from shared.errors import BrokerUnavailable

#: Seconds. The broker is a loopback neighbour; past this, the outbox is the better place.
CONFIRM_TIMEOUT_S = 5.0
_PUSHED = frozenset({Topic.LANE_HIGH, Topic.LANE_LOW, Topic.JOBS_DEAD})


class LocalPublisher:
    """One kept-alive connection a thread."""

    def __init__(self, db: Database, broker_url: str) -> None:
        self._db = db
        self._address = urlsplit(broker_url)
        self._local = threading.local()

    def publish(self, messages: Sequence[Message]) -> None:
        self._keep([m for m in messages if m.topic not in _PUSHED])
        pushed = sorted((m for m in messages if m.topic in _PUSHED), key=lambda m: m.topic)
        for topic, group in groupby(pushed, key=lambda m: m.topic):
            self._ring(topic, list(group))

    def _keep(self, messages: Sequence[Message]) -> None:
        if not messages:
            return
        # A power cut that undoes this undoes the later commit that empties the outbox, too.
        with self._db.write(durable=False) as db:
            db.executemany(
                "INSERT INTO published (event_id, topic, recording_id, body)"
                " VALUES (?, ?, ?, ?) ON CONFLICT (event_id) DO NOTHING",
                [(m.event_id, m.topic.value, m.recording_id, json.dumps(m.body)) for m in messages],
            )

    def _ring(self, topic: Topic, messages: Sequence[Message]) -> None:
        body = json.dumps({"messages": [_pubsub_message(m) for m in messages]})
        path = f"/v1/projects/local/topics/{topic.value}:publish"
        try:
            status = self._post(path, body)
        except (OSError, http.client.HTTPException) as error:
            raise BrokerUnavailable(topic=topic.value) from error
        if status != http.client.OK:
            raise BrokerUnavailable(topic=topic.value, status=status)

    def _post(self, path: str, body: str) -> int:
        kept: http.client.HTTPConnection | None = getattr(self._local, "http", None)
        if kept is not None:
            try:
                return _exchange(kept, path, body)
            except (OSError, http.client.HTTPException):
                # The broker was started anew or closed an idle connection. A ring that was
                # heard all the same rings twice, which is harmless.
                kept.close()
        self._local.http = http.client.HTTPConnection(
            self._address.hostname or "", self._address.port, timeout=CONFIRM_TIMEOUT_S
        )
        return _exchange(self._local.http, path, body)


def _exchange(connection: http.client.HTTPConnection, path: str, body: str) -> int:
    connection.request("POST", path, body, {"content-type": "application/json"})
    with connection.getresponse() as answer:
        answer.read()
        return answer.status


def _pubsub_message(message: Message) -> dict[str, object]:
    data = base64.b64encode(json.dumps(message.body).encode()).decode()
    return {"data": data, "attributes": attributes(message)}
