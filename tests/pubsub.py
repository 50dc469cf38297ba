"""The product's topics on the Pub/Sub emulator, with somebody who listens to each."""

import json
import time
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from google.api_core.exceptions import DeadlineExceeded
from google.pubsub_v1 import PubsubMessage

from local.emulated.emulators import PROJECT
from shared.adapters.gcp import pubsub_clients
from shared.domain.recording import Topic

#: Seconds to wait for what should be there.
PATIENCE_S = 60.0
#: Seconds in which what should not be there would have come; the emulator waits a second less.
SILENCE_S = 1.3


class Topics:
    """Under a prefix of their own, so that no test meets the messages of another."""

    def __init__(self, project: str = PROJECT) -> None:
        self.project = project
        self.prefix = f"t{uuid4().hex[:12]}-"
        self.publisher = pubsub_clients.publisher()
        self.subscriber = pubsub_clients.subscriber()
        for topic in Topic:
            self.make(topic)

    def make(self, topic: str) -> None:
        """A topic and the subscription that `taken` pulls from."""
        name = self.path("topics", topic)
        self.publisher.create_topic(name=name)
        self.subscriber.create_subscription(
            name=self.path("subscriptions", topic), topic=name, ack_deadline_seconds=60
        )

    def drop(self, topic: str) -> None:
        self.publisher.delete_topic(topic=self.path("topics", topic))
        self.subscriber.delete_subscription(subscription=self.path("subscriptions", topic))

    def path(self, kind: str, topic: str) -> str:
        return f"projects/{self.project}/{kind}/{self.prefix}{topic}"

    def taken(self, topic: str, count: int) -> list[PubsubMessage]:
        """Exactly `count` messages, acknowledged; fails if there are fewer or more."""
        found: list[PubsubMessage] = []
        until_s = time.monotonic() + PATIENCE_S
        while len(found) < count and time.monotonic() < until_s:
            found += self._pull(topic, PATIENCE_S)
        found += self._pull(topic, SILENCE_S)
        assert len(found) == count
        return found

    def bodies(self, topic: str, count: int) -> list[dict[str, Any]]:
        return [json.loads(message.data) for message in self.taken(topic, count)]

    def _pull(self, topic: str, timeout_s: float) -> Sequence[PubsubMessage]:
        name = self.path("subscriptions", topic)
        try:
            answer = self.subscriber.pull(
                subscription=name, max_messages=1000, retry=None, timeout=timeout_s
            )
        except DeadlineExceeded:
            return []
        received = answer.received_messages
        if received:
            self.subscriber.acknowledge(subscription=name, ack_ids=[one.ack_id for one in received])
        return [one.message for one in received]

    def close(self) -> None:
        self.publisher.transport.close()
        self.subscriber.transport.close()
