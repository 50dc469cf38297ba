"""What Google's platform does between its parts and its emulators do not.

A bucket notifies of its own objects; Eventarc turns notifications into CloudEvents; a BigQuery
subscription writes what is published into a table. Here each is a thread that pulls, delivers
and acknowledges what was confirmed; everything else comes again after its deadline.
"""

import http.client
import json
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from local.storage_events import AT_ONCE, Deliver
from shared.domain.recording import Arrival
from shared.errors import BrokerUnavailable, EarwitnessError
from shared.logs import say
from shared.ports import Arrivals, Clock

if TYPE_CHECKING:
    from google.cloud.bigquery import Client
    from google.pubsub_v1 import PublisherClient, ReceivedMessage

    from shared.adapters.gcp.pubsub_pull import PullSubscription

log = logging.getLogger("earwitness.bridges")

#: Seconds to wait after a part did not answer.
REST_S = 1.0
#: Rows of one insert; BigQuery advises at most 500.
MOST_ROWS = 500
#: Seconds one insert, and one request to publish, may take.
INSERT_S, PUBLISH_S = 30.0, 5.0
#: Announcements that are told from those that come again.
MOST_KNOWN = 10_000


class Bridge:
    """Takes one step after the other in a thread of its own, until stopped."""

    def __init__(self, name: str, step: Callable[[], int]) -> None:
        """`step` waits for something to carry, and returns how much it has carried."""
        self._step = step
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Take no further step; several bridges end in the time of one."""
        self._stopped.set()

    def stop(self) -> None:
        """Carry nothing more; returns after the step that is under way."""
        self.ask_to_stop()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._step()
            except EarwitnessError as error:
                say(log, error)
                self._stopped.wait(REST_S)


class UploadNotifications:
    """Notifications of every bucket -> those of one bucket, on a topic of its own.

    The storage emulator has one topic for all its buckets; in the cloud each bucket has its
    notifications, and whoever listens to uploads never hears of results.
    """

    def __init__(
        self,
        subscription: "PullSubscription",
        publisher: "PublisherClient",
        topic: str,
        bucket: str,
    ) -> None:
        """`topic`: its full name; what is published there is what came, unchanged."""
        self._subscription, self._publisher = subscription, publisher
        self._topic, self._bucket = topic, bucket

    def step(self) -> int:
        """Publish what came; how many were of our bucket. Repeating makes doubles, no loss.

        Raises:
            BrokerUnavailable: step again later.
        """
        received = self._subscription.pull(MOST_ROWS)
        ours = [one for one in received if one.message.attributes.get("bucketId") == self._bucket]
        if ours:
            publish(
                self._publisher,
                self._topic,
                [(one.message.data, dict(one.message.attributes)) for one in ours],
            )
        self._subscription.ack([one.ack_id for one in received])
        return len(ours)


def publish(
    publisher: "PublisherClient", topic: str, bodies: Sequence[tuple[bytes, dict[str, str]]]
) -> None:
    """Publish bodies with their attributes.

    Raises:
        BrokerUnavailable: some may have been taken; publishing all of them again is safe here.
    """
    from google.api_core.exceptions import GoogleAPIError
    from google.pubsub_v1 import PubsubMessage

    messages = [PubsubMessage(data=data, attributes=beside) for data, beside in bodies]
    try:
        publisher.publish(topic=topic, messages=messages, timeout=PUBLISH_S)
    except GoogleAPIError as error:
        raise BrokerUnavailable(topic=topic, detail=type(error).__name__) from error


class Announcements:
    """Messages of the topic `recording-events` -> ids of recordings, for who asks for news."""

    def __init__(self, subscription: "PullSubscription") -> None:
        """`subscription`: one that nobody else pulls from."""
        self._subscription = subscription
        self._ids: SimpleQueue[str] = SimpleQueue()
        self._known: dict[str, None] = {}  # event ids, the oldest first

    def __call__(self) -> list[str]:
        """What came since this was asked before, each event once."""
        return [self._ids.get_nowait() for _ in range(self._ids.qsize())]

    def step(self) -> int:
        """Take what was announced; how many messages.

        Raises:
            BrokerUnavailable: step again later.
        """
        received = self._subscription.pull(MOST_ROWS)
        for one in received:
            self._note(_announced(one))
        self._subscription.ack([one.ack_id for one in received])
        return len(received)

    def _note(self, announced: tuple[str, str] | None) -> None:
        if announced is None or announced[0] in self._known:
            return
        event_id, recording_id = announced
        self._known[event_id] = None
        if len(self._known) > MOST_KNOWN:
            self._known.pop(next(iter(self._known)))
        self._ids.put(recording_id)


class ObjectEvents:
    """Notifications of the uploads bucket -> `google.cloud.storage.object.v1.finalized`."""

    def __init__(self, arrivals: Arrivals, bucket: str, deliver: Deliver, now: Clock) -> None:
        """`arrivals`: a subscription of its own; the emulator's topic tells of every bucket."""
        self._arrivals, self._bucket, self._deliver, self._now = arrivals, bucket, deliver, now
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="object-event")

    def step(self) -> int:
        """Deliver what has arrived; how many were confirmed. Safe to repeat, as intake is.

        Raises:
            BrokerUnavailable: step again later.
        """
        arrived = self._arrivals.pull(self._now(), limit=4 * AT_ONCE)
        settled = list(self._pool.map(self._settled, arrived))
        confirmed = [a for a, done in zip(arrived, settled, strict=True) if done]
        self._arrivals.ack(confirmed)
        return len(confirmed)

    def _settled(self, arrival: Arrival) -> bool:
        if arrival.upload.bucket != self._bucket:
            return True
        try:
            return self._deliver(arrival.upload)
        except (OSError, http.client.HTTPException) as error:
            log.debug("no answer to an object event: %r", error)
            return False


