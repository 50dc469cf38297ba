from datetime import UTC, datetime, timedelta

import pytest

from shared.domain.attempts import attempts
from shared.domain.lanes import Lane
from shared.domain.messages import ticket
from shared.domain.recording import Checkpoint, Failure, Ledger, Outcome, Topic
from shared.domain.retry import MAX_ATTEMPTS
from shared.domain.states import State
from shared.errors import NotFound, StaleLease, WrongState
from tests.builders import NOW, placed, recording
from tests.contracts.patience import at_once

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LEASE_S = 60.0
LATER = NOW + timedelta(seconds=1)
CAUSE = Failure("decoder_died", "The decoder died.")
OUTCOME = Outcome("results/acme/rec00001/1", 12.5, "en", 0.9, review=False)
ANY = (Lane.HIGH, Lane.LOW)


def job(store, number=1, lane=Lane.LOW, start_tag=0.0, tenant="acme"):
    made = recording(number, tenant=tenant)
    return store.recordings.create_or_get(made, lambda _: placed(lane, start_tag))


def lease(store, at=NOW, worker="w1", lanes=ANY):
    return store.jobs.lease_next(lanes, worker, at, LEASE_S)


def outbox(store, topic):
    return [m for m in store.outbox.pending() if m.topic is topic]


class TestLeasing:
    def test_the_lowest_start_tag_comes_first(self, store):
        for number, start_tag in [(1, 30.0), (2, 10.0), (3, 20.0)]:
            job(store, number, start_tag=start_tag)

        assert [lease(store).recording.id[-1] for _ in range(3)] == ["2", "3", "1"]

    def test_the_first_lane_that_has_a_job_is_served(self, store):
        job(store, 1, Lane.LOW, 0.0)
        job(store, 2, Lane.HIGH, 99.0)

        assert lease(store, lanes=(Lane.HIGH, Lane.LOW)).recording.lane is Lane.HIGH
        assert lease(store, lanes=(Lane.HIGH, Lane.LOW)).recording.lane is Lane.LOW

    def test_a_lane_not_asked_for_is_not_served(self, store):
        job(store, 1, Lane.LOW)

        assert lease(store, lanes=(Lane.HIGH,)) is None

    def test_nothing_ready_is_none(self, store):
        assert lease(store) is None

    def test_a_lease_moves_the_recording_and_counts_the_attempt(self, store):
        job(store)

        held = lease(store)

        assert (held.token, held.attempt, held.worker) == (1, 1, "w1")
        assert held.until == NOW + timedelta(seconds=LEASE_S)
        assert held.recording.state is State.PROCESSING
        assert store.recordings.get(held.recording.id) == held.recording
        assert store.recordings.history(held.recording.id)[-1].state is State.PROCESSING

    def test_concurrent_callers_get_different_jobs(self, store):
        for number in range(16):
            job(store, number)

        held = at_once(8, lambda _: lease(store), range(16))

        assert len({one.recording.id for one in held}) == 16

    def test_not_before_is_honoured_to_the_microsecond(self, store):
        job(store)
        store.jobs.fail(lease(store), CAUSE, LATER, NOW)

        assert lease(store, LATER - timedelta(microseconds=1)) is None
        assert lease(store, LATER).token == 2


