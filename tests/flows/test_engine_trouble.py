"""Whose fault it was decides whether an attempt is spent."""

import json
from datetime import timedelta

import pytest

from shared.domain.states import State
from shared.errors import BreakerOpen, EngineDied, OutOfMemory
from shared.flows.work import Settled
from tests.builders import NOW
from tests.flows.ears import SmallEars, plainly
from tests.flows.test_work import LANES, Clock, add, known, work


@pytest.mark.parametrize(
    ("error", "ends"),
    [(BreakerOpen, State.QUEUED), (OutOfMemory, State.DEAD), (EngineDied, State.DEAD)],
    ids=["breaker_open waits", "out_of_memory is dead", "engine_died is dead"],
)
def test_after_four_failures_a_job_is_dead_if_the_sound_may_be_at_fault(store, error, ends):
    add(store)

    def fails(engine, task, segments):
        raise error

    clock = Clock()
    for _ in range(4):
        work(store, SmallEars(script=fails), clock=clock)(LANES)
        clock.at += timedelta(hours=1)

    assert known(store).state is ends
    assert known(store).attempts == (1 if ends is State.QUEUED else 4)


def test_an_outage_of_hours_behind_an_open_breaker_is_survived(store):
    add(store)

    def refused(engine, task, segments):
        raise BreakerOpen(retry_after_s=10.0)

    clock = Clock()
    for _ in range(100):
        work(store, SmallEars(script=refused), clock=clock)(LANES)
        clock.at += timedelta(minutes=3)

    work(store, clock=clock)(LANES)
    assert (known(store).state, known(store).attempts) == (State.DONE, 1)
    assert clock.at - NOW >= timedelta(hours=5)


def test_an_open_breaker_escalates_and_says_why(store):
    add(store)

    def first_is_open(engine, task, segments):
        if engine == "first":
            raise BreakerOpen(engine=engine)
        return plainly(engine, task, segments)

    assert work(store, SmallEars(script=first_is_open))(LANES) is Settled.DONE

    decided = json.loads(store.results.load(known(store).result, "result.json"))["decisions"]
    assert [(d["engine"], d["reason"]) for d in decided[:2]] == [
        ("first", "breaker_open"),
        ("second", "uncalibrated"),
    ]
