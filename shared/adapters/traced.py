"""Adapters seen through spans: each call of a store or broker is one, named after the call.

Only put around them where spans are collected; else nothing of this is in the way. Names and
attributes: OpenTelemetry semantic conventions for database client spans (1.30) and for messaging
(gcp_pubsub). What is passed to a call stands in none of them.
"""

from collections.abc import Callable, Sequence
from functools import wraps
from itertools import groupby
from typing import Any

from shared.domain.recording import Message
from shared.ports import Publisher
from shared.spans import Attributes, Kind, span


class Traced:
    """Implements whatever port `inner` does."""

    def __init__(self, inner: Any, collection: str, system: str) -> None:
        self._inner, self._collection, self._system = inner, collection, system

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        return self._spanned(name, found) if callable(found) else found

    def _spanned(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        attributes = {
            "db.system.name": self._system,
            "db.operation.name": name,
            "db.collection.name": self._collection,
        }

        @wraps(call)
        def spanned(*args: Any, **kwargs: Any) -> Any:
            with span(f"{name} {self._collection}", Kind.CLIENT, attributes=attributes):
                return call(*args, **kwargs)

        return spanned


class TracedPublisher:
    """Implements `Publisher`; one span a topic."""

    def __init__(self, inner: Publisher) -> None:
        self._inner = inner

    def publish(self, messages: Sequence[Message]) -> None:
        for topic, group in groupby(sorted(messages, key=_topic), key=_topic):
            sent = list(group)
            attributes: Attributes = {
                "messaging.system": "gcp_pubsub",
                "messaging.operation.type": "send",
                "messaging.operation.name": "send",
                "messaging.destination.name": topic,
                "messaging.batch.message_count": len(sent),
            }
            with span(f"send {topic}", Kind.PRODUCER, link=sent[0].trace, attributes=attributes):
                self._inner.publish(sent)


def _topic(message: Message) -> str:
    return message.topic.value