class TestHolding:
    def test_extending_moves_the_end(self, store):
        job(store)

        held = store.jobs.extend(lease(store), LATER, LEASE_S)

        assert held.until == LATER + timedelta(seconds=LEASE_S)
        assert store.jobs.take_back(NOW + timedelta(seconds=LEASE_S)) == 0
        assert store.jobs.take_back(held.until) == 1

    def test_a_lease_that_ran_out_may_be_extended_while_nobody_took_the_job(self, store):
        job(store)
        held = lease(store)

        extended = store.jobs.extend(held, held.until + timedelta(hours=1), LEASE_S)

        assert extended.until > held.until

    @pytest.mark.parametrize(
        "write",
        [
            pytest.param(lambda s, h: s.jobs.extend(h, NOW, LEASE_S), id="extend"),
            pytest.param(lambda s, h: s.jobs.checkpoint(h, [], 0.5, NOW), id="checkpoint"),
            pytest.param(lambda s, h: s.jobs.hand_over(h, NOW), id="hand_over"),
            pytest.param(lambda s, h: s.jobs.give_back(h, CAUSE, NOW, NOW), id="give_back"),
            pytest.param(lambda s, h: s.jobs.defer(h, CAUSE, LATER, NOW), id="defer"),
            pytest.param(lambda s, h: s.jobs.fail(h, CAUSE, NOW, NOW), id="fail"),
            pytest.param(lambda s, h: s.jobs.fail(h, CAUSE, None, NOW), id="fail for good"),
            pytest.param(lambda s, h: s.jobs.reject(h, CAUSE, NOW), id="reject"),
            pytest.param(lambda s, h: s.jobs.complete(h, OUTCOME, [], NOW), id="complete"),
        ],
    )
    @pytest.mark.parametrize("successor", ["holds", "completed"])
    def test_a_stale_token_is_refused_and_changes_nothing(self, store, write, successor):
        """R4: a worker paused past its lease, then continued."""
        made = job(store)
        stale = lease(store)
        store.jobs.take_back(stale.until)
        newer = lease(store, stale.until + timedelta(hours=1), "w2")
        if successor == "completed":
            store.jobs.complete(newer, OUTCOME, [], NOW)
        before = (store.recordings.get(made.id), store.recordings.history(made.id))
        messages = store.outbox.pending()

        with pytest.raises(StaleLease):
            write(store, stale)

        assert (store.recordings.get(made.id), store.recordings.history(made.id)) == before
        assert store.outbox.pending() == messages


class TestCheckpoints:
    DONE = (Checkpoint("p1", "transcribe", 1, '{"b": 1}'), Checkpoint("p1", "classify", 0, "{}"))

    def test_they_are_kept_across_leases_with_the_progress(self, store):
        job(store)
        held = lease(store)
        store.jobs.checkpoint(held, self.DONE, 0.25, LATER)
        store.jobs.hand_over(held, LATER)

        again = lease(store, LATER)

        assert store.jobs.checkpoints(again, "p1") == sorted(self.DONE, key=lambda c: c.task)
        assert again.recording.progress == 0.25

    def test_those_of_another_plan_are_void(self, store):
        job(store)
        held = lease(store)
        store.jobs.checkpoint(held, self.DONE, 0.25, NOW)

        assert store.jobs.checkpoints(held, "p2") == []

    def test_writing_again_replaces(self, store):
        job(store)
        held = lease(store)
        store.jobs.checkpoint(held, self.DONE, 0.25, NOW)
        newer = Checkpoint("p1", "transcribe", 1, '{"b": 2}')

        store.jobs.checkpoint(held, [newer], 0.5, NOW)

        assert newer in store.jobs.checkpoints(held, "p1")
        assert len(store.jobs.checkpoints(held, "p1")) == 2

    def test_they_go_when_the_job_completes(self, store):
        job(store)
        held = lease(store)
        store.jobs.checkpoint(held, self.DONE, 0.25, NOW)
        store.jobs.complete(held, OUTCOME, [], NOW)

        assert store.jobs.checkpoints(held, "p1") == []