class MeasurementRows:
    """Messages of the topic `inference-metrics` -> rows of the table.

    A message is acknowledged after its row is in the table, so a row may be there twice.
    """

    def __init__(self, subscription: "PullSubscription", client: "Client", table: str) -> None:
        """`table`: project.dataset.table."""
        self._subscription, self._client, self._table = subscription, client, table

    def step(self) -> int:
        """Insert what was published; how many rows were confirmed.

        Raises:
            BrokerUnavailable: step again later.
        """
        received = self._subscription.pull(MOST_ROWS)
        read = [(one, row) for one in received if (row := _row(one)) is not None]
        done = self._inserted(read)
        # What is no row will never be one.
        strange = [one for one in received if _row(one) is None]
        if strange:
            log.warning("messages that are no rows", extra={"count": len(strange)})
        self._subscription.ack([one.ack_id for one in [*done, *strange]])
        return len(done)

    def _inserted(
        self, read: Sequence[tuple["ReceivedMessage", dict[str, Any]]]
    ) -> list["ReceivedMessage"]:
        """Those whose rows the table has; one bad row does not keep the others out."""
        if not read or self._insert([row for _, row in read]):
            return [one for one, _ in read]
        if len(read) == 1:
            return []
        return [one for one, row in read if self._insert([row])]

    def _insert(self, rows: Sequence[dict[str, Any]]) -> bool:
        from google.api_core.exceptions import GoogleAPIError
        from google.api_core.retry import Retry, if_exception_type
        from requests.exceptions import ConnectionError, RequestException

        # The emulator hangs up after it has refused a row, and the next one would pay for it.
        anew = Retry(predicate=if_exception_type(ConnectionError), initial=0.05, timeout=2.0)
        ids = [str(row["event_id"]) for row in rows]
        try:
            faults = self._client.insert_rows_json(
                self._table, rows, row_ids=ids, retry=anew, timeout=INSERT_S
            )
        except (GoogleAPIError, RequestException) as error:
            log.warning("%d rows were not taken: %s", len(rows), type(error).__name__)
            return False
        if faults:
            log.warning("%d of %d rows were not taken", len(faults), len(rows))
        return not faults


def _announced(received: "ReceivedMessage") -> tuple[str, str] | None:
    """The ids of the event and of its recording, of what is an announcement."""
    try:
        body = json.loads(received.message.data)
        return str(body["event_id"]), str(body["recording_id"])
    except (ValueError, KeyError, TypeError):
        return None


def _row(received: "ReceivedMessage") -> dict[str, Any] | None:
    try:
        row = json.loads(received.message.data)
    except ValueError:
        return None
    return row if isinstance(row, dict) and "event_id" in row else None
