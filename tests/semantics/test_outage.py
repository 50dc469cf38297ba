"""R9: the model is down for ten minutes. Jobs wait, none is lost, and it is hardly asked."""

import random
from dataclasses import replace
from datetime import timedelta
from io import BytesIO

import pytest

from gpu_service.engines.registry import EngineSettings
from gpu_service.hosting.remote import RemoteHost
from gpu_service.serving.server import Server
from shared import wiring
from shared.domain.lanes import Lane
from shared.domain.prices import Price, Terms
from shared.domain.slices import PART, SLICE
from shared.domain.spending import MICRO
from shared.domain.states import State
from shared.domain.tenants import DEMO
from shared.flows.work import Settled
from shared.settings import load
from tests.broker import RecordingBroker
from tests.builders import NOW
from tests.engines.fragile import Fragile
from tests.engines.mortal import doomed
from tests.flows.ears import SmallEars, plainly, says, survey
from tests.semantics.test_poison import Simulated, clip

LANES = (Lane.HIGH, Lane.LOW)
#: Seconds from the start.
DOWN_FROM_S, DOWN_FOR_S = 30.0, 600.0
MOST_CALLS = 1.2


class ServedEars(SmallEars):
    """Every open takes a second of simulated time; questions go through a real server."""

    now = None
    server = None

    def open(self, sound, **how):
        self.now.pass_s(1.0)
        return super().open(sound, **how)

    def ask(self, engine, task, segments):
        self.server.infer(task, [doomed() for _ in segments])
        return plainly(engine, task, segments)


@pytest.fixture
def parts(tmp_path):
    with RecordingBroker() as broker:
        cascade = {"transcribe": ["first"], "classify": []}
        made = wiring.parts(load(home=tmp_path, broker_url=broker.url, cascade=cascade))
        yield replace(made, now=Simulated(made.now()))


@pytest.fixture
def ears(parts, tmp_path):
    """The clock of breaker and outage is the flow's."""
    begun = parts.now()

    def since_s():
        return (parts.now() - begun).total_seconds()

    settings = EngineSettings(kind="tests.engines.fragile:Fragile")
    host = RemoteHost("first", settings, cache=tmp_path)
    server = Server(host, clock=since_s, chance=random.Random(4).random)
    Fragile.calls = 0
    Fragile.down = staticmethod(lambda: DOWN_FROM_S <= since_s() < DOWN_FROM_S + DOWN_FOR_S)
    made = ServedEars(survey(segments=1))
    made.now, made.server = parts.now, server
    server.start()
    yield made
    server.stop()
    Fragile.down = staticmethod(lambda: False)


def put(parts, count):
    for n in range(count):
        name, sound = f"uploads/{DEMO}/bulk/{n}.wav", BytesIO(clip(n))
        at = parts.now()
        up = parts.inlet.put(name, sound, content_type="audio/wav", metadata={}, at=at)
        wiring.intake(parts)(up)


def hear_all(parts, ears):
    flow = wiring.work(parts, ears)
    while True:
        if flow(LANES) is Settled.NOTHING:
            if not sum(parts.jobs.waiting(parts.now() + timedelta(days=1)).values()):
                return
            parts.now.pass_s(1.0)


def test_of_many_jobs_none_is_lost_and_calls_stay_few(parts, ears):
    put(parts, 200)

    hear_all(parts, ears)

    counts = parts.recordings.counts()
    print(f"\n{Fragile.calls} calls for 200 jobs, {counts[State.DEAD]} dead")
    assert counts[State.DONE] == 200
    assert 200 < Fragile.calls <= MOST_CALLS * 200


def test_a_job_alone_with_a_model_that_is_down_survives(parts, ears):
    parts.now.pass_s(DOWN_FROM_S)
    put(parts, 1)

    hear_all(parts, ears)

    [job] = parts.recordings.page()
    print(f"\n{Fragile.calls} calls, done in attempt {job.attempts}")
    assert job.state is State.DONE


class TestWithAnEngineThatCostsBehindIt:
    """A call for 10 s of sound costs 0.01 USD at most and 0.008 in the end."""

    CAP_USD = 0.5
    TERMS = Terms(price=Price(as_of=NOW.date(), source="us", minute_usd=0.06))

    @pytest.fixture
    def paying(self, parts):
        s = parts.settings
        cascade = {"transcribe": ["first", "paid"], "classify": []}
        return replace(parts, settings=load(home=s.home, broker_url=s.broker_url, cascade=cascade))

    @pytest.fixture
    def bought(self, parts, ears):
        """What the day's money was after each call that was paid."""
        known = parts.tenants.get(DEMO)
        limit = (("fallback_usd_a_day", self.CAP_USD),)
        parts.tenants.put(replace(known, overrides=limit, fallback=True))
        made, free = [], ears.ask

        def ask(engine, task, segments, *more):
            if engine != "paid":
                return free(engine, task, segments)
            made.append(parts.spending.day(DEMO, parts.now()))
            return [says(engine, s, cost_usd=0.008) for s in segments]

        ears.ask, ears.paid = ask, {"paid": self.TERMS}
        return made

    def test_all_are_answered_or_wait_and_the_cap_is_never_passed(self, paying, ears, bought):
        parts = paying
        put(parts, 200)

        hear_all(parts, ears)

        counts, day = parts.recordings.counts(), parts.spending.day(DEMO, parts.now())
        calls = Fragile.calls + len(bought)
        print(f"\n{calls} calls for 200 jobs, {len(bought)} of them paid; {counts}; {day}")
        assert counts[State.DONE] + counts[State.DEFERRED] >= 0.99 * 200
        assert counts[State.DONE] >= 200 - counts[State.DEFERRED] > len(bought) > 40
        assert calls <= MOST_CALLS * 200
        assert all(d.spent_usd + d.reserved_usd <= self.CAP_USD for d in bought)
        assert day.spent_usd == pytest.approx(0.008 * len(bought))
        assert day.reserved_usd + day.stranded_usd <= min(SLICE / MICRO, self.CAP_USD / PART)