class TestLettingGo:
    def test_a_hand_over_rings_and_spends_no_attempt(self, store):
        job(store)
        store.outbox.sent(store.outbox.pending(), NOW)
        store.jobs.hand_over(lease(store), LATER)

        assert [m.topic for m in store.outbox.pending()] == [Topic.LANE_LOW]
        again = lease(store, LATER)
        assert (again.attempt, again.token) == (1, 2)

    def test_giving_back_counts_no_attempt(self, store):
        made = job(store)
        store.jobs.give_back(lease(store), CAUSE, LATER, NOW)

        assert store.recordings.get(made.id).state is State.QUEUED
        assert lease(store, NOW) is None
        assert lease(store, LATER).attempt == 1

    def test_deferring_promises_a_time_and_counts_no_attempt(self, store):
        made = job(store)
        held = lease(store)
        store.jobs.checkpoint(held, [Checkpoint("p", "transcribe", 0, "{}")], 0.5, NOW)
        store.outbox.sent(store.outbox.pending(), NOW)
        store.jobs.defer(held, CAUSE, LATER, NOW)

        known = store.recordings.get(made.id)
        assert (known.state, known.deferred_until, known.error) == (State.DEFERRED, LATER, CAUSE)
        last = store.recordings.history(made.id)[-1]
        assert (last.state, last.reason, last.error) == (State.DEFERRED, CAUSE.code, CAUSE)
        assert [m.body["type"] for m in store.outbox.pending()] == ["recording.deferred"]
        assert lease(store, LATER) is None
        assert sum(store.jobs.unrung(0.0, LATER).values()) == 0

        assert store.jobs.undefer(LATER, lambda r, ledger: placed()) == 1
        again = lease(store, LATER)
        assert (again.attempt, again.token, again.recording.deferred_until) == (1, 2, None)
        assert len(store.jobs.checkpoints(again, "p")) == 1

    def test_a_failed_attempt_waits_and_counts(self, store):
        made = job(store)
        store.jobs.fail(lease(store), CAUSE, LATER, NOW)

        known = store.recordings.get(made.id)
        assert (known.state, known.error) == (State.QUEUED, CAUSE)
        assert lease(store, LATER).attempt == 2

    def test_the_last_failure_is_dead_with_letter_and_announcement(self, store):
        made = job(store)
        store.jobs.fail(lease(store), CAUSE, None, LATER)

        assert store.recordings.get(made.id).state is State.DEAD
        [letter] = outbox(store, Topic.JOBS_DEAD)
        assert (letter.body["recording_id"], letter.body["code"]) == (made.id, CAUSE.code)
        assert [m.body["type"] for m in outbox(store, Topic.EVENTS)] == ["recording.dead"]
        assert lease(store, LATER + timedelta(days=1)) is None

    def test_a_rejection_after_decoding_is_final_and_announced(self, store):
        made = job(store)
        store.jobs.reject(lease(store), CAUSE, NOW)

        known = store.recordings.get(made.id)
        assert (known.state, known.error) == (State.REJECTED, CAUSE)
        assert [m.body["type"] for m in outbox(store, Topic.EVENTS)] == ["recording.rejected"]
        assert lease(store, LATER) is None


class TestCompleting:
    def test_pointer_state_and_effects_are_one_commit(self, store):
        made = job(store)
        store.outbox.sent(store.outbox.pending(), NOW)
        extra = ticket("other", Lane.LOW, 7)

        done = store.jobs.complete(lease(store), OUTCOME, [extra], LATER)

        assert done == store.recordings.get(made.id)
        assert (done.state, done.result, done.progress) == (State.DONE, OUTCOME.result, 1.0)
        assert (done.seconds, done.language, done.confidence) == (12.5, "en", 0.9)
        assert done.updated_at == LATER
        assert [m.topic for m in store.outbox.pending()] == [Topic.EVENTS, Topic.LANE_LOW]

    def test_an_earlier_failure_is_forgotten(self, store):
        job(store)
        store.jobs.fail(lease(store), CAUSE, NOW, NOW)

        assert store.jobs.complete(lease(store), OUTCOME, [], NOW).error is None

    def test_completing_twice_is_refused(self, store):
        job(store)
        held = lease(store)
        store.jobs.complete(held, OUTCOME, [], NOW)

        with pytest.raises(StaleLease):
            store.jobs.complete(held, OUTCOME, [], NOW)
        assert len(outbox(store, Topic.EVENTS)) == 1


def dead_job(store, number=1):
    made = job(store, number)
    store.jobs.fail(lease(store), CAUSE, None, NOW)
    store.outbox.sent(store.outbox.pending(), NOW)
    return made


