"""One ticket, one job: every way it can end."""

import io
import json
from datetime import timedelta

import pytest

from shared.domain.answers import Task
from shared.domain.attempts import attempts
from shared.domain.lanes import Lane
from shared.domain.recording import Topic
from shared.domain.states import State
from shared.domain.wishes import Wishes
from shared.errors import AudioTooLong, BrokerUnavailable, DecoderDied, DiskFull, EngineDied
from shared.flows.ask import Ask
from shared.flows.publish import PublishOutbox
from shared.flows.work import Settled, Work
from tests.builders import NOW, placed, recording
from tests.flows.ears import SmallEars, says, survey

LANES = (Lane.HIGH, Lane.LOW)


class Clock:
    """Time as an argument; `step` seconds pass at every look."""

    def __init__(self, step_s: float = 0.0):
        self.at, self.step = NOW, timedelta(seconds=step_s)

    def __call__(self):
        self.at += self.step
        return self.at


class SilentBroker:
    """Takes every message; remembers them."""

    def __init__(self):
        self.taken = []

    def publish(self, messages):
        self.taken += messages


class BrokenBroker:
    def publish(self, messages):
        raise BrokerUnavailable


def add(store, **changes):
    up = store.inlet.put(
        "uploads/acme/1.wav", io.BytesIO(b"sound"), content_type="", metadata={}, at=NOW
    )
    made = recording(1, generation=up.generation, **changes)
    return store.recordings.create_or_get(made, lambda _: placed())


def work(store, ears=None, broker=None, clock=None, **changes):
    now = clock or Clock()
    fields = {
        "tenants": store.tenants,
        "recordings": store.recordings,
        "jobs": store.jobs,
        "uploads": store.uploads,
        "results": store.results,
        "publish": PublishOutbox(store.outbox, broker or SilentBroker(), now),
        "erasures": store.erasures,
        "ears": ears or SmallEars(),
        "ask": Ask(),
        "cascade": {Task.TRANSCRIBE: ("first", "second"), Task.CLASSIFY: ()},
        "worker": "w1",
        "now": now,
        "chance": lambda: 1.0,
    }
    return Work(**fields | changes)


def known(store):
    return store.recordings.get("rec00001")


def test_nothing_ready_is_nothing(store):
    assert work(store)(LANES) is Settled.NOTHING


def test_a_job_becomes_a_result_search_finds_and_effects_published(store):
    add(store)
    broker = SilentBroker()

    settled = work(store, broker=broker)(LANES)

    done = known(store)
    result = json.loads(store.results.load(done.result, "result.json"))
    assert (settled, done.state) == (Settled.DONE, State.DONE)
    assert done.result == "results/acme/rec00001/1"
    assert result["transcript"]["text"] == "first heard 0 first heard 1 first heard 2"
    assert result["transcript"]["segments"][1]["words"][0]["start_s"] == 10.0
    assert [h.passage.start_s for h in store.recordings.find("acme", '"first heard 1"')] == [10.0]
    topics = [m.topic for m in broker.taken]
    assert topics == [Topic.LANE_LOW, Topic.EVENTS, Topic.METRICS]
    assert store.outbox.pending() == []


def test_what_was_checkpointed_is_not_asked_again(store):
    """The worker dies in the second round; the next one asks only for the rest."""
    add(store)

    def dies_in_round_two(engine, task, segments):
        if segments[0].index:
            raise KeyboardInterrupt  # stands for kill -9: nothing is written any more
        return [says(engine, s) for s in segments]

    long = survey(segments=3, each_s=100.0)
    with pytest.raises(KeyboardInterrupt):
        work(store, SmallEars(long, dies_in_round_two))(LANES)
    store.jobs.take_back(NOW, worker="w1")
    ears = SmallEars(long)

    settled = work(store, ears, clock=Clock(step_s=60.0))(LANES)

    assert settled is Settled.DONE
    assert ears.asked == [("first", [1]), ("first", [2])]


def test_a_checkpoint_of_another_cut_is_not_used(store):
    add(store)
    store_first = SmallEars(survey(3, 100.0, plan="old"))
    work(store, store_first)(LANES, lambda lane: True)
    ears = SmallEars(survey(3, 100.0, plan="new"))

    work(store, ears)(LANES)

    assert ears.asked[0] == ("first", [0])


def test_a_long_job_hands_over_after_its_time_and_rings(store):
    add(store)
    store.outbox.sent(store.outbox.pending(), NOW)
    broker = SilentBroker()

    settled = work(store, SmallEars(survey(3, 100.0)), broker, Clock(100.0), ticket_s=480)(LANES)

    assert settled is Settled.HANDED_OVER
    assert (known(store).state, known(store).attempts) == (State.QUEUED, 1)
    assert [m.topic for m in broker.taken] == [Topic.LANE_LOW]
    assert 0 < known(store).progress < 1


def test_it_yields_between_rounds_only(store):
    add(store)
    ears = SmallEars(survey(2, 100.0))

    settled = work(store, ears)(LANES, lambda lane: lane is Lane.LOW)

    assert settled is Settled.HANDED_OVER
    assert ears.asked == [("first", [0])]


