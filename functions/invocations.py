"""One event handled: the span of a function, in the trace that the event came with.

Source: OpenTelemetry semantic conventions, "FaaS spans"; CloudEvents extension "Distributed
Tracing", attribute `traceparent`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cloudevents.http import CloudEvent
from flask import has_request_context, request

from shared.domain.trace import TRACEPARENT
from shared.spans import Kind, flush, span


@contextmanager
def invoked(name: str, trigger: str, event: CloudEvent) -> Iterator[None]:
    """A span named after the function; `trigger` is `datasource` or `pubsub`.

    What was collected is sent before the answer: between two events the platform gives an
    instance no time of its own.
    """
    kind = Kind.CONSUMER if trigger == "pubsub" else Kind.SERVER
    attributes = {"faas.trigger": trigger, "faas.invocation_id": str(event["id"])}
    try:
        with span(name, kind, parent=_cause(event), attributes=attributes):
            yield
    finally:
        flush()


def _cause(event: CloudEvent) -> str | None:
    """Who sent it knows best, then the event itself, then whoever brought it."""
    brought = request.headers.get(TRACEPARENT) if has_request_context() else None
    return _sent_along(event.data) or event.get(TRACEPARENT) or brought


def _sent_along(data: Any) -> str | None:
    """The trace context among the attributes of a Pub/Sub message, if it is one."""
    try:
        found = data["message"]["attributes"][TRACEPARENT]
    except (KeyError, TypeError, IndexError):
        return None
    return found if isinstance(found, str) else None
