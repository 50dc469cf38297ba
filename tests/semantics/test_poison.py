"""R5: one job in a hundred is poison. It dies once, with its cause; the others hardly wait."""

import json
import random
from dataclasses import replace
from datetime import timedelta
from io import BytesIO

from shared import wiring
from shared.domain.lanes import Lane
from shared.domain.recording import Topic
from shared.domain.states import State
from shared.domain.tenants import DEMO
from shared.errors import EngineDied
from shared.flows.work import Settled
from shared.settings import load
from tests.broker import RecordingBroker
from tests.flows.ears import SmallEars, plainly, survey
from tests.sounds import tone_wav

JOBS, POISON, SEED = 200, 2, 20261121
LANES = (Lane.HIGH, Lane.LOW)


class PoisonedEars(SmallEars):
    """Every open takes a second of simulated time; some sounds kill the engine."""

    poison = frozenset()
    now = None
    name = ""

    def open(self, sound, **how):
        self.now.pass_s(1.0)
        self.name = sound.read()[-8:]
        return super().open(sound, **how)

    def ask(self, engine, task, segments):
        if self.name in self.poison:
            raise EngineDied(engine=engine)
        return plainly(engine, task, segments)


class Simulated:
    def __init__(self, at):
        self.at = at

    def __call__(self):
        return self.at

    def pass_s(self, seconds):
        self.at += timedelta(seconds=seconds)


def clip(n):
    return tone_wav(0.1)[:-8] + n.to_bytes(8, "little")


def settle(tmp_path, broker, poison):
    """Hear all until nothing is left to do; the waits are those of the jobs that were done."""
    settings = load(
        home=tmp_path, broker_url=broker.url, cascade={"transcribe": ["first"], "classify": []}
    )
    parts = wiring.parts(settings)
    now = Simulated(parts.now())
    ears = PoisonedEars(survey(segments=1))
    ears.now, ears.poison = now, frozenset(n.to_bytes(8, "little") for n in poison)
    parts = replace(parts, now=now)
    begun = now()
    for n in range(JOBS):
        up = parts.inlet.put(
            f"uploads/{DEMO}/bulk/{n}.wav",
            BytesIO(clip(n)),
            content_type="audio/wav",
            metadata={},
            at=begun,
        )
        wiring.intake(parts)(up)
    flow = wiring.work(parts, ears)
    waits = []
    while True:
        settled = flow(LANES)
        if settled is Settled.DONE:
            waits.append((now() - begun).total_seconds())
        elif settled is Settled.NOTHING:
            if not sum(parts.jobs.waiting(now() + timedelta(days=1)).values()):
                return parts, ears, flow, waits
            now.pass_s(1.0)


def p95(values):
    return sorted(values)[int(0.95 * len(values))]


def test_poison_dies_once_and_the_others_hardly_wait(tmp_path):
    poison = random.Random(SEED).sample(range(JOBS), POISON)
    with RecordingBroker() as broker:
        *_, calm = settle(tmp_path / "calm", broker, [])
        broker.taken.clear()
        parts, ears, flow, waits = settle(tmp_path / "poisoned", broker, poison)

        print(f"p95 of the others {p95(waits):.0f} s, without poison {p95(calm):.0f} s")
        assert p95(waits) <= 1.2 * p95(calm)
        dead = parts.jobs.dead()
        assert {d.path for d in dead} == {f"bulk/{n}.wav" for n in poison}
        assert {(d.attempts, d.error.code) for d in dead} == {(4, "engine_died")}
        letters = broker.bodies(Topic.JOBS_DEAD)
        assert len({m["event_id"] for m in letters}) == len(letters) == POISON

        ears.poison = frozenset()
        for one in dead:
            parts.jobs.replay(one.id, "test", parts.now())
        while flow(LANES) is not Settled.NOTHING:
            pass

    assert parts.jobs.dead() == []
    assert parts.recordings.counts()[State.DONE] == JOBS
    with parts.jobs._db.read() as db:
        rows = db.execute("SELECT body FROM published WHERE topic = 'recording-events'")
        told = [json.loads(r["body"]) for r in rows]
    done = [m["recording_id"] for m in told if m["type"] == "recording.done"]
    assert len(done) == len(set(done)) == JOBS
