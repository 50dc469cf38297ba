"""settings -> adapters -> flows: the only place that knows every adapter."""

import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

from shared.adapters.embedded.file_results import FileResults
from shared.adapters.embedded.local_publisher import LocalPublisher
from shared.adapters.embedded.sqlite_arrivals import SqliteArrivals
from shared.adapters.embedded.sqlite_bookmarks import SqliteBookmarks
from shared.adapters.embedded.sqlite_database import Database
from shared.adapters.embedded.sqlite_jobs import SqliteJobs
from shared.adapters.embedded.sqlite_outbox import SqliteOutbox
from shared.adapters.embedded.sqlite_recordings import SqliteRecordings
from shared.adapters.embedded.sqlite_tenants import SqliteTenants
from shared.adapters.embedded.sqlite_uploads import SqliteUploads
from shared.domain.tenants import DEMO, Tier
from shared.errors import InvalidSettings
from shared.flows.intake import Intake
from shared.flows.publish import PublishOutbox
from shared.flows.reconcile import Reconcile
from shared.ports import (
    Arrivals,
    Bookmarks,
    Clock,
    Ears,
    Inlet,
    Jobs,
    Outbox,
    Publisher,
    Recordings,
    Results,
    Tenants,
    Uploads,
)
from shared.settings import Backend, Settings, load

if TYPE_CHECKING:
    from shared.flows.work import Work

#: The store's file in HOME.
STORE = "earwitness.db"


@dataclass(frozen=True, slots=True)
class Parts:
    """The adapters of one process."""

    settings: Settings
    tenants: Tenants
    recordings: Recordings
    jobs: Jobs
    outbox: Outbox
    publisher: Publisher
    uploads: Uploads
    inlet: Inlet
    results: Results
    arrivals: Arrivals
    bookmarks: Bookmarks
    now: Clock


def clock() -> datetime:
    return datetime.now(UTC)


def parts(settings: Settings) -> Parts:
    """Build every adapter of the backend; creates HOME and migrates its store.

    Raises:
        InvalidSettings: the backend cannot be had, or the store is a newer version's.
        StoreUnavailable, DiskFull: building again may help.
    """
    if settings.backend is not Backend.EMBEDDED:
        raise InvalidSettings("EARWITNESS_BACKEND: only `embedded` can be started by this version.")
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    db = Database(settings.home / STORE)
    tenants = SqliteTenants(db)
    tenants.ensure(DEMO, Tier.ENTERPRISE, clock())
    uploads = SqliteUploads(db, settings.home)
    return Parts(
        settings=settings,
        tenants=tenants,
        recordings=SqliteRecordings(db),
        jobs=SqliteJobs(db, settings.retry_base_s),
        outbox=SqliteOutbox(db),
        publisher=LocalPublisher(db, settings.broker_url),
        uploads=uploads,
        inlet=uploads,
        results=FileResults(settings.home),
        arrivals=SqliteArrivals(db),
        bookmarks=SqliteBookmarks(db),
        now=clock,
    )


def publish(p: Parts) -> PublishOutbox:
    return PublishOutbox(p.outbox, p.publisher, p.now)


def intake(p: Parts) -> Intake:
    return Intake(p.tenants, p.recordings, p.uploads, publish(p), p.now, p.settings.max_seconds)


def reconcile(p: Parts) -> Reconcile:
    return Reconcile(p.tenants, p.jobs, p.publisher, publish(p), p.now)


def work(p: Parts, ears: Ears) -> "Work":
    """The work flow over one process's ears. Imported late: it brings the result models."""
    from shared.domain.answers import Task
    from shared.flows.ask import Ask
    from shared.flows.work import Work

    s = p.settings
    return Work(
        tenants=p.tenants,
        jobs=p.jobs,
        uploads=p.uploads,
        results=p.results,
        publish=publish(p),
        ears=ears,
        ask=Ask(),
        cascade={
            Task.TRANSCRIBE: tuple(s.cascade.transcribe),
            Task.CLASSIFY: tuple(s.cascade.classify),
        },
        worker=s.worker or f"worker-{os.getpid()}",
        now=p.now,
        chance=random.random,
        lease_s=s.lease_s,
        ticket_s=s.ticket_s,
        retry_base_s=s.retry_base_s,
        max_seconds=s.max_seconds,
    )


def changes(settings: Settings) -> Callable[[], int]:
    """A number that differs from the one before if anybody committed in between.

    Always ask from the same thread: the store counts per connection.
    """
    opened: list[Database] = []

    def number() -> int:
        if not opened:
            opened.append(Database(settings.home / STORE))
        return opened[0].data_version()

    return number


@cache
def from_environment() -> Parts:
    """The parts of this process, from its environment; built at its first use, then kept."""
    return parts(load())


def intake_from_environment() -> Intake:
    return intake(from_environment())


def reconcile_from_environment() -> Reconcile:
    return reconcile(from_environment())