def test_a_refusal_while_decoding_is_final(store):
    add(store)

    def too_long():
        raise AudioTooLong("The recording is longer than 300 s.")

    settled = work(store, SmallEars(on_open=too_long))(LANES)

    assert settled is Settled.REJECTED
    assert (known(store).state, known(store).error.code) == (State.REJECTED, "audio_too_long")


def test_an_upload_that_is_gone_is_refused(store):
    made = recording(1, generation=99)
    store.recordings.create_or_get(made, lambda _: placed())

    assert work(store)(LANES) is Settled.REJECTED
    assert known(store).error.code == "not_found"


def test_a_wish_for_an_unknown_engine_is_refused(store):
    add(store, wishes=Wishes(engine="oracle"))

    assert work(store)(LANES) is Settled.REJECTED
    assert known(store).error.code == "invalid_wish"


def test_a_wished_engine_replaces_the_first_choice(store):
    add(store, wishes=Wishes(engine="extra"))
    ears = SmallEars()

    work(store, ears)(LANES)

    assert ears.asked == [("extra", [0, 1, 2])]


def test_a_failed_attempt_waits_for_its_retry(store):
    add(store)

    def dies():
        raise DecoderDied

    clock = Clock()
    settled = work(store, SmallEars(on_open=dies), clock=clock)(LANES)

    assert settled is Settled.FAILED
    assert (known(store).state, known(store).error.code) == (State.QUEUED, "decoder_died")
    assert work(store, clock=clock)(LANES) is Settled.NOTHING
    clock.at += timedelta(seconds=2)
    assert work(store, clock=clock)(LANES) is Settled.DONE


def test_poison_is_dead_after_one_and_three_attempts_and_replay_hears_it(store):
    add(store)

    def every_engine_dies(engine, task, segments):
        raise EngineDied

    clock, broker, ends = Clock(), SilentBroker(), []
    for _ in range(5):
        ends.append(work(store, SmallEars(script=every_engine_dies), broker, clock)(LANES))
        clock.at += timedelta(hours=1)

    assert ends == [Settled.FAILED] * 3 + [Settled.DEAD, Settled.NOTHING]
    assert [m.topic for m in broker.taken].count(Topic.JOBS_DEAD) == 1
    assert known(store).error.code == "engine_died"
    told = attempts(store.recordings.history("rec00001"))
    assert [(a.number, a.worker, a.engine) for a in told] == [
        (n, "w1", "second") for n in range(1, 5)
    ]
    store.jobs.replay("rec00001", "cli", clock())
    assert work(store, clock=clock)(LANES) is Settled.DONE


def test_a_failure_nobody_foresaw_is_recorded_and_comes_out(store):
    add(store)

    def bug(engine, task, segments):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work(store, SmallEars(script=bug))(LANES)

    assert (known(store).state, known(store).error.code) == (State.QUEUED, "unforeseen")


def test_a_full_disk_costs_no_attempt(store):
    add(store)

    class FullResults:
        def save(self, folder, files):
            raise DiskFull

    settled = work(store, results=FullResults())(LANES)

    assert settled is Settled.FAILED
    assert known(store).error is None or known(store).state is State.QUEUED
    clock = Clock()
    clock.at += timedelta(seconds=5)
    assert work(store, clock=clock)(LANES) is Settled.DONE
    assert known(store).attempts == 1


def test_a_paused_worker_writes_nothing(store):
    """R4: taken back and heard by another while it slept; its own words are not seen."""
    add(store)

    def sleeps(engine, task, segments):
        store.jobs.take_back(NOW + timedelta(hours=1))
        later = Clock()
        later.at += timedelta(hours=2)
        assert work(store, clock=later, worker="w2")(LANES) is Settled.DONE
        return [says(engine, s, "too late") for s in segments]

    settled = work(store, SmallEars(script=sleeps))(LANES)

    assert settled is Settled.LOST
    assert known(store).result.endswith("/2")
    assert store.recordings.find("acme", "late") == []


def test_a_failure_after_the_lease_was_lost_writes_nothing(store):
    add(store)

    def loses_and_dies(engine, task, segments):
        store.jobs.take_back(NOW + timedelta(hours=1))
        raise EngineDied

    assert work(store, SmallEars(script=loses_and_dies))(LANES) is Settled.LOST
    assert known(store).error.code == "worker_lost"


def test_a_broken_broker_does_not_undo_the_work(store):
    add(store)

    settled = work(store, broker=BrokenBroker())(LANES)

    assert settled is Settled.DONE
    assert [m.topic for m in store.outbox.pending()] == [
        Topic.LANE_LOW,
        Topic.EVENTS,
        Topic.METRICS,
    ]


def test_the_lease_is_extended_while_work_goes_on(store):
    add(store)
    clock = Clock(step_s=20.0)
    ears = SmallEars(survey(4, 100.0))

    flow = work(store, ears, clock=clock, lease_s=60.0)
    leases = []
    ears.script = lambda e, t, many: (
        leases.append(flow.held()[0].until - clock.at) or [says(e, s) for s in many]
    )
    flow(LANES)

    assert len(leases) == 4
    assert all(left > timedelta(0) for left in leases)
    assert flow.held() == []
