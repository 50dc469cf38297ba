"""P1: the embedded job store, at full durability, beside sqlite3, persist-queue and huey."""

import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.measuring import goal, interleaved
from shared.adapters.embedded.sqlite_database import Database
from shared.adapters.embedded.sqlite_jobs import SqliteJobs
from shared.adapters.embedded.sqlite_recordings import SqliteRecordings
from shared.adapters.embedded.sqlite_tenants import SqliteTenants
from shared.domain.lanes import Lane
from shared.domain.placement import place
from shared.domain.recording import Outcome
from shared.domain.tenants import Tenant, Tier
from tests.builders import recording

NOW = datetime(2026, 3, 1, tzinfo=UTC)
TENANT = Tenant("acme", Tier.ENTERPRISE, NOW)
#: Jobs a repeat; commits a job: accept, lease, complete.
JOBS, TOGETHER, COMMITS = 300, 32, 3
LANES = (Lane.HIGH, Lane.LOW)


class Ours:
    def __init__(self, folder: Path) -> None:
        self.db = Database(folder / "ours.db")
        SqliteTenants(self.db).put(TENANT)
        self.recordings, self.jobs = SqliteRecordings(self.db), SqliteJobs(self.db)
        self.made = 0

    def accept(self) -> None:
        self.made += 1
        made = replace(recording(self.made), id=f"r{self.made:08d}", tier=Tier.ENTERPRISE)
        self.recordings.create_or_get(made, lambda ledger: place(made, TENANT, ledger, NOW))

    def finish(self) -> None:
        lease = self.jobs.lease_next(LANES, "w", NOW + timedelta(hours=2), 60)
        assert lease
        self.jobs.complete(lease, Outcome("r", 1.0, "en", None, False), [], NOW)

    def job(self) -> None:
        self.accept()
        self.finish()

    def many(self) -> None:
        """TOGETHER jobs, one fsync a stage."""
        with self.db.write():
            for _ in range(TOGETHER):
                self.accept()
        with self.db.write():
            leases = [
                self.jobs.lease_next(LANES, "w", NOW + timedelta(hours=2), 60)
                for _ in range(TOGETHER)
            ]
        with self.db.write():
            for lease in leases:
                assert lease
                self.jobs.complete(lease, Outcome("r", 1.0, "en", None, False), [], NOW)


class Raw(Ours):
    """The very statements of ours, traced once and replayed by bare sqlite3."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        statements: list[str] = []
        connection = self.db.connection()
        self.job()
        connection.set_trace_callback(statements.append)
        super().job()
        connection.set_trace_callback(None)
        self.statements = [s for s in statements if not s.startswith("--")]
        self.raw = sqlite3.connect(folder / "ours.db", isolation_level=None)
        for pragma in ("synchronous=FULL", "secure_delete=ON"):
            self.raw.execute(f"PRAGMA {pragma}")
        self.ids = self.made

    def replay(self) -> None:
        self.ids += 1
        old, new = f"r{self.made:08d}", f"r{self.ids:08d}"
        for statement in self.statements:
            self.raw.execute(_renumbered(statement, old, new, self.ids)).fetchall()


def _renumbered(statement: str, old: str, new: str, n: int) -> str:
    """The same statement about another recording (event ids are digests of it)."""
    if statement.startswith("INSERT INTO outbox"):
        head, _, rest = statement.partition("VALUES ('")
        return f"{head}VALUES ('{n:032d}{rest[:1]}{rest[32:].replace(old, new)}"
    return statement.replace(old, new)


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        yield Path(name)


def rate(n: int, one: Callable[[], object]) -> float:
    begun = time.perf_counter()
    for _ in range(n):
        one()
    return n / (time.perf_counter() - begun)


def ours() -> float:
    with folder() as at:
        return rate(JOBS, Ours(at).job)


def raw() -> float:
    with folder() as at:
        return rate(JOBS, Raw(at).replay)


def together() -> float:
    with folder() as at:
        return TOGETHER * rate(JOBS // 10, Ours(at).many)


def persist_queue() -> float:
    from persistqueue import SQLiteAckQueue

    with folder() as at:
        queue = SQLiteAckQueue(str(at), auto_commit=True)

        def job() -> None:
            queue.put({"recording": "r"})
            queue.ack(queue.get())

        return rate(JOBS, job)


def huey_fsync() -> float:
    from huey import SqliteHuey

    with folder() as at:
        huey = SqliteHuey(filename=str(at / "huey.db"), fsync=True, results=False)
        task = huey.task()(lambda: None)

        def job() -> None:
            task()
            huey.execute(huey.dequeue())

        return rate(JOBS, job)


def syncs() -> float:
    """Appended pages of 4 KiB a second, each with its fdatasync: no durable store goes faster
    than this by the commits of one job."""
    with folder() as at:
        file = os.open(at / "pages", os.O_CREAT | os.O_WRONLY)
        page = b"x" * 4096

        def one() -> None:
            os.write(file, page)
            os.fdatasync(file)

        found = rate(3 * JOBS, one)
        os.close(file)
        return found


def lease_p50_ms(backlog: int) -> float:
    """Median of one lease with so many jobs waiting; filled in big commits."""
    with folder() as at:
        store = Ours(at)
        for _ in range(0, backlog, 10_000):
            with store.db.write():
                for _ in range(min(10_000, backlog)):
                    store.accept()
        times = []
        for _ in range(200):
            begun = time.perf_counter()
            store.jobs.lease_next(LANES, "w", NOW + timedelta(days=9), 60)
            times.append(time.perf_counter() - begun)
        return sorted(times)[100] * 1000


def run(backlog: int = 1_000_000) -> bool:
    cases = {
        "ours, accept + lease + complete": ours,
        "raw sqlite3, the same statements": raw,
        "persist-queue SQLiteAckQueue": persist_queue,
        "huey task, fsync": huey_fsync,
        f"ours, {TOGETHER} at once": together,
        "this disk's syncs": syncs,
    }
    found = interleaved(cases, "jobs/s")
    base, many = found["ours, accept + lease + complete"].median, found[f"ours, {TOGETHER} at once"]
    limit = found["this disk's syncs"].median / COMMITS
    print(f"  this disk allows at most {limit:,.0f} jobs/s of {COMMITS} durable commits each")
    small, large = lease_p50_ms(1_000), lease_p50_ms(backlog)
    print(f"  lease p50 {small:.3f} ms at 1,000 waiting, {large:.3f} ms at {backlog:,}")
    return all(
        [
            goal("of raw sqlite3", base / found["raw sqlite3, the same statements"].median, 0.85),
            goal("of persist-queue", base / found["persist-queue SQLiteAckQueue"].median, 1.7),
            goal("of huey", base / found["huey task, fsync"].median, 1.0),
            goal("32 at once, of singles", many.median / base, 10),
            goal(f"lease at {backlog:,} waiting, of 1,000", large / small, 1.3, at_most=True),
        ]
    )
