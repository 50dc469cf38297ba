"""Implements `Publisher` on one machine: doorbells over HTTP, the rest into a table.

Tickets and dead letters go to the broker of `local/` in the exact shape of Pub/Sub's REST
`projects.topics.publish`. Announcements and measurements have no push subscription here;
they are kept in the table `published`, where `event_id` makes a double invisible.
"""

import base64
import http.client
import json
from collections.abc import Sequence
from itertools import groupby

from shared.adapters.embedded.posts import Posts
from shared.adapters.embedded.sqlite_database import Database
from shared.domain.messages import attributes
from shared.domain.recording import Message, Topic
from shared.errors import BrokerUnavailable

#: Seconds. The broker is a loopback neighbour; past this, the outbox is the better place.
CONFIRM_TIMEOUT_S = 5.0
_PUSHED = frozenset({Topic.LANE_HIGH, Topic.LANE_LOW, Topic.JOBS_DEAD})


class LocalPublisher:
    """A broker that was started anew may hear a ring twice, which is harmless."""

    def __init__(self, db: Database, broker_url: str) -> None:
        self._db = db
        self._posts = Posts(lambda: broker_url, CONFIRM_TIMEOUT_S)

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
        body = json.dumps({"messages": [_pubsub_message(m) for m in messages]}).encode()
        path = f"/v1/projects/local/topics/{topic.value}:publish"
        try:
            status = self._posts.send(path, {"content-type": "application/json"}, body)
        except (OSError, http.client.HTTPException) as error:
            raise BrokerUnavailable(topic=topic.value) from error
        if status != http.client.OK:
            raise BrokerUnavailable(topic=topic.value, status=status)


def _pubsub_message(message: Message) -> dict[str, object]:
    data = base64.b64encode(json.dumps(message.body).encode()).decode()
    return {"data": data, "attributes": attributes(message)}
