"""Who may do what: each workload's roles, resource by resource, as the code needs them.

The reasons are the adapters' docstrings; tests/terraform holds the plan to the same roles, and
tests/local holds this table to that list.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from shared.domain.recording import Topic

PUBSUB = "pubsub agent"  #: service-NUMBER@gcp-sa-pubsub, Google's own
STORAGE = "storage agent"  #: service-NUMBER@gs-project-accounts
IAP = "iap agent"  #: service-NUMBER@gcp-sa-iap

FUNCTIONS = (
    "deliver",
    "on_announcement",
    "on_audio_uploaded",
    "on_job_dead",
    "reconcile",
    "retire",
    "seal",
)
#: What drains an outbox: after an intake, a mending, an announcement, a hearing, a replay.
PUBLISHERS = ("gateway", "on_audio_uploaded", "reconcile", "retire", "service")
#: What reads and writes the store: those, whoever tells webhooks, and who seals.
KEEPERS = (*PUBLISHERS, "deliver", "on_announcement", "seal")


class On(StrEnum):
    """What a role is on; the last five are found by what they are for."""

    PROJECT = "project"
    KEPT = "kept"  #: a secret
    KEY = "key"  #: one that signs, in a ring of its name
    IDENTITY = "identity"  #: whom else it may act as, or sign for
    BUCKET = "bucket"
    TOPIC = "topic"
    SERVICE = "service"
    ARRIVALS = "arrivals"  #: the subscription that `reconcile` pulls
    NOTIFIED = "notified"  #: the topic that it is a subscription of
    MORTAL = "mortal"  #: every subscription that has dead letters
    DEAD_LETTERS = "dead letters"  #: every topic that they go to
    TABLE = "table"  #: what measurements are written to


@dataclass(frozen=True, slots=True)
class Grant:
    who: str  #: a workload's noun, or one of Google's agents
    role: str
    on: On
    noun: str = ""  #: which of them, where there are several


def _on_project() -> Iterator[Grant]:
    for who in KEEPERS:
        yield Grant(who, "roles/datastore.user", On.PROJECT)
    # The gateway sends no spans of its own.
    for who in ("service", *FUNCTIONS):
        yield Grant(who, "roles/telemetry.tracesWriter", On.PROJECT)
    # Only what a bucket triggers is called through Eventarc's own topic.
    yield Grant("on_audio_uploaded", "roles/eventarc.eventReceiver", On.PROJECT)


def _on_buckets() -> Iterator[Grant]:
    for who in ("on_audio_uploaded", "reconcile", "service"):
        yield Grant(who, "roles/storage.objectViewer", On.BUCKET, "uploads")
    for who in ("gateway", "retire"):
        yield Grant(who, "roles/storage.objectUser", On.BUCKET, "uploads")
    for who in ("reconcile", "retire", "service"):
        yield Grant(who, "roles/storage.objectUser", On.BUCKET, "results")
    yield Grant("gateway", "roles/storage.objectViewer", On.BUCKET, "results")
    for who in ("gateway", "retire", "service"):
        yield Grant(who, "roles/storage.objectUser", On.BUCKET, "archive")
    for who in ("gateway", "retire"):
        yield Grant(who, "roles/storage.objectUser", On.BUCKET, "temp")
    yield Grant("service", "roles/storage.objectViewer", On.BUCKET, "weights")
    # Who seals can neither replace nor delete a seal, and nobody else writes there at all.
    yield Grant("seal", "roles/storage.objectCreator", On.BUCKET, "audit")
    for who in ("gateway", "seal"):
        yield Grant(who, "roles/storage.objectViewer", On.BUCKET, "audit")


def _on_messages() -> Iterator[Grant]:
    for who in PUBLISHERS:
        for topic in Topic:
            yield Grant(who, "roles/pubsub.publisher", On.TOPIC, topic.value)
    yield Grant("reconcile", "roles/pubsub.subscriber", On.ARRIVALS)


def _of_google() -> Iterator[Grant]:
    """A dead letter is published there and taken off here; rows and notices are written."""
    yield Grant(PUBSUB, "roles/pubsub.subscriber", On.MORTAL)
    yield Grant(PUBSUB, "roles/pubsub.publisher", On.DEAD_LETTERS)
    yield Grant(PUBSUB, "roles/bigquery.dataEditor", On.TABLE)
    yield Grant(STORAGE, "roles/pubsub.publisher", On.PROJECT)
    yield Grant(STORAGE, "roles/pubsub.publisher", On.NOTIFIED)


def _on_what_runs() -> Iterator[Grant]:
    for who in ("gateway", "operator", "push"):
        yield Grant(who, "roles/run.invoker", On.SERVICE, "service")
    # Events are delivered as the function's own identity; people come through the proxy.
    for who in FUNCTIONS:
        yield Grant(who, "roles/run.invoker", On.SERVICE, who)
    yield Grant(IAP, "roles/run.invoker", On.SERVICE, "gateway")
    yield Grant("service", "roles/secretmanager.secretAccessor", On.KEPT, "openai-api-key")
    # Who makes receipts, and who seals; the gateway says which key that is.
    for who in ("retire", "seal"):
        yield Grant(who, "roles/cloudkms.signer", On.KEY, "testimony")
    for who in ("gateway", "retire", "seal"):
        yield Grant(who, "roles/cloudkms.publicKeyViewer", On.KEY, "testimony")
    # It signs the addresses of uploads, as itself and without a key.
    yield Grant("gateway", "roles/iam.serviceAccountTokenCreator", On.IDENTITY, "gateway")


GRANTS: tuple[Grant, ...] = (
    *_on_project(),
    *_on_buckets(),
    *_on_messages(),
    *_of_google(),
    *_on_what_runs(),
)
