"""The adapters under contract. Every case runs against each of them."""

from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

import pytest
from google.cloud.firestore import Client

from shared.adapters.embedded.file_results import FileResults
from shared.adapters.embedded.sqlite_actions import SqliteActions
from shared.adapters.embedded.sqlite_api_keys import SqliteApiKeys
from shared.adapters.embedded.sqlite_arrivals import SqliteArrivals
from shared.adapters.embedded.sqlite_bookmarks import SqliteBookmarks
from shared.adapters.embedded.sqlite_chains import SqliteChains
from shared.adapters.embedded.sqlite_corrections import SqliteCorrections
from shared.adapters.embedded.sqlite_database import Database
from shared.adapters.embedded.sqlite_erasures import SqliteErasures
from shared.adapters.embedded.sqlite_jobs import SqliteJobs
from shared.adapters.embedded.sqlite_outbox import SqliteOutbox
from shared.adapters.embedded.sqlite_quotas import SqliteQuotas
from shared.adapters.embedded.sqlite_recordings import SqliteRecordings
from shared.adapters.embedded.sqlite_retention import SqliteRetention
from shared.adapters.embedded.sqlite_spending import SqliteSpending
from shared.adapters.embedded.sqlite_tenants import SqliteTenants
from shared.adapters.embedded.sqlite_uploads import SqliteUploads
from shared.adapters.embedded.sqlite_webhooks import SqliteDeliveries, SqliteWebhooks
from shared.adapters.gcp import firestore_client as firestore_module
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
from shared.domain.tenants import Tier
from shared.ports import (
    Actions,
    ApiKeys,
    Arrivals,
    Bookmarks,
    Chains,
    Corrections,
    Deliveries,
    Erasures,
    Inlet,
    Jobs,
    Outbox,
    Quotas,
    Recordings,
    Results,
    Retention,
    Spending,
    Tenants,
    Uploads,
    Webhooks,
)
from tests.builders import NOW
from tests.contracts.firestore_indexes import listed, used
from tests.contracts.patience import PATIENCE_S
from tests.emulators import reached


@dataclass(frozen=True)
class Store:
    tenants: Tenants
    recordings: Recordings
    jobs: Jobs
    outbox: Outbox
    uploads: Uploads
    inlet: Inlet
    results: Results
    arrivals: Arrivals
    bookmarks: Bookmarks
    api_keys: ApiKeys
    spending: Spending
    quotas: Quotas
    corrections: Corrections
    erasures: Erasures
    actions: Actions
    chains: Chains
    webhooks: Webhooks
    deliveries: Deliveries
    retention: Retention


def sqlite_in_memory(tmp_path: Path) -> Store:
    return _sqlite(Database(":memory:"), tmp_path)


def sqlite_on_disk(tmp_path: Path) -> Store:
    return _sqlite(Database(tmp_path / "store.db"), tmp_path)


def _sqlite(db: Database, home: Path) -> Store:
    uploads = SqliteUploads(db, home)
    return Store(
        SqliteTenants(db),
        SqliteRecordings(db),
        SqliteJobs(db),
        SqliteOutbox(db),
        uploads,
        uploads,
        FileResults(home),
        SqliteArrivals(db),
        SqliteBookmarks(db),
        SqliteApiKeys(db),
        SqliteSpending(db),
        SqliteQuotas(db),
        SqliteCorrections(db),
        SqliteErasures(db),
        SqliteActions(db),
        SqliteChains(db),
        SqliteWebhooks(db),
        SqliteDeliveries(db),
        SqliteRetention(db),
    )


def firestore(client: Client, home: Path) -> Store:
    """Metadata on Firestore; bytes and the bucket's events as on one machine."""
    embedded = sqlite_in_memory(home)
    return replace(
        embedded,
        tenants=FirestoreTenants(client),
        recordings=FirestoreRecordings(client),
        jobs=FirestoreJobs(client),
        outbox=FirestoreOutbox(client),
        bookmarks=FirestoreBookmarks(client),
        api_keys=FirestoreApiKeys(client),
        spending=FirestoreSpending(client),
        quotas=FirestoreQuotas(client),
        corrections=FirestoreCorrections(client),
        erasures=FirestoreErasures(client),
        webhooks=FirestoreWebhooks(client),
        deliveries=FirestoreDeliveries(client),
        retention=FirestoreRetention(client),
        actions=FirestoreActions(client),
        chains=FirestoreChains(client),
    )


@pytest.fixture
def firestore_client(firestore_emulator, monkeypatch):
    """A project of its own a test: nothing to clear."""
    reached(firestore_emulator, monkeypatch)
    monkeypatch.setattr(firestore_module, "PATIENCE_S", PATIENCE_S)
    client = Client(project=f"test-{uuid4().hex[:12]}")
    yield client
    unlisted = used(client) - listed()
    client.close()
    assert not unlisted, "production refuses a query without its index"


@pytest.fixture
def firestore_store(firestore_client, tmp_path):
    return firestore(firestore_client, tmp_path)


SQLITE = {build.__name__: build for build in (sqlite_in_memory, sqlite_on_disk)}


@pytest.fixture(params=[*SQLITE, "firestore_emulator"])
def store(request, tmp_path):
    if request.param == "firestore_emulator":
        made = request.getfixturevalue("firestore_store")
    else:
        made = SQLITE[request.param](tmp_path)
    made.tenants.ensure("acme", Tier.FREE, NOW)
    return made