class TestDeadLetters:
    def test_a_replay_has_all_its_attempts_in_the_low_lane(self, store):
        made = dead_job(store)

        known = store.jobs.replay(made.id, "cli", LATER)

        assert (known.state, known.lane, known.rule, known.error) == (
            *(State.QUEUED, Lane.LOW, "replay"),
            None,
        )
        assert [m.topic for m in store.outbox.pending()] == [Topic.LANE_LOW]
        assert (lease(store, LATER).attempt, store.jobs.dead()) == (1, [])

    def test_replaying_twice_is_refused_the_second_time(self, store):
        made = dead_job(store)
        store.jobs.replay(made.id, "cli", LATER)

        with pytest.raises(WrongState):
            store.jobs.replay(made.id, "cli", LATER)
        assert len(store.outbox.pending()) == 1

    def test_a_discarded_letter_leaves_the_list_and_stays_dead(self, store):
        made = dead_job(store)

        store.jobs.discard(made.id, "cli", "a test tone", LATER)
        store.jobs.discard(made.id, "api", "another reason", LATER)

        assert store.jobs.dead() == []
        assert store.recordings.get(made.id).state is State.DEAD
        history = store.recordings.history(made.id)
        assert [m.state for m in history].count(State.DEAD) == 2
        assert (history[-1].actor, history[-1].at) == ("cli", LATER)
        assert history[-1].reason == "discarded: a test tone"
        with pytest.raises(WrongState):
            store.jobs.replay(made.id, "cli", LATER)

    @pytest.mark.parametrize("verb", ["replay", "discard"])
    def test_only_dead_jobs_of_known_recordings(self, store, verb):
        made = job(store)

        said = ("cli", "why") if verb == "discard" else ("cli",)

        with pytest.raises(NotFound):
            getattr(store.jobs, verb)("nothing", *said, NOW)
        with pytest.raises(WrongState):
            getattr(store.jobs, verb)(made.id, *said, NOW)

    def test_the_list_is_newest_first_and_of_one_tenant(self, store):
        for number, tenant in [(1, "acme"), (2, "other"), (3, "acme")]:
            job(store, number, tenant=tenant)
            store.jobs.fail(lease(store), CAUSE, None, NOW + timedelta(seconds=number))

        assert [r.id[-1] for r in store.jobs.dead()] == ["3", "2", "1"]
        assert [r.id[-1] for r in store.jobs.dead("acme")] == ["3", "1"]
        assert len(store.jobs.dead(limit=1)) == 1

    def test_a_replay_keeps_id_upload_and_history(self, store):
        made = dead_job(store)
        before = store.recordings.history(made.id)

        known = store.jobs.replay(made.id, "cli", LATER)

        assert (known.id, known.name, known.generation) == (made.id, made.name, made.generation)
        assert store.recordings.history(made.id)[: len(before)] == before
        assert len(store.recordings.page()) == 1

    def test_what_is_done_is_not_replayed(self, store):
        made = dead_job(store)
        store.jobs.replay(made.id, "cli", LATER)
        done = store.jobs.complete(lease(store, LATER), OUTCOME, [], LATER)

        with pytest.raises(WrongState):
            store.jobs.replay(made.id, "cli", LATER)
        assert store.recordings.get(made.id) == done

    def test_of_concurrent_replays_one_rings(self, store):
        made = dead_job(store)

        told = at_once(8, lambda _: attempt_replay(store, made.id), range(8))

        assert told.count("queued") == 1
        assert len(store.outbox.pending()) == 1
        assert (lease(store, LATER).recording.id, lease(store, LATER)) == (made.id, None)


def attempt_replay(store, id):
    try:
        return store.jobs.replay(id, "cli", LATER).state
    except WrongState:
        return None


def died(store, number, at, cause=CAUSE):
    made = job(store, number)
    store.jobs.fail(lease(store), cause, None, at)
    return made


