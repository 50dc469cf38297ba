"""Implements `Publisher` on one machine: doorbells over HTTP, the rest into a table.

Tickets and dead letters go to the broker of `local/` in the exact shape of Pub/Sub's REST
`projects.topics.publish`. Announcements and measurements have no push subscription here;
they are kept in the table `published`, where `event_id` makes a double invisible.
"""

import base64
import json
from collections.abc import Sequence
from itertools import groupby

import urllib3

from shared.adapters.embedded.sqlite_database import Database
from shared.domain.recording import Message, Topic
from shared.errors import BrokerUnavailable

#: Seconds. The broker is a loopback neighbour; past this, the outbox is the better place.
CONFIRM_TIMEOUT_S = 5.0
_PUSHED = frozenset({Topic.LANE_HIGH, Topic.LANE_LOW, Topic.JOBS_DEAD})


class LocalPublisher:
    def __init__(self, db: Database, broker_url: str) -> None:
        self._db = db
        self._url = broker_url
        self._http = urllib3.PoolManager(
            maxsize=32, retries=False, timeout=urllib3.Timeout(CONFIRM_TIMEOUT_S)
        )

    def publish(self, messages: Sequence[Message]) -> None:
        self._keep([m for m in messages if m.topic not in _PUSHED])
        pushed = sorted((m for m in messages if m.topic in _PUSHED), key=lambda m: m.topic)
        for topic, group in groupby(pushed, key=lambda m: m.topic):
            self._ring(topic, list(group))

    def _keep(self, messages: Sequence[Message]) -> None:
        if not messages:
            return
        with self._db.write() as db:
            db.executemany(
                "INSERT INTO published (event_id, topic, recording_id, body)"
                " VALUES (?, ?, ?, ?) ON CONFLICT (event_id) DO NOTHING",
                [(m.event_id, m.topic.value, m.recording_id, json.dumps(m.body)) for m in messages],
            )

    def _ring(self, topic: Topic, messages: Sequence[Message]) -> None:
        body = {"messages": [_pubsub_message(m) for m in messages]}
        url = f"{self._url}/v1/projects/local/topics/{topic.value}:publish"
        try:
            answer = self._http.request("POST", url, json=body)
        except urllib3.exceptions.HTTPError as error:
            raise BrokerUnavailable(topic=topic.value) from error
        if answer.status != 200:
            raise BrokerUnavailable(topic=topic.value, status=answer.status)


def _pubsub_message(message: Message) -> dict[str, object]:
    data = base64.b64encode(json.dumps(message.body).encode()).decode()
    return {"data": data, "attributes": {}}
