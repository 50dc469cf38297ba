"""Implements `Jobs` on Firestore: each method reads, decides, and makes conditional commits."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from google.cloud.firestore_v1 import Client, DocumentReference
from google.cloud.firestore_v1.base_query import FieldFilter
from google.cloud.firestore_v1.query import Query

from shared.adapters.gcp.firestore_client import (
    PAGE,
    Commit,
    Documents,
    Patience,
    Snapshot,
    possible,
)
from shared.adapters.gcp.firestore_passages import Passages
from shared.adapters.gcp.firestore_rows import (
    CALLS,
    HISTORY,
    JOBS,
    RECORDINGS,
    SEGMENTS,
    TENANTS,
    compressed_at,
    failed_with,
    ledger,
    move,
    put_out,
    recording,
    remember,
    row,
    touch,
    write_ledger,
)
from shared.domain.attempts import RETENTION, discarded
from shared.domain.lanes import Lane
from shared.domain.messages import announcement, dead_letter, ticket
from shared.domain.moments import from_us, to_us
from shared.domain.recording import (
    Checkpoint,
    Deaths,
    Failure,
    Lease,
    Message,
    Moved,
    Outcome,
    Recording,
)
from shared.domain.retry import Again, after_failure
from shared.domain.states import State
from shared.errors import NotFound, StaleLease, WrongState
from shared.ports import PlaceAgain

#: Why a lease was taken back, for the history and the dead letter.
LOST = Failure("worker_lost", "The process that worked on this recording died or fell silent.")
#: Ready jobs looked at for one lease. The lowest tag is tried first; whoever loses that race
#: goes on with any of the others, so that many workers do not meet at the next one again.
HEADS = 8
#: Most checkpoints deleted in the commit that ends a job; more are deleted after it.
MOST_DROPS = 400
#: Days after which Firestore's own sweep (TTL) takes a checkpoint that nobody deleted.
SEGMENT_DAYS = 30
_LET_GO: dict[str, Any] = {"worker": None, "lease_until_us": None}
#: A job and its recording, as of one moment.
Pair = tuple[Snapshot, Snapshot]


class FirestoreJobs:
    """One document a job, its checkpoints below it; the recording changes in the same commit.

    Every write is on condition that job and recording are as they were read, with the token
    checked in between. `causes` reads one history line a death.

    IAM: roles/datastore.user, granted in terraform/stack/firestore.tf. Run on the Firestore
    emulator of the gcloud SDK, which asks for no index: those of firestore_indexes.json are
    compared with the ones it reports.
    """

    def __init__(self, client: Client, retry_base_s: float = 2.0) -> None:
        self._db = Documents(client)
        self._passages = Passages(self._db)
        self._retry_base_s = retry_base_s

    def lease_next(
        self, lanes: Sequence[Lane], worker: str, now: datetime, lease_s: float
    ) -> Lease | None:
        until = now + timedelta(seconds=lease_s)
        for lane in lanes:
            lease = self._lease(lane, worker, now, until)
            if lease is not None:
                return lease
        return None

    def _lease(self, lane: Lane, worker: str, now: datetime, until: datetime) -> Lease | None:
        patience, raced = Patience(), False
        query = self._ready(now, lane).order_by("start_tag").limit(HEADS)
        while heads := sorted(self._db.found(query), key=lambda j: (j.get("start_tag"), j.id)):
            while heads:
                nth = random.randrange(len(heads)) if raced else 0  # noqa: S311  # only spreads
                lease = self._take(heads.pop(nth), worker, now, until)
                if lease is not None:
                    return lease
                raced = True
            patience.wait()
        return None

    def _ready(self, now: datetime, lane: Lane) -> Query:
        query = self._jobs("ready").where(filter=FieldFilter("lane", "==", lane.value))
        return query.where(filter=FieldFilter("not_before_us", "<=", to_us(now)))

    def _take(self, head: Snapshot, worker: str, now: datetime, until: datetime) -> Lease | None:
        """The lease of this job, or None if it has changed since it was seen."""
        job, known = self._pair(head.id)
        if job.update_time != head.update_time:
            return None
        token, attempt = job.get("token") + 1, job.get("attempts") + 1 - job.get("handed_over")
        leased = {
            "state": "leased",
            "token": token,
            "attempts": attempt,
            "handed_over": False,
            "worker": worker,
            "lease_until_us": to_us(until),
        }
        commit = self._db.commit()
        commit.change(job, leased)
        line = Moved(State.PROCESSING, now, worker, f"attempt {attempt}", attempt=attempt)
        taken, _ = move(commit, known, line, {"attempts": attempt})
        return Lease(taken, token, worker, until, attempt) if self._db.try_to(commit) else None

    def extend(self, lease: Lease, now: datetime, lease_s: float) -> Lease:
        until = now + timedelta(seconds=lease_s)

        def step(commit: Commit) -> None:
            job, _ = self._held(lease)
            commit.change(job, {"lease_until_us": to_us(until)})

        self._db.settle(step)
        return replace(lease, until=until)

    def checkpoint(
        self, lease: Lease, done: Sequence[Checkpoint], progress: float, now: datetime
    ) -> None:
        def step(commit: Commit) -> None:
            job, known = self._held(lease)
            commit.change(job, {"checkpointed_us": to_us(now)})
            touch(commit, known, {"progress": progress, "updated_us": to_us(now)})
            for one in done:
                commit.put(_segment(job.reference, one), _segment_row(one, now))

        self._db.settle(step)

    def checkpoints(self, lease: Lease, plan: str) -> list[Checkpoint]:
        of_plan = FieldFilter("plan", "==", plan)
        found = self._db.found(self._segments(lease.recording.id).where(filter=of_plan))
        rows = sorted((row(one) for one in found), key=lambda r: (r["task"], r["idx"]))
        return [Checkpoint(r["plan"], r["task"], r["idx"], r["body"]) for r in rows]

    def hand_over(self, lease: Lease, now: datetime) -> None:
        def step(commit: Commit) -> None:
            job, known = self._held(lease)
            freed = {"state": "ready", "handed_over": True, "rung_us": to_us(now), **_LET_GO}
            commit.change(job, freed)
            reason = "handed over with what was heard so far"
            after, seq = move(commit, known, Moved(State.QUEUED, now, lease.worker, reason))
            put_out(commit, [ticket(after.id, after.lane or Lane.LOW, seq, after.trace)])

        self._db.settle(step)

    def give_back(self, lease: Lease, cause: Failure, not_before: datetime, now: datetime) -> None:
        def step(commit: Commit) -> None:
            job, known = self._held(lease)
            commit.change(job, _ready_again(job, not_before, spent=False))
            move(commit, known, Moved(State.QUEUED, now, lease.worker, cause.code, cause))

        self._db.settle(step)

    def defer(self, lease: Lease, cause: Failure, until: datetime, now: datetime) -> None:
        def step(commit: Commit) -> None:
            job, known = self._held(lease)
            commit.change(job, _ready_again(job, until, spent=False) | {"state": "deferred"})
            line = Moved(State.DEFERRED, now, lease.worker, cause.code, cause)
            promised = {"deferred_until_us": to_us(until), **failed_with(cause)}
            after, seq = move(commit, known, line, promised)
            put_out(commit, [announcement(after, "deferred", now, seq)])

        self._db.settle(step)

    def fail(
        self, lease: Lease, cause: Failure, not_before: datetime | None, now: datetime
    ) -> None:
        def step(commit: Commit) -> None:
            _failed(commit, self._held(lease), cause, not_before, (now, lease.worker))

        self._db.settle(step)

    def reject(self, lease: Lease, cause: Failure, now: datetime) -> None:
        segments = self._kept(lease)

        def step(commit: Commit) -> None:
            job, known = self._held(lease)
            _over(commit, job, segments)
            line = Moved(State.REJECTED, now, lease.worker, cause.code, cause)
            after, seq = move(commit, known, line, failed_with(cause))
            put_out(commit, [announcement(after, "rejected", now, seq)])

        self._db.settle(step)
        self._drop(segments[MOST_DROPS:])

    def complete(
        self, lease: Lease, outcome: Outcome, effects: Sequence[Message], now: datetime
    ) -> Recording:
        segments = self._kept(lease)
        self._passages.lay(lease, outcome.passages)

        def step(commit: Commit) -> Recording:
            job, known = self._held(lease)
            _over(commit, job, segments)
            line = Moved(State.DONE, now, lease.worker, "heard")
            free = row(known).get("hold_us") is None
            heard = _heard(lease, outcome) | compressed_at(outcome.compress_at, free=free)
            done, seq = move(commit, known, line, heard)
            put_out(commit, [announcement(done, "done", now, seq), *effects])
            return done

        try:
            done = self._db.settle(step)
        except StaleLease:
            self._forget_unseen(lease)
            raise
        self._drop(segments[MOST_DROPS:])
        self._passages.drop_older(lease)
        return done

    def _forget_unseen(self, lease: Lease) -> None:
        """Drop what was laid under a stale lease, for nobody else knows of it.

        A completion that came through while its answer was lost is stale when it is repeated:
        what it laid is what the recording shows, and stays.
        """
        known = self._db.get(self._db.at(RECORDINGS, lease.recording.id))
        fields = row(known)
        shown = fields.get("state") == State.DONE and fields.get("token") == lease.token
        if not shown:
            self._passages.drop(lease)

    def replay(self, recording_id: str, actor: str, now: datetime) -> Recording:
        # Attempts are counted from 1 again, and each may make its paid calls.
        calls = self._calls(recording_id)

        def step(commit: Commit) -> Recording:
            job, known = self._known(recording_id)
            _dead_or_raise(job, known)
            commit.change(job, _replayed(now))
            for one in calls:
                commit.drop(one)
            fresh = {"lane": Lane.LOW.value, "rule": "replay", "attempts": 0, "progress": 0.0}
            line = Moved(State.QUEUED, now, actor, "replayed")
            after, seq = move(commit, known, line, {**fresh, **failed_with(None)})
            put_out(commit, [ticket(recording_id, Lane.LOW, seq, after.trace)])
            return after

        return self._db.settle(step)

    def discard(self, recording_id: str, actor: str, why: str, now: datetime) -> Recording:
        def step(commit: Commit) -> Recording:
            job, known = self._known(recording_id)
            if _state(job) != "discarded":
                _dead_or_raise(job, known)
                _discard(commit, (job, known), Moved(State.DEAD, now, actor, discarded(why)))
            return recording(row(known))

        return self._db.settle(step)

    def lapse(self, before: datetime, now: datetime, limit: int = 100) -> int:
        died = FieldFilter("dead_us", "<", to_us(before))
        query = self._jobs("dead").where(filter=died).order_by("dead_us").limit(limit)
        why = f"nobody decided in {(now - before).days} days"
        line = Moved(State.DEAD, now, RETENTION, discarded(why))
        return sum(self._lapsed(letter, line) for letter in self._db.found(query))

    def _lapsed(self, seen: Snapshot, line: Moved) -> bool:
        def step(commit: Commit) -> bool:
            job, known = self._pair(seen.id)
            if job.update_time != seen.update_time:
                return False
            _discard(commit, (job, known), line)
            return True

        return self._db.settle(step)

    def dead(self, tenant: str | None = None, limit: int = 100) -> list[Recording]:
        query = self._jobs("dead")
        if tenant is not None:
            query = query.where(filter=FieldFilter("tenant", "==", tenant))
        query = query.order_by("dead_us", direction="DESCENDING")
        query = query.order_by("__name__", direction="DESCENDING").select([]).limit(limit)
        where = [self._db.at(RECORDINGS, job.id) for job in self._db.found(query)]
        return [recording(row(one)) for one in self._db.get_all(where)] if where else []

    def causes(self, since: datetime, limit: int = 1_000) -> list[Deaths]:
        query = self._db.group_of(HISTORY)
        query = query.where(filter=FieldFilter("state", "==", State.DEAD.value))
        query = query.where(filter=FieldFilter("at_us", ">=", to_us(since)))
        query = query.order_by("at_us").select(["at_us", "error_code"]).limit(PAGE)
        deaths: Counter[tuple[datetime, str]] = Counter()
        lines = self._db.found(query)
        while lines:
            # A letter that was discarded has a second line, without an error.
            of_jobs = (line for line in lines if line.get("error_code") is not None)
            deaths.update((_day(line), line.get("error_code")) for line in of_jobs)
            full = len(lines) == PAGE
            lines = self._db.found(query.start_after(lines[-1])) if full else []
        found = [Deaths(day.date(), code, n) for (day, code), n in deaths.items()]
        return sorted(found, key=lambda d: (-d.day.toordinal(), -d.count, d.code))[:limit]

    def take_back(self, now: datetime, worker: str | None = None, limit: int = 1_000) -> int:
        which = FieldFilter("lease_until_us", "<=", to_us(now))
        if worker:
            which = FieldFilter("worker", "==", worker)
        query = self._jobs("leased").where(filter=which)
        query = query.order_by("lease_until_us").limit(limit)
        return sum(self._lost(job, now) for job in self._db.found(query))

    def _lost(self, seen: Snapshot, now: datetime) -> bool:
        """End a lease, if it is still as it was seen: an extended one has not run out."""

        def step(commit: Commit) -> bool:
            job, known = self._pair(seen.id)
            if job.update_time != seen.update_time:
                return False
            # Nobody waits for this answer, so there is nothing to spread: no jitter.
            again = after_failure(job.get("attempts"), 0.0, self._retry_base_s)
            until = now + timedelta(seconds=again.after_s) if isinstance(again, Again) else None
            _failed(commit, (job, known), LOST, until, (now, "reconcile"))
            return True

        return self._db.settle(step)

    def undefer(self, now: datetime, place: PlaceAgain, limit: int = 1_000) -> int:
        query = self._db.all_of(RECORDINGS)
        query = query.where(filter=FieldFilter("state", "==", State.DEFERRED.value))
        query = query.where(filter=FieldFilter("deferred_until_us", "<=", to_us(now)))
        query = query.order_by("received_us").limit(limit).select([])
        return sum(self._undefer(one.id, place, now) for one in self._db.found(query))

    def _undefer(self, recording_id: str, place: PlaceAgain, now: datetime) -> bool:
        def step(commit: Commit) -> bool:
            job, known = self._pair(recording_id)
            due = known.get("deferred_until_us")
            if known.get("state") != State.DEFERRED or due is None or due > to_us(now):
                return False
            tenant = self._db.get(self._db.at(TENANTS, known.get("tenant")))
            placed = place(recording(row(known)), ledger(tenant))
            write_ledger(commit, tenant, placed.ledger)
            if placed.deferred_until is not None:
                due_us = to_us(placed.deferred_until)
                touch(commit, known, {"deferred_until_us": due_us, **failed_with(placed.over)})
                return False
            ready = {"state": "ready", "start_tag": placed.start_tag, "rung_us": to_us(now)}
            commit.change(job, ready)
            line = Moved(State.QUEUED, now, "reconcile", "the promised time has come")
            over = {"deferred_until_us": None, **failed_with(None)}
            after, seq = move(commit, known, line, over)
            put_out(commit, [ticket(after.id, after.lane or Lane.LOW, seq, after.trace)])
            return True

        return self._db.settle(step)

    def waiting(self, now: datetime) -> dict[Lane, int]:
        return {lane: self._db.count(self._ready(now, lane))[0] for lane in Lane}

    def unrung(self, patience_s: float, now: datetime, limit: int = 100) -> dict[Lane, int]:
        heard_until = to_us(now - timedelta(seconds=patience_s))
        query = self._jobs("ready").where(filter=FieldFilter("rung_us", "<=", heard_until))
        rung: Counter[Lane] = Counter()
        for job in self._db.found(query.order_by("rung_us").limit(limit)):
            commit = self._db.commit()
            commit.change(job, {"rung_us": to_us(now)})
            # Whoever changed it meanwhile has leased it, or rings for it.
            rung[Lane(job.get("lane"))] += self._db.try_to(commit)
        return {lane: rung[lane] for lane in Lane}

    def _jobs(self, state: str) -> Query:
        return self._db.all_of(JOBS).where(filter=FieldFilter("state", "==", state))

    def _pair(self, recording_id: str) -> Pair:
        where = [self._db.at(JOBS, recording_id), self._db.at(RECORDINGS, recording_id)]
        job, known = self._db.get_all(where)
        return job, known

    def _held(self, lease: Lease) -> Pair:
        """Job and recording, if this lease still is the one that counts."""
        job, known = self._pair(lease.recording.id)
        held(job, lease)
        return job, known

    def _known(self, recording_id: str) -> Pair:
        job, known = self._pair(recording_id) if possible(recording_id) else (None, None)
        if job is None or known is None or not known.exists:
            raise NotFound(recording_id=recording_id)
        return job, known

    def _segments(self, recording_id: str) -> Query:
        return self._db.all_of(f"{JOBS}/{recording_id}/{SEGMENTS}")

    def _calls(self, recording_id: str) -> list[DocumentReference]:
        """Of every attempt, engine and task: a handful."""
        if not possible(recording_id):
            return []
        query = self._db.all_of(f"{JOBS}/{recording_id}/{CALLS}").select([])
        return [one.reference for one in self._db.found(query)]

    def _kept(self, lease: Lease) -> list[DocumentReference]:
        """The job's checkpoints, of every plan, and the answers of its paid calls.

        Refuses a stale lease before anything else.
        """
        self._held(lease)
        kept = self._db.found(self._segments(lease.recording.id).select([]))
        answers = [one for one in self._calls(lease.recording.id) if "-" in one.id]
        return [*(one.reference for one in kept), *answers]

    def _drop(self, where: Sequence[DocumentReference]) -> None:
        for begin in range(0, len(where), MOST_DROPS):
            commit = self._db.commit()
            for one in where[begin : begin + MOST_DROPS]:
                commit.drop(one)
            self._db.try_to(commit)


def held(job: Snapshot, lease: Lease) -> None:
    """Raises StaleLease: this lease no longer is the one that counts."""
    if _state(job) != "leased" or job.get("token") != lease.token:
        raise StaleLease(recording_id=lease.recording.id, token=lease.token)


def _state(job: Snapshot) -> str | None:
    return job.get("state") if job.exists else None


def _segment(job: DocumentReference, one: Checkpoint) -> DocumentReference:
    at: DocumentReference = job.collection(SEGMENTS).document(f"{one.task}-{one.index}")
    return at


def _segment_row(one: Checkpoint, now: datetime) -> dict[str, Any]:
    return {
        "plan": one.plan,
        "task": one.task,
        "idx": one.index,
        "body": one.body,
        "expires": now + timedelta(days=SEGMENT_DAYS),
    }


def _heard(lease: Lease, outcome: Outcome) -> dict[str, Any]:
    return {
        "result": outcome.result,
        "seconds": outcome.seconds,
        "language": outcome.language,
        "confidence": outcome.confidence,
        "review": outcome.review,
        "answer_key": outcome.answer_key,
        "progress": 1.0,
        "token": lease.token,  # whose passages count
        **failed_with(None),
    }


def _over(commit: Commit, job: Snapshot, segments: Sequence[DocumentReference]) -> None:
    commit.change(job, {"state": "over", **_LET_GO})
    for one in segments[:MOST_DROPS]:
        commit.drop(one)


def _ready_again(job: Snapshot, not_before: datetime, *, spent: bool) -> dict[str, Any]:
    due_us = to_us(not_before)
    attempts = job.get("attempts") - (0 if spent else 1)
    due = {"not_before_us": due_us, "rung_us": due_us}
    return {"state": "ready", "attempts": attempts, **due, **_LET_GO}


def _failed(
    commit: Commit,
    pair: Pair,
    cause: Failure,
    not_before: datetime | None,
    by: tuple[datetime, str],
) -> None:
    """One more failed attempt: ready again, or dead with its letter."""
    (job, known), (now, actor) = pair, by
    if not_before is not None:
        commit.change(job, _ready_again(job, not_before, spent=True))
        line = Moved(State.QUEUED, now, actor, cause.code, cause)
        move(commit, known, line, failed_with(cause))
        return
    commit.change(job, {"state": "dead", "dead_us": to_us(now), **_LET_GO})
    line = Moved(State.DEAD, now, actor, cause.code, cause)
    after, seq = move(commit, known, line, failed_with(cause))
    letters = [dead_letter(after, cause, now, seq), announcement(after, "dead", now, seq)]
    put_out(commit, letters)


def _replayed(now: datetime) -> dict[str, Any]:
    return {
        "state": "ready",
        "attempts": 0,
        "handed_over": False,
        "lane": Lane.LOW.value,
        "not_before_us": 0,
        "start_tag": now.timestamp(),
        "rung_us": to_us(now),
    }


def _discard(commit: Commit, pair: Pair, line: Moved) -> None:
    job, known = pair
    commit.change(job, {"state": "discarded"})
    remember(commit, known, line, {})


def _dead_or_raise(job: Snapshot, known: Snapshot) -> None:
    if _state(job) != "dead":
        state = State(known.get("state"))
        why = "was discarded" if state is State.DEAD else f"is {state}, not dead"
        raise WrongState(f"The recording {why}; only dead letters can be replayed or discarded.")


def _day(line: Snapshot) -> datetime:
    at = from_us(line.get("at_us")).astimezone(UTC)
    return at.replace(hour=0, minute=0, second=0, microsecond=0)
