"""The adapters under contract. Every case runs against each of them."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from shared.adapters.embedded.file_results import FileResults
from shared.adapters.embedded.sqlite_database import Database
from shared.adapters.embedded.sqlite_jobs import SqliteJobs
from shared.adapters.embedded.sqlite_outbox import SqliteOutbox
from shared.adapters.embedded.sqlite_recordings import SqliteRecordings
from shared.adapters.embedded.sqlite_tenants import SqliteTenants
from shared.adapters.embedded.sqlite_uploads import SqliteUploads
from shared.domain.tenants import Tier
from shared.ports import Inlet, Jobs, Outbox, Recordings, Results, Tenants, Uploads
from tests.builders import NOW


@dataclass(frozen=True)
class Store:
    tenants: Tenants
    recordings: Recordings
    jobs: Jobs
    outbox: Outbox
    uploads: Uploads
    inlet: Inlet
    results: Results


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
    )


@pytest.fixture(params=[sqlite_in_memory, sqlite_on_disk], ids=lambda build: build.__name__)
def store(request, tmp_path):
    made = request.param(tmp_path)
    made.tenants.ensure("acme", Tier.FREE, NOW)
    return made