class TestLapsing:
    def test_letters_of_before_are_discarded_by_retention_and_stay_dead(self, store):
        old, young = died(store, 1, NOW), died(store, 2, LATER)
        now = LATER + timedelta(days=7)

        first = store.jobs.lapse(LATER, now)
        second = store.jobs.lapse(LATER, now)

        assert (first, second) == (1, 0)
        assert [r.id for r in store.jobs.dead()] == [young.id]
        assert store.recordings.get(old.id).state is State.DEAD
        last = store.recordings.history(old.id)[-1]
        assert (last.actor, last.at) == ("retention", now)
        assert last.reason == "discarded: nobody decided in 7 days"
        with pytest.raises(WrongState):
            store.jobs.replay(old.id, "cli", now)

    def test_the_oldest_go_first_and_no_more_than_asked(self, store):
        for number in (1, 2, 3):
            died(store, number, NOW + timedelta(seconds=number))
        later = NOW + timedelta(days=8)

        assert store.jobs.lapse(later, later, limit=2) == 2
        assert [r.id[-1] for r in store.jobs.dead()] == ["3"]

    def test_of_concurrent_callers_each_letter_is_counted_by_one(self, store):
        for number in range(6):
            died(store, number, NOW)
        later = NOW + timedelta(days=8)

        counted = at_once(4, lambda _: store.jobs.lapse(later, later), range(4))

        assert sum(counted) == 6

    def test_a_replayed_letter_that_dies_again_waits_its_days_anew(self, store):
        made = died(store, 1, NOW)
        store.jobs.replay(made.id, "cli", LATER)
        store.jobs.fail(lease(store, LATER), CAUSE, None, NOW + timedelta(days=5))

        assert store.jobs.lapse(NOW + timedelta(days=1), NOW + timedelta(days=8)) == 0
        assert [r.id for r in store.jobs.dead()] == [made.id]


class TestCauses:
    OTHER = Failure("engine_died", "The engine died.", "whisper")

    def test_deaths_are_counted_by_utc_day_and_cause(self, store):
        midnight = NOW.replace(hour=0)
        died(store, 1, midnight - timedelta(microseconds=1))
        died(store, 2, midnight)
        died(store, 3, NOW, self.OTHER)
        died(store, 4, NOW)

        told = [(d.day.isoformat(), d.code, d.count) for d in store.jobs.causes(EPOCH)]

        assert told == [
            ("2026-03-01", "decoder_died", 2),
            ("2026-03-01", "engine_died", 1),
            ("2026-02-28", "decoder_died", 1),
        ]

    def test_replayed_and_discarded_deaths_count_once_each(self, store):
        first, second = died(store, 1, NOW), died(store, 2, NOW)
        store.jobs.replay(first.id, "cli", LATER)
        store.jobs.discard(second.id, "cli", "a test tone", LATER)

        assert [d.count for d in store.jobs.causes(EPOCH)] == [2]

    def test_from_since_on_and_no_more_rows_than_asked(self, store):
        died(store, 1, NOW)
        died(store, 2, LATER, self.OTHER)

        assert [d.code for d in store.jobs.causes(LATER)] == ["engine_died"]
        assert store.jobs.causes(LATER + timedelta(microseconds=1)) == []
        assert len(store.jobs.causes(EPOCH, limit=1)) == 1


class TestAttempts:
    BLAMED = Failure("engine_died", "The engine's process died.", "whisper")

    def test_each_has_time_worker_engine_and_error(self, store):
        made = job(store)
        store.jobs.fail(lease(store, NOW, "w1"), self.BLAMED, LATER, LATER)
        store.jobs.fail(lease(store, LATER, "w2"), CAUSE, None, LATER)

        first, second = attempts(store.recordings.history(made.id))

        assert (first.number, first.worker, first.began_at, first.ended_at) == (1, "w1", NOW, LATER)
        assert (first.engine, first.error) == ("whisper", self.BLAMED)
        assert (second.number, second.worker, second.engine) == (2, "w2", None)
        assert second.error == CAUSE
        assert store.recordings.get(made.id).error == CAUSE

    def test_the_engine_stands_in_the_recording_too(self, store):
        made = died(store, 1, NOW, self.BLAMED)

        assert store.recordings.get(made.id).error == self.BLAMED
        assert [r.error for r in store.jobs.dead()] == [self.BLAMED]

    def test_a_hand_over_and_a_give_back_go_on_under_the_same_number(self, store):
        made = job(store)
        store.jobs.hand_over(lease(store, NOW), NOW)
        store.jobs.give_back(lease(store, NOW), CAUSE, NOW, NOW)
        lease(store, LATER)

        told = [
            (a.number, a.error, a.ended_at) for a in attempts(store.recordings.history(made.id))
        ]

        assert told == [(1, None, NOW), (1, CAUSE, NOW), (1, None, None)]

    def test_a_lost_worker_and_a_rejection_have_their_cause(self, store):
        made = job(store)
        held = lease(store)
        store.jobs.take_back(held.until)
        store.jobs.reject(lease(store, held.until + timedelta(hours=1)), CAUSE, LATER)

        lost, refused = attempts(store.recordings.history(made.id))

        assert (lost.error.code, refused.error) == ("worker_lost", CAUSE)


