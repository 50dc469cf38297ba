"""The project that Terraform makes in the cloud, made on the emulators at every start.

Subscriptions have the platform policy of DESIGN section 4: 100 deliveries, 10 to 600 s apart,
then a dead letter. What the emulators make of it differs (docs/unproved.md); above all, Pub/Sub's
has 2 pushes of a subscription under way, never more, however many places the service has.
"""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from importlib.resources import files

from google.api_core.exceptions import GoogleAPIError
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery, storage
from google.pubsub_v1 import (
    DeadLetterPolicy,
    PublisherClient,
    PushConfig,
    RetryPolicy,
    SubscriberClient,
    Subscription,
)

from local.emulated.bridges import (
    Announcements,
    Bridge,
    MeasurementRows,
    ObjectEvents,
    UploadNotifications,
    publish,
)
from local.emulated.emulators import PROJECT
from local.storage_events import Deliver
from local.ticks import TOPIC as TICKS
from shared.adapters.gcp import pubsub_clients
from shared.adapters.gcp.bigquery_measurements import TABLE, VIEW, columns, view
from shared.adapters.gcp.pubsub_arrivals import PubSubArrivals
from shared.adapters.gcp.pubsub_pull import PullSubscription
from shared.domain.recording import Topic
from shared.errors import PartNotStarted
from shared.ports import Clock

UPLOADS, RESULTS = "earwitness-uploads", "earwitness-results"
ARCHIVE, TEMP, AUDIT = "earwitness-archive", "earwitness-temp", "earwitness-audit"
DATASET = "earwitness"
#: Of every bucket, as the storage emulator tells them; of the uploads bucket alone.
NOTIFICATIONS, UPLOADED = "bucket-notifications", "upload-notifications"
#: Whatever could not be delivered 100 times.
UNDELIVERED = "undelivered"
#: Pull subscriptions by topic. `upload-arrivals` is `reconcile`'s, the others are bridges'.
SORTER, EVENTARC, ARRIVALS = "bucket-notifications-sorter", "upload-events", "upload-arrivals"
ROWS, TERMINAL = "inference-metrics-rows", "recording-events-terminal"
PULLED = {
    SORTER: NOTIFICATIONS,
    EVENTARC: UPLOADED,
    ARRIVALS: UPLOADED,
    ROWS: Topic.METRICS.value,
    TERMINAL: Topic.EVENTS.value,
    UNDELIVERED: UNDELIVERED,
}
TOPICS = (NOTIFICATIONS, UPLOADED, UNDELIVERED, TICKS, *(topic.value for topic in Topic))
LANES = (Topic.LANE_HIGH.value, Topic.LANE_LOW.value)
#: Platform policy.
MOST_DELIVERIES = 100
LEAST_WAIT, LONGEST_WAIT = timedelta(seconds=10), timedelta(seconds=600)
#: Seconds a message may be worked on: work on a ticket takes at most 480 (push: at most 600), a
#: row or an event at most so long; `reconcile` looks at arrivals for a minute.
PUSHED_S, PULLED_S, ARRIVALS_S = 600, 20, 60

#: What every process is told, besides where the emulators answer.
SETTINGS = {
    "backend": "gcp",
    "project": PROJECT,
    "uploads_bucket": UPLOADS,
    "results_bucket": RESULTS,
    "archive_bucket": ARCHIVE,
    "temp_bucket": TEMP,
    "audit_bucket": AUDIT,
    "firestore_database": "(default)",
    "topic_prefix": "",
    "arrivals_subscription": ARRIVALS,
    "metrics_dataset": DATASET,
}


