"""Erasures a second, one by one and many in a tick, in a small store and a larger one.

Each recording has its sound, five files of results and 40 passages; the larger store keeps 200,000
passages of others. What search keeps of deleted words is merged away once a tick, which costs
what the store has of passages, not what was erased: so one by one is dear in a large store, and a
tick of many is not. Printed with the load; nothing here is a goal.
"""

import tempfile
import time
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

from bench.measuring import REPEATS, interleaved
from shared import wiring
from shared.adapters.embedded.sqlite_database import Database
from shared.domain.lanes import Lane
from shared.domain.names import recording_id
from shared.domain.placement import place
from shared.domain.recording import Outcome, Passage
from shared.domain.result import written
from shared.domain.tenants import Tenant, Tier
from shared.domain.testimony import summary
from shared.settings import Settings
from tests.builders import recording

NOW = datetime(2026, 3, 1, tzinfo=UTC)
#: Passages of a recording; of others in the larger store; recordings erased in one case.
PASSAGES, OTHERS, MANY = 40, 200_000, 20
WORDS = "what was said by somebody about the weather and a train number"


class Store:
    """A HOME with some passages in it, and recordings made to be erased."""

    def __init__(self, home: Path, others: int) -> None:
        self.parts = wiring.parts(Settings(home=home))
        self.erase, self._made = wiring.erase(self.parts), 0
        with Database(home / wiring.STORE).write() as db:
            db.executemany(
                "INSERT INTO passages (text, recording_id, tenant, start_s, end_s)"
                " VALUES (?, 'other', 'other', 0, 1)",
                ((f"{WORDS} {n}",) for n in range(others)),
            )

    def made(self) -> str:
        self._made += 1
        name = f"uploads/demo/{self._made}.wav"
        sound = BytesIO(f"{self._made}".encode() * 4_000)
        upload = self.parts.inlet.put(name, sound, content_type="a/b", metadata={}, at=NOW)
        id = recording_id(upload.bucket, name, upload.generation)
        tenant = Tenant("demo", Tier.ENTERPRISE, NOW)
        draft = recording(id=id, name=name, path="x", tenant="demo", tier=Tier.ENTERPRISE)
        self.parts.recordings.create_or_get(draft, lambda its: place(draft, tenant, its, NOW))
        self._heard(id)
        return id

    def _heard(self, id: str) -> None:
        lease = self.parts.jobs.lease_next(tuple(Lane), "w", NOW, 60)
        assert lease is not None
        folder = f"results/demo/{id}/{lease.token}"
        document = written(summary(lease.recording))
        files = {f"{n}.json": b"{}" * 500 for n in range(4)} | {"result.json": document}
        self.parts.results.save(folder, files)
        said = tuple(Passage(n, n + 1, f"{WORDS} {n}") for n in range(PASSAGES))
        outcome = Outcome(folder, 1.0, "en", 0.9, False, said)
        self.parts.jobs.complete(lease, outcome, [], NOW)

    def one_by_one(self) -> float:
        ids = [self.made() for _ in range(MANY)]
        begun = time.perf_counter()
        for id in ids:
            self.erase.run(self.erase.ask(id, "bench", NOW), NOW)
        return MANY / (time.perf_counter() - begun)

    def in_a_tick(self) -> float:
        ids = [self.made() for _ in range(MANY)]
        begun = time.perf_counter()
        for id in ids:
            self.erase.ask(id, "bench", NOW)
        done = self.erase.resume(NOW)
        took_s = time.perf_counter() - begun
        assert done == MANY
        return MANY / took_s


def run() -> bool:
    with tempfile.TemporaryDirectory() as small, tempfile.TemporaryDirectory() as large:
        few, many = Store(Path(small), 0), Store(Path(large), OTHERS)
        cases = {
            "one by one": few.one_by_one,
            "in a tick": few.in_a_tick,
            f"one by one, {OTHERS:,} passages of others": many.one_by_one,
            f"in a tick, {OTHERS:,} passages of others": many.in_a_tick,
        }
        interleaved(cases, "erasures/s", REPEATS)
    return True