class TestTakingBack:
    def test_a_lease_that_ran_out_is_a_failed_attempt(self, store):
        made = job(store)
        held = lease(store)

        assert store.jobs.take_back(held.until - timedelta(microseconds=1)) == 0
        assert store.jobs.take_back(held.until) == 1
        known = store.recordings.get(made.id)
        assert (known.state, known.error.code) == (State.QUEUED, "worker_lost")
        assert lease(store, held.until + timedelta(hours=1)).attempt == 2

    def test_all_leases_of_a_dead_worker_end_at_once_and_only_its(self, store):
        job(store, 1)
        job(store, 2)
        lease(store, worker="dead")
        lease(store, worker="alive")

        assert store.jobs.take_back(NOW, worker="dead") == 1
        assert store.jobs.take_back(NOW, worker="dead") == 0

    def test_no_more_than_asked_and_each_counted_by_one_caller(self, store):
        for number in range(5):
            job(store, number)
            lease(store)
        over = NOW + timedelta(seconds=LEASE_S)

        first = store.jobs.take_back(over, limit=1)
        counted = at_once(4, lambda _: store.jobs.take_back(over), range(4))

        assert (first, sum(counted)) == (1, 4)

    def test_poison_is_dead_after_one_and_three_attempts(self, store):
        made = job(store)
        at, attempts = NOW, 0
        while held := lease(store, at):
            attempts += 1
            store.jobs.take_back(at, worker=held.worker)
            at += timedelta(hours=1)

        assert attempts == MAX_ATTEMPTS
        assert store.recordings.get(made.id).state is State.DEAD
        assert len(outbox(store, Topic.JOBS_DEAD)) == 1


class TestDeferred:
    UNTIL = NOW + timedelta(hours=12)

    def defer(self, store, number=1):
        made = recording(number)
        return store.recordings.create_or_get(made, lambda _: placed(until=self.UNTIL))

    def test_it_is_queued_and_rung_for_when_its_time_has_come(self, store):
        made = self.defer(store)
        store.outbox.sent(store.outbox.pending(), NOW)

        early = store.jobs.undefer(self.UNTIL - timedelta(seconds=1), lambda r, ledger: placed())
        due = store.jobs.undefer(self.UNTIL, lambda r, ledger: placed())

        assert (early, due) == (0, 1)
        known = store.recordings.get(made.id)
        assert (known.state, known.deferred_until) == (State.QUEUED, None)
        assert [m.topic for m in store.outbox.pending()] == [Topic.LANE_LOW]
        assert lease(store, self.UNTIL).recording.id == made.id

    def test_over_quota_again_is_deferred_anew(self, store):
        made = self.defer(store)
        tomorrow = self.UNTIL + timedelta(days=1)

        queued = store.jobs.undefer(self.UNTIL, lambda r, ledger: placed(until=tomorrow))

        assert queued == 0
        known = store.recordings.get(made.id)
        assert (known.state, known.deferred_until) == (State.DEFERRED, tomorrow)

    def test_the_oldest_is_placed_first_and_each_sees_the_ledger_before(self, store):
        self.defer(store, 1)
        self.defer(store, 2)
        seen = []

        store.jobs.undefer(
            self.UNTIL,
            lambda r, ledger: seen.append((r.id, ledger)) or placed(start_tag=float(r.id[-1])),
        )

        assert seen == [("rec00001", Ledger()), ("rec00002", Ledger(next_tag=1.0))]

    def test_no_more_are_looked_at_than_asked(self, store):
        self.defer(store, 1)
        self.defer(store, 2)

        assert store.jobs.undefer(self.UNTIL, lambda r, ledger: placed(), limit=1) == 1
        assert store.recordings.get("rec00001").state is State.QUEUED


