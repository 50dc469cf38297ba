"""What Google's platform does between its parts and its emulators do not.

Eventarc turns notifications of the bucket into CloudEvents; a BigQuery subscription writes
what is published into a table. Here each is a thread that pulls, delivers and acknowledges
what was confirmed; everything else comes again after its deadline.
"""

import http.client
import json
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from local.storage_events import AT_ONCE, Deliver
from shared.domain.recording import Arrival
from shared.errors import EarwitnessError
from shared.logs import say
from shared.ports import Arrivals, Clock

if TYPE_CHECKING:
    from google.cloud.bigquery import Client
    from google.pubsub_v1 import ReceivedMessage

    from shared.adapters.gcp.pubsub_pull import PullSubscription

log = logging.getLogger("earwitness.bridges")

#: Seconds to wait after a part did not answer.
REST_S = 1.0
#: Rows of one insert; BigQuery advises at most 500.
MOST_ROWS = 500
#: Seconds one insert may take.
INSERT_S = 30.0


class Bridge:
    """Takes one step after the other in a thread of its own, until stopped."""

    def __init__(self, name: str, step: Callable[[], int]) -> None:
        """`step` waits for something to carry, and returns how much it has carried."""
        self._step = step
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Carry nothing more; returns after the step that is under way."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._step()
            except EarwitnessError as error:
                say(log, error)
                self._stopped.wait(REST_S)


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


def _row(received: "ReceivedMessage") -> dict[str, Any] | None:
    try:
        row = json.loads(received.message.data)
    except ValueError:
        return None
    return row if isinstance(row, dict) and "event_id" in row else None
