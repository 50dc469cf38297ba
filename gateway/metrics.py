"""`GET /metrics`: what this gateway tells Prometheus, to whoever runs beside it."""

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

from fastapi import APIRouter, Request
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.responses import Response

from shared.errors import NotFound
from shared.exchanges import Exchange

router = APIRouter()

#: First parts of paths with figures of their own; all others are one. Ids never get here.
ROOMS = (
    *("recordings", "uploads", "search", "events", "dead-letters", "audio", "models", "analyses"),
    *("keys", "audit"),
)
#: Seconds. Accepting a recording is to take under 1 s; an audio call waits for its answer.
BUCKETS = (0.01, 0.05, 0.2, 1.0, 3.0, 10.0, 60.0)


class Metrics:
    """The registry of one app."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self._seconds = Histogram(
            "earwitness_gateway_request_seconds",
            "Time to the last byte of an answer.",
            ["room"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._requests = self._counter("requests", "Requests answered.", "room", "status")
        self._received = self._counter("received_bytes", "Bytes of bodies in.", "room")
        self._sent = self._counter("sent_bytes", "Bytes of bodies out.", "room")
        self._streams = self._counter("streams", "Live streams that ended.", "code")
        ProcessCollector(registry=self.registry)

    def exchanged(self, exchange: Exchange) -> None:
        room = room_of(exchange.path)
        self._seconds.labels(room).observe(exchange.seconds)
        self._requests.labels(room, f"{exchange.status // 100}xx").inc()
        self._received.labels(room).inc(exchange.received)
        self._sent.labels(room).inc(exchange.sent)

    def streamed(self, code: int) -> None:
        """A live stream ended with this close code."""
        self._streams.labels(str(code) if 1000 <= code <= 1015 else "other").inc()

    def exposition(self) -> bytes:
        """Prometheus' text format 0.0.4."""
        view: Any = _View(self.registry)
        return generate_latest(view)

    def _counter(self, name: str, said: str, *labels: str) -> Counter:
        return Counter(f"earwitness_gateway_{name}", said, labels, registry=self.registry)


class _View:
    """Without the moments counters were made at: a series each, of no use."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for family in self._registry.collect():
            family.samples = [s for s in family.samples if not s.name.endswith("_created")]
            yield family


def room_of(path: str) -> str:
    """The room of the API a path leads to, or `other`."""
    version, _, rest = path.removeprefix("/").partition("/")
    room = rest.partition("/")[0]
    return room if version == "v1" and room in ROOMS else "other"


@router.get("/metrics", include_in_schema=False)
def metrics(request: Request) -> Response:
    """For a scraper on this machine or beside this container; nobody else finds anything here.

    Raises:
        NotFound: the request comes from elsewhere.
    """
    client = request.client
    if client is None or not _is_here(client.host):
        raise NotFound("There is nothing at this address.")
    told: Metrics = request.app.state.metrics
    return Response(told.exposition(), media_type=CONTENT_TYPE_LATEST)


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
