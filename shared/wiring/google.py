"""Google's parts. Imported late: the clients weigh half a second, for which nobody on one machine
should wait."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import grpc._interceptor  # noqa: F401  # Firestore's first call would wait for it, see below
from google.auth.exceptions import DefaultCredentialsError
from google.cloud import firestore, storage

from shared.adapters.gcp.bucket_sweeper import BucketSweeper
from shared.adapters.gcp.firestore_actions import FirestoreActions
from shared.adapters.gcp.firestore_api_keys import FirestoreApiKeys
from shared.adapters.gcp.firestore_bookmarks import FirestoreBookmarks
from shared.adapters.gcp.firestore_chains import FirestoreChains
from shared.adapters.gcp.firestore_corrections import FirestoreCorrections
from shared.adapters.gcp.firestore_erasures import FirestoreErasures
from shared.adapters.gcp.firestore_jobs import FirestoreJobs
from shared.adapters.gcp.firestore_outbox import FirestoreOutbox
from shared.adapters.gcp.firestore_quotas import FirestoreQuotas
from shared.adapters.gcp.firestore_recordings import FirestoreRecordings
from shared.adapters.gcp.firestore_retention import FirestoreRetention
from shared.adapters.gcp.firestore_spending import FirestoreSpending
from shared.adapters.gcp.firestore_tenants import FirestoreTenants
from shared.adapters.gcp.firestore_webhooks import FirestoreDeliveries, FirestoreWebhooks
from shared.adapters.gcp.no_leftovers import NoLeftovers
from shared.adapters.gcp.pubsub_arrivals import PubSubArrivals
from shared.adapters.gcp.pubsub_publisher import PubSubPublisher
from shared.adapters.gcp.pubsub_topics import topics
from shared.adapters.gcp.storage_results import StorageResults
from shared.adapters.gcp.storage_seals import StorageSeals
from shared.adapters.gcp.storage_uploads import StorageUploads
from shared.errors import InvalidSettings
from shared.ports import Signer
from shared.settings import Settings
from shared.wiring.inventory import Parts, clock, holder

if TYPE_CHECKING:
    from shared.adapters.gcp.pubsub_pull import PullSubscription

#: Source: Functions Framework contract: the function that this process serves.
TARGET = "FUNCTION_TARGET"
#: Source: google-cloud-storage 3.17, _opentelemetry_tracing.py.
NO_BUCKET_METADATA = "DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA"


def google(settings: Settings) -> Parts:
    """Google's parts, each over a client that is made here, once."""
    s = settings
    # Else Cloud Storage's client asks for each bucket's metadata beside the first request, for its
    # own spans, in a thread, and with a permission that nobody of ours has.
    os.environ.setdefault(NO_BUCKET_METADATA, "true")
    with identity_said():
        store, files = firestore_client(s), storage.Client(s.project)
        publisher = PubSubPublisher(topics(), s.project, s.topic_prefix)
        arrivals = _arrivals(s)
    uploads = StorageUploads(files, s.uploads_bucket, s.archive_bucket)
    return Parts(
        settings=s,
        tenants=FirestoreTenants(store),
        recordings=FirestoreRecordings(store),
        jobs=FirestoreJobs(store, s.retry_base_s),
        outbox=FirestoreOutbox(store),
        publisher=publisher,
        uploads=uploads,
        inlet=uploads,
        results=StorageResults(files, s.results_bucket),
        temporary=StorageResults(files, s.temp_bucket),
        arrivals=arrivals,
        bookmarks=FirestoreBookmarks(store),
        spending=FirestoreSpending(store, holder(s)),
        quotas=FirestoreQuotas(store),
        api_keys=FirestoreApiKeys(store),
        corrections=FirestoreCorrections(store),
        imports=None,
        signer=_google_signer(s),
        erasures=FirestoreErasures(store),
        leftovers=NoLeftovers(),
        actions=FirestoreActions(store),
        chains=FirestoreChains(store),
        seals=StorageSeals(files, s.audit_bucket),
        retention=FirestoreRetention(store),
        sweeper=BucketSweeper(),
        webhooks=FirestoreWebhooks(store),
        deliveries=FirestoreDeliveries(store),
        now=clock,
    )


def _arrivals(settings: Settings) -> PubSubArrivals:
    """Built at the start of `reconcile`, which pulls from it; nobody else waits for its client."""

    def subscribed() -> "PullSubscription":
        from shared.adapters.gcp.pubsub_clients import subscriber
        from shared.adapters.gcp.pubsub_pull import PullSubscription

        return PullSubscription(subscriber(), settings.project, settings.arrivals_subscription)

    made = PubSubArrivals(subscribed)
    if os.environ.get(TARGET) == "reconcile":
        made.open()
    return made


def _google_signer(settings: Settings) -> Signer:
    """Cloud KMS has no emulator: over those of its neighbours HOME's own key signs."""
    if os.environ.get("FIRESTORE_EMULATOR_HOST") and not settings.signing_kms_key:
        from shared.adapters.embedded.home_signer import HomeSigner

        return HomeSigner(settings.home / "keys")
    # Late: whoever signs nothing does not wait for its client.
    from shared.adapters.gcp.kms_signer import KmsSigner

    return KmsSigner(settings.signing_kms_key)


def firestore_client(settings: Settings) -> firestore.Client:
    """It opens its channel at the first call, behind gunicorn's fork, which channels of gRPC are
    not made for."""
    return firestore.Client(project=settings.project, database=settings.firestore_database)


@contextmanager
def identity_said() -> Iterator[None]:
    try:
        yield
    except DefaultCredentialsError as error:
        raise InvalidSettings(
            "Google does not know who this is. Run `gcloud auth application-default login`,"
            " or give the service an identity."
        ) from error
