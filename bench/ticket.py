"""Ticket to start: from `publish` until the push has come through the relay, on the emulator.

Google's Pub/Sub emulator and our signing relay; the service is a door that only notes the
time, so that what is measured is the doorbell and not the work. No goal is set: the emulator
says nothing about production (docs/unproved.md).
"""

import os
import queue
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from google.pubsub_v1.types import PushConfig

from local.emulated.emulators import PROJECT, PubSub, running
from local.emulated.relay import Relay
from local.push_keys import PushKeys
from shared.adapters.embedded.posts import Posts
from shared.adapters.gcp import pubsub_clients, pubsub_topics
from shared.adapters.gcp.pubsub_publisher import PubSubPublisher
from shared.domain.lanes import Lane
from shared.domain.messages import ticket
from shared.domain.recording import Topic
from shared.wiring import clock

TICKETS, WARM = 200, 20
#: Seconds to wait for one push.
PATIENCE_S = 30.0


@contextmanager
def door() -> Iterator[tuple[str, "queue.Queue[float]"]]:
    """Answers 204 to every push and notes when it came."""
    came: queue.Queue[float] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            came.put(time.perf_counter())
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response_only(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", came
    server.shutdown()
    server.server_close()


def pushed_to(url: str) -> PubSubPublisher:
    """The lane's topic with its push subscription; returns who publishes to it."""
    publisher, subscriber = pubsub_clients.publisher(), pubsub_clients.subscriber()
    topic = f"projects/{PROJECT}/topics/{Topic.LANE_HIGH.value}"
    publisher.create_topic(name=topic)
    subscriber.create_subscription(
        name=f"projects/{PROJECT}/subscriptions/{Topic.LANE_HIGH.value}",
        topic=topic,
        push_config=PushConfig(push_endpoint=url),
        ack_deadline_seconds=600,
    )
    return PubSubPublisher(pubsub_topics.topics(), PROJECT)


def wait_ms(publisher: PubSubPublisher, came: "queue.Queue[float]", n: int) -> float:
    begun = time.perf_counter()
    publisher.publish([ticket(f"r{n}", Lane.HIGH, n)])
    return (came.get(timeout=PATIENCE_S) - begun) * 1000


def run() -> bool:
    with tempfile.TemporaryDirectory() as folder, running(PubSub(), Path(folder)) as variables:
        os.environ |= variables
        with door() as (service, came):
            relay = Relay(Posts(lambda: service, 60.0), PushKeys(Path(folder) / "keys", clock))
            relay.start()
            publisher = pushed_to(relay.url)
            waits = [wait_ms(publisher, came, n) for n in range(WARM + TICKETS)][WARM:]
            relay.stop()
    cuts = statistics.quantiles(waits, n=100)
    print(f"  {TICKETS} tickets, one at a time: p50 {cuts[49]:.1f} ms, p95 {cuts[94]:.1f} ms")
    print(f"  load {' '.join(f'{x:.2f}' for x in os.getloadavg())}")
    return True
