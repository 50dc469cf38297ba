"""P11: a tick of retention with as much due in a small store and a large one, on SQLite.

Both have 1e4 or 1e6 finished recordings with history, job and passage that end in a year, and
each tick meets 50 that are to be announced and 50 that are due, with their objects: it announces
those and erases these to the end, receipts included. The walk over all of a tenant's recordings,
which follows a change of its rules, is no part of it.
"""

import io
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from bench.measuring import REPEATS, goal, interleaved
from bench.store_operations import TENANT, fill_sqlite
from shared import wiring
from shared.adapters.embedded.sqlite_database import Database
from shared.adapters.embedded.sqlite_retention import SqliteRetention
from shared.domain.names import recording_id
from shared.domain.recording import Recording
from shared.domain.timekeeping import Uptime
from shared.flows.retire import BEGAN
from shared.settings import load
from tests.builders import NOW, placed, recording

SMALL, LARGE = 10_000, 1_000_000
#: Recordings a tick announces, and as many that it erases.
DUE = 50
DAY, YEAR = timedelta(days=1), timedelta(days=365)
#: A round more than is measured: the first tick reads what later ones have in memory.
ROUNDS = REPEATS + 1
GOAL = 1.5


def run() -> bool:
    with _store(SMALL) as small, _store(LARGE) as large:
        small(), large()
        found = interleaved({f"{SMALL:,} stored": small, f"{LARGE:,} stored": large}, "ms a tick")
    few, many = found.values()
    print(f"  {DUE} announced and {DUE} erased a tick; load {os.getloadavg()[0]:.1f}")
    print(f"  {few.median / (2 * DUE):.2f} and {many.median / (2 * DUE):.2f} ms each")
    return goal("P11 ratio", many.median / few.median, GOAL, at_most=True)


@contextmanager
def _store(count: int) -> Iterator[Callable[[], float]]:
    """A filled store, and what runs its next tick and tells how many ms that took."""
    with tempfile.TemporaryDirectory() as folder:
        parts = wiring.parts(load(home=Path(folder)))
        parts.tenants.put(TENANT)
        parts.bookmarks.move(BEGAN, None, "filled")
        for one in parts.retention.unsettled():
            parts.retention.settled_all(one)
        db = Database(Path(folder) / wiring.STORE)
        fill_sqlite(db, count)
        _lay_due(parts)
        yield _ticks(parts, db)


def _lay_due(parts: wiring.Parts) -> None:
    for day in range(ROUNDS):
        for n in range(DUE):
            ends = NOW + day * DAY + n * timedelta(seconds=1)
            _lay(parts, f"due-{day}-{n}", ends, announced_at=ends - 8 * DAY)
            _lay(parts, f"soon-{day}-{n}", ends + 7 * DAY)


def _lay(parts: wiring.Parts, name: str, ends: datetime, **more: datetime) -> None:
    born, path = ends - YEAR, f"uploads/acme/{name}.wav"
    object = parts.inlet.put(
        path, io.BytesIO(path.encode()), content_type="audio/wav", metadata={}, at=born
    )
    made: Recording = recording(
        id=recording_id(object.bucket, path, object.generation),
        **{"name": path, "received_at": born, "uploaded_at": born, "kept_until": ends, **more},
    )
    parts.recordings.create_or_get(made, lambda _: placed())


def _ticks(parts: wiring.Parts, db: Database) -> Callable[[], float]:
    rounds = iter(range(ROUNDS))

    def tick() -> float:
        at = NOW + next(rounds) * DAY + DAY / 2
        up = Uptime("bench", (at - NOW).total_seconds())
        retire = wiring.retire(
            replace(parts, now=lambda: at, retention=SqliteRetention(db, lambda: up))
        )
        began = time.perf_counter()
        found = retire()
        took_ms = (time.perf_counter() - began) * 1000
        assert found["ends_announced"] == found["recordings_expired"] == DUE, found
        assert found["erasures_resumed"] == DUE, found
        return took_ms

    return tick
