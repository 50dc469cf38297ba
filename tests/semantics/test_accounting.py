"""R12: whatever happened, every recording seen is in exactly one state, in one read."""

import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta

import pytest

from shared.adapters.embedded.sqlite_database import Database
from shared.adapters.embedded.sqlite_jobs import SqliteJobs
from shared.adapters.embedded.sqlite_recordings import SqliteRecordings
from shared.adapters.embedded.sqlite_tenants import SqliteTenants
from shared.domain.lanes import Lane
from shared.domain.recording import Failure, Outcome
from shared.domain.tenants import Tier
from shared.errors import StaleLease, WrongState
from tests.builders import NOW, placed, recording

LANES = (Lane.HIGH, Lane.LOW)
CAUSE = Failure("engine_died", "It died.")


class Life:
    """Random things that happen to recordings; time passes with each."""

    def __init__(self, db, seed, first=1):
        SqliteTenants(db).ensure("acme", Tier.FREE, NOW)
        self.recordings, self.jobs = SqliteRecordings(db), SqliteJobs(db)
        self.chance, self.now, self.next = random.Random(seed), NOW, first
        self.leases = []

    def step(self):
        self.now += timedelta(seconds=self.chance.choice([1, 30, 90]))
        happening = self.chance.choice(
            [self.come, self.come, self.lease, self.lease, self.end, self.end, self.tick, self.mend]
        )
        happening()

    def come(self):
        made, self.next = recording(self.next, received_at=self.now), self.next + 1
        until = self.now + timedelta(hours=1) if self.chance.random() < 0.2 else None
        if self.chance.random() < 0.2:
            self.recordings.refuse(made, Failure("not_audio", "No sound."))
        else:
            self.recordings.create_or_get(made, lambda _: placed(until=until))

    def lease(self):
        held = self.jobs.lease_next(LANES, "w", self.now, 60)
        if held:
            self.leases.append(held)

    def end(self):
        if not self.leases:
            return
        held = self.leases.pop(self.chance.randrange(len(self.leases)))
        ends = [
            lambda: self.jobs.complete(held, Outcome("r", 1.0, None, None, False), [], self.now),
            lambda: self.jobs.fail(held, CAUSE, self.now + timedelta(seconds=9), self.now),
            lambda: self.jobs.fail(held, CAUSE, None, self.now),
            lambda: self.jobs.reject(held, CAUSE, self.now),
            lambda: self.jobs.hand_over(held, self.now),
            lambda: self.jobs.give_back(held, CAUSE, self.now, self.now),
            lambda: self.jobs.defer(held, CAUSE, self.now + timedelta(hours=1), self.now),
        ]
        with suppress(StaleLease):  # it was taken back meanwhile, as it may be
            self.chance.choice(ends)()

    def tick(self):
        self.jobs.take_back(self.now)
        self.jobs.undefer(self.now, lambda known, _: placed(known.lane))

    def mend(self):
        for dead in self.jobs.dead(limit=1):
            with suppress(WrongState):  # somebody else has decided meanwhile
                if self.chance.random() < 0.5:
                    self.jobs.replay(dead.id, "test", self.now)
                else:
                    self.jobs.discard(dead.id, "test", "for good", self.now)


@pytest.mark.parametrize("seed", range(5))
def test_after_every_step_every_recording_is_counted_once(seed):
    life = Life(Database(":memory:"), seed)
    for _ in range(300):
        life.step()
        assert sum(life.recordings.counts().values()) == life.next - 1

    states = {state for state, n in life.recordings.counts().items() if n}
    assert len(states) >= 5, f"the walk of seed {seed} was too calm: {states}"


def test_one_read_is_whole_while_others_write(tmp_path):
    """What was there before the read is counted, and nothing twice."""
    path = tmp_path / "s.db"
    Database(path).close()
    lives = [Life(Database(path), seed, first=1 + 1_000 * seed) for seed in range(4)]
    firsts = [life.next for life in lives]
    reader = SqliteRecordings(Database(path))

    def seen():
        return sum(life.next - first for life, first in zip(lives, firsts, strict=True))

    def live(life):
        for _ in range(60):
            life.step()

    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(live, life) for life in lives]
        while not all(one.done() for one in running):
            at_least = seen() - len(lives)  # each may be on its way with one
            counted = sum(reader.counts().values())
            assert at_least <= counted <= seen() + len(lives)
        for one in running:
            one.result()
    assert sum(reader.counts().values()) == seen()


def test_the_same_upload_again_is_not_seen_twice():
    life = Life(Database(":memory:"), 1)
    life.recordings.create_or_get(recording(1), lambda _: placed())
    life.recordings.create_or_get(recording(1), lambda _: placed())
    life.recordings.refuse(recording(1), CAUSE)

    assert sum(life.recordings.counts().values()) == 1
