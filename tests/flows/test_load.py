"""What instances report and what waits becomes a backlog; intake sheds by it and keeps its word."""

import io
from datetime import timedelta

import pytest

from shared.domain.lanes import Lane
from shared.domain.recording import Topic
from shared.domain.states import State
from shared.domain.tenants import Tier
from shared.flows.intake import Intake
from shared.flows.load import READ_EVERY_S, REPORT_EVERY_S, REPORT_LASTS_S, Load
from shared.flows.publish import PublishOutbox
from shared.flows.reconcile import Reconcile
from tests.builders import NOW, placed, recording
from tests.flows.test_work import Clock, SilentBroker
from tests.sounds import tone_wav


def load(store, clock):
    return Load(store.jobs, store.bookmarks, clock)


def waits(store, number, lane=Lane.LOW):
    store.recordings.create_or_get(recording(number), lambda _: placed(lane))


def test_nothing_is_promised_before_an_instance_has_reported(store):
    waits(store, 1)

    assert load(store, Clock()).backlog() is None


def test_instances_add_up_and_ended_ones_are_forgotten(store):
    clock = Clock()
    for worker, rate in (("a", 10.0), ("b", 30.0)):
        assert load(store, clock).report(worker, lambda rate=rate: (rate, 120.0))
    waits(store, 1)
    waits(store, 2, Lane.HIGH)
    waits(store, 3)

    backlog = load(store, clock).backlog()

    assert backlog.rate == 40.0
    assert backlog.waiting_s == {Lane.HIGH: 120.0, Lane.LOW: 240.0}
    clock.at += timedelta(seconds=REPORT_LASTS_S)
    assert load(store, clock).report("b", lambda: (5.0, 120.0))
    assert load(store, clock).backlog().rate == 5.0


def test_an_instance_reports_once_a_minute_and_only_what_it_measured(store):
    clock = Clock()
    mine = load(store, clock)

    assert not mine.report("a", lambda: None)
    assert mine.report("a", lambda: (10.0, 60.0))
    clock.at += timedelta(seconds=REPORT_EVERY_S - 1)
    assert not mine.report("a", lambda: (20.0, 60.0))
    clock.at += timedelta(seconds=1)
    assert mine.report("a", lambda: (20.0, 60.0))


@pytest.mark.parametrize(("after_s", "seen"), [(READ_EVERY_S - 1, 1), (READ_EVERY_S, 2)])
def test_what_waits_is_not_counted_for_each_upload(store, after_s, seen):
    clock = Clock()
    mine = load(store, clock)
    mine.report("a", lambda: (1.0, 60.0))
    waits(store, 1)
    mine.backlog()
    waits(store, 2)
    clock.at += timedelta(seconds=after_s)

    assert mine.backlog().waiting_s[Lane.LOW] == 60.0 * seen


def intake(store, clock):
    publish = PublishOutbox(store.outbox, SilentBroker(), clock)
    return Intake(
        store.tenants,
        store.recordings,
        store.uploads,
        publish,
        clock,
        backlog=load(store, clock).backlog,
    )


def upload(store, tenant, clock):
    sound, name = io.BytesIO(tone_wav(0.5)), f"uploads/{tenant}/new.wav"
    return store.inlet.put(name, sound, content_type="audio/wav", metadata={}, at=clock())


def test_under_overload_free_waits_pro_and_enterprise_do_not_and_the_promise_is_kept(store):
    """An hour of sound waits: free bears half an hour, pro two."""
    clock = Clock()
    for name, tier in (("prolific", Tier.PRO), ("bigcorp", Tier.ENTERPRISE)):
        store.tenants.ensure(name, tier, NOW)
    load(store, clock).report("a", lambda: (1.0, 1_200.0))
    for number in range(3):
        waits(store, number)
    takes_in = intake(store, clock)

    made = {t: takes_in(upload(store, t, clock)) for t in ("acme", "prolific", "bigcorp")}

    states = {name: one.state for name, one in made.items()}
    assert states["acme"] is State.DEFERRED
    assert State.DEFERRED not in (states["prolific"], states["bigcorp"])
    free = made["acme"]
    assert free.deferred_until == NOW + timedelta(hours=1)
    assert store.recordings.history(free.id)[0].reason == "deferred by rule overload_free"
    _time_comes(store, clock, takes_in, free)
    assert store.recordings.get(free.id).state is State.QUEUED


def _time_comes(store, clock, takes_in, free):
    """Still as much waits, and a word is a word."""
    clock.at = free.deferred_until
    broker = SilentBroker()
    Reconcile(
        tenants=store.tenants,
        recordings=store.recordings,
        jobs=store.jobs,
        uploads=store.uploads,
        arrivals=store.arrivals,
        results=store.results,
        bookmarks=store.bookmarks,
        publisher=broker,
        publish=PublishOutbox(store.outbox, broker, clock),
        intake=takes_in,
        now=clock,
    )()
    assert Topic.LANE_LOW in {message.topic for message in broker.taken}