class TestRinging:
    PATIENCE_S = 10.0
    DUE = NOW + timedelta(seconds=PATIENCE_S)

    def unrung(self, store, at, **changes):
        return sum(store.jobs.unrung(self.PATIENCE_S, at, **changes).values())

    def test_a_ready_job_is_unrung_once_patience_is_over_and_then_not_again(self, store):
        job(store, 1, Lane.HIGH)

        assert self.unrung(store, self.DUE - timedelta(microseconds=1)) == 0
        assert store.jobs.unrung(self.PATIENCE_S, self.DUE) == {Lane.HIGH: 1, Lane.LOW: 0}
        assert self.unrung(store, self.DUE) == 0
        assert self.unrung(store, self.DUE + timedelta(seconds=self.PATIENCE_S)) == 1

    def test_only_ready_jobs_ring(self, store):
        job(store, 1)
        held = lease(store)
        store.recordings.create_or_get(recording(2), lambda _: placed(until=LATER))

        assert self.unrung(store, self.DUE) == 0
        store.jobs.complete(held, OUTCOME, [], NOW)
        assert self.unrung(store, self.DUE) == 0

    def test_a_retry_has_patience_from_when_it_is_due(self, store):
        job(store, 1)
        due = NOW + timedelta(hours=1)
        store.jobs.fail(lease(store), CAUSE, due, NOW)
        patient = due + timedelta(seconds=self.PATIENCE_S)

        assert self.unrung(store, patient - timedelta(microseconds=1)) == 0
        assert self.unrung(store, patient) == 1

    @pytest.mark.parametrize("ring", ["hand_over", "replay", "undefer"])
    def test_a_ticket_in_the_outbox_rings(self, store, ring):
        if ring == "undefer":
            store.recordings.create_or_get(recording(1), lambda _: placed(until=self.DUE))
            store.jobs.undefer(self.DUE, lambda r, ledger: placed())
        elif ring == "replay":
            store.jobs.replay(dead_job(store).id, "cli", self.DUE)
        else:
            job(store, 1)
            store.jobs.hand_over(lease(store), self.DUE)
        patient = self.DUE + timedelta(seconds=self.PATIENCE_S)

        assert self.unrung(store, patient - timedelta(microseconds=1)) == 0
        assert self.unrung(store, patient) == 1

    def test_the_longest_unrung_come_first_and_no_more_than_asked(self, store):
        for number, seconds in [(1, 2), (2, 0), (3, 1)]:
            made = recording(number, received_at=NOW + timedelta(seconds=seconds))
            lane = Lane.HIGH if number == 2 else Lane.LOW
            store.recordings.create_or_get(made, lambda _, lane=lane: placed(lane))
        at = NOW + timedelta(minutes=1)

        assert store.jobs.unrung(self.PATIENCE_S, at, limit=1) == {Lane.HIGH: 1, Lane.LOW: 0}
        assert self.unrung(store, at, limit=9) == 2

    def test_of_concurrent_callers_each_job_is_counted_by_one(self, store):
        for number in range(8):
            job(store, number)

        counted = at_once(4, lambda _: self.unrung(store, self.DUE), range(4))

        assert sum(counted) == 8


def test_waiting_counts_ready_jobs_by_lane(store):
    job(store, 1, Lane.HIGH)
    job(store, 2, Lane.LOW)
    job(store, 3, Lane.LOW)
    store.jobs.fail(lease(store, lanes=(Lane.LOW,)), CAUSE, LATER, NOW)

    assert store.jobs.waiting(NOW) == {Lane.HIGH: 1, Lane.LOW: 1}
    assert store.jobs.waiting(LATER) == {Lane.HIGH: 1, Lane.LOW: 2}