class Project:
    """Clients of the emulators that the environment names, and what is laid out on them."""

    def __init__(self) -> None:
        self._publisher: PublisherClient = pubsub_clients.publisher()
        self._subscriber: SubscriberClient = pubsub_clients.subscriber()
        self._tables = bigquery.Client(PROJECT, AnonymousCredentials())  # type: ignore[no-untyped-call]

    def make(self) -> None:
        """Buckets, topics, pull subscriptions, and the table with its view.

        Raises:
            PartNotStarted: an emulator refuses.
        """
        try:
            files_client = storage.Client(PROJECT)
            for bucket in (UPLOADS, RESULTS, ARCHIVE, TEMP, AUDIT):
                files_client.create_bucket(bucket)
            for topic in TOPICS:
                self._publisher.create_topic(name=_topic(topic))
            for name, topic in PULLED.items():
                self._subscribe(name, topic, ARRIVALS_S if name == ARRIVALS else PULLED_S)
            self._make_table()
        except GoogleAPIError as error:
            raise PartNotStarted(f"An emulator refuses: {type(error).__name__}.") from error

    def push(self, tickets: str, functions: str) -> None:
        """Push tickets to one address, and each function's topic to the function below the other.

        The path names the topic: the functions framework then knows what kind of event it is.
        """
        for lane in LANES:
            self._subscribe(lane, lane, PUSHED_S, tickets)
        for function, topic in _listeners():
            endpoint = f"{functions}/{function}/{_topic(topic)}"
            self._subscribe(function, topic, PUSHED_S, endpoint)  # several may listen to one

    def tick(self) -> None:
        """What Cloud Scheduler publishes."""
        publish(self._publisher, _topic(TICKS), [(b"{}", {})])

    def announcements(self) -> Announcements:
        return Announcements(self._pulled(TERMINAL))

    def bridges(self, deliver: Deliver, announcements: Announcements, now: Clock) -> list[Bridge]:
        """What the platform does between its parts; `deliver` takes events of uploads."""
        sorter = UploadNotifications(
            self._pulled(SORTER), self._publisher, _topic(UPLOADED), UPLOADS
        )
        arrivals = PubSubArrivals(lambda: self._pulled(EVENTARC))
        rows = MeasurementRows(self._pulled(ROWS), self._tables, f"{PROJECT}.{DATASET}.{TABLE}")
        steps: dict[str, Callable[[], int]] = {
            "upload-notifications": sorter.step,
            "object-events": ObjectEvents(arrivals, UPLOADS, deliver, now).step,
            "measurement-rows": rows.step,
            "announcements": announcements.step,
        }
        return [Bridge(name, step) for name, step in steps.items()]

    def _pulled(self, name: str) -> PullSubscription:
        return PullSubscription(self._subscriber, PROJECT, name)

    def _subscribe(self, name: str, topic: str, deadline_s: int, push: str = "") -> None:
        letters = DeadLetterPolicy(
            dead_letter_topic=_topic(UNDELIVERED), max_delivery_attempts=MOST_DELIVERIES
        )
        self._subscriber.create_subscription(
            Subscription(
                name=f"projects/{PROJECT}/subscriptions/{name}",
                topic=_topic(topic),
                push_config=PushConfig(push_endpoint=push),
                ack_deadline_seconds=deadline_s,
                retry_policy=RetryPolicy(minimum_backoff=LEAST_WAIT, maximum_backoff=LONGEST_WAIT),
                dead_letter_policy=letters if topic != UNDELIVERED else None,
            )
        )

    def _make_table(self) -> None:
        dataset = self._tables.create_dataset(DATASET)
        schema = [bigquery.SchemaField.from_api_repr(column) for column in columns()]
        table = bigquery.Table(dataset.table(TABLE), schema)
        table.time_partitioning = bigquery.TimePartitioning(field="at")
        table.clustering_fields = ["engine", "task"]
        seen = bigquery.Table(dataset.table(VIEW))
        seen.view_query = view(f"{PROJECT}.{DATASET}.{TABLE}")
        for one in (table, seen):
            self._tables.create_table(one)


def _topic(name: str) -> str:
    return f"projects/{PROJECT}/topics/{name}"


def _listeners() -> Iterator[tuple[str, str]]:
    """Each function that listens to a topic, from the one list."""
    listed = json.loads(files("functions").joinpath("functions.json").read_text(encoding="utf-8"))
    for name, function in listed.items():
        if topic := function["trigger"].get("topic"):
            yield name, topic
