"""Implements `Publisher` on Pub/Sub.

IAM on each topic: roles/pubsub.publisher for whoever drains an outbox (`on_audio_uploaded`,
`reconcile`, GPU service, gateway); terraform/stack/pubsub.tf. Emulator: the gcloud SDK's, found
by PUBSUB_EMULATOR_HOST.

One request a topic, answered before `publish` returns: the batching client answers from threads
of its own, and a function that returns must know. Source: Pub/Sub REST, `projects.topics.publish`.
"""

import json
from base64 import b64encode
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from google.api_core.exceptions import GoogleAPIError, ServerError, TooManyRequests
from google.api_core.retry import Retry, if_exception_type
from google.auth.exceptions import GoogleAuthError
from requests.exceptions import RequestException

from shared.adapters.gcp.pubsub_topics import PubSubTopics
from shared.domain.messages import attributes
from shared.domain.recording import Message
from shared.errors import BrokerUnavailable

#: Seconds one request may take, and all tries for one topic together. Past this, the outbox is
#: the better place.
CALL_S, CONFIRM_S = 4.0, 8.0
#: Pub/Sub's most messages of one request. Ours have some 500 bytes: its 10 MB are far away.
MOST_MESSAGES = 1000
_AGAIN = if_exception_type(ServerError, TooManyRequests, RequestException)


class PubSubPublisher:
    """One client for all threads; made once at start."""

    def __init__(
        self,
        client: PubSubTopics,
        project: str,
        prefix: str = "",
        confirm_s: float = CONFIRM_S,
    ) -> None:
        """`prefix`: written before the name of every topic."""
        self._client = client
        self._retry = Retry(predicate=_AGAIN, initial=0.1, maximum=1.0, timeout=confirm_s)
        self._topics = f"projects/{project}/topics/{prefix}"

    def publish(self, messages: Sequence[Message]) -> None:
        """As the port says, within `confirm_s` a topic; topic by topic, each in order."""
        ordered = sorted(messages, key=lambda m: m.topic)
        for topic, group in groupby(ordered, key=lambda m: m.topic):
            for some in _parts(list(group)):
                self._send(topic.value, some)

    def _send(self, topic: str, messages: Sequence[Message]) -> None:
        try:
            self._retry(self._client.publish)(
                self._topics + topic, [_pubsub_message(m) for m in messages], CALL_S
            )
        except (GoogleAPIError, GoogleAuthError, RequestException) as error:
            raise BrokerUnavailable(topic=topic, detail=type(error).__name__) from error


def _parts(messages: list[Message]) -> Iterator[list[Message]]:
    for start in range(0, len(messages), MOST_MESSAGES):
        yield messages[start : start + MOST_MESSAGES]


def _pubsub_message(message: Message) -> dict[str, Any]:
    """Source: Pub/Sub REST, PubsubMessage."""
    beside = {"event_id": message.event_id, **attributes(message)}
    return {"data": b64encode(json.dumps(message.body).encode()).decode(), "attributes": beside}
