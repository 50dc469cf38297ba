"""Implements `Jobs` on SQLite: each method is one commit."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from sqlite3 import Connection, Row

from shared.adapters.embedded.sqlite_database import Database, to_us
from shared.adapters.embedded.sqlite_rows import (
    fetch_recording,
    put_out,
    recording,
    remember,
)
from shared.adapters.embedded.sqlite_tenants import ledger, write_ledger
from shared.domain.attempts import RETENTION, discarded
from shared.domain.lanes import Lane
from shared.domain.messages import announcement, dead_letter, ticket
from shared.domain.recording import (
    Checkpoint,
    Deaths,
    Failure,
    Lease,
    Message,
    Moved,
    Outcome,
    Passage,
    Recording,
)
from shared.domain.retry import Again, after_failure
from shared.domain.states import State, check
from shared.errors import NotFound, StaleLease, WrongState
from shared.ports import PlaceAgain

#: Why a lease was taken back, for the history and the dead letter.
LOST = Failure("worker_lost", "The process that worked on this recording died or fell silent.")

_LEASE = """
    UPDATE jobs SET state = 'leased', token = token + 1, attempts = attempts + 1 - handed_over,
        handed_over = 0, worker = ?, lease_until_us = ?
    WHERE recording_id = (
        SELECT recording_id FROM jobs WHERE state = 'ready' AND lane = ? AND not_before_us <= ?
        ORDER BY start_tag, recording_id LIMIT 1)
    RETURNING recording_id, token, attempts
"""
_LET_GO = "worker = NULL, lease_until_us = NULL"


class SqliteJobs:
    def __init__(self, db: Database, retry_base_s: float = 2.0) -> None:
        self._db = db
        self._retry_base_s = retry_base_s

    def lease_next(
        self, lanes: Sequence[Lane], worker: str, now: datetime, lease_s: float
    ) -> Lease | None:
        until = now + timedelta(seconds=lease_s)
        with self._db.write() as db:
            for lane in lanes:
                given = (worker, to_us(until), lane.value, to_us(now))
                row = db.execute(_LEASE, given).fetchone()
                if row is not None:
                    return _leased(db, row, worker, now, until)
        return None

    def extend(self, lease: Lease, now: datetime, lease_s: float) -> Lease:
        until = now + timedelta(seconds=lease_s)
        with self._db.write() as db:
            held(db, lease)
            db.execute(
                "UPDATE jobs SET lease_until_us = ? WHERE recording_id = ?",
                (to_us(until), lease.recording.id),
            )
        return replace(lease, until=until)

    def checkpoint(
        self, lease: Lease, done: Sequence[Checkpoint], progress: float, now: datetime
    ) -> None:
        rid = lease.recording.id
        with self._db.write() as db:
            held(db, lease)
            db.executemany(
                "INSERT OR REPLACE INTO checkpoints (recording_id, task, idx, plan, body)"
                " VALUES (?, ?, ?, ?, ?)",
                [(rid, c.task, c.index, c.plan, c.body) for c in done],
            )
            db.execute(
                "UPDATE recordings SET progress = ?, updated_us = ? WHERE id = ?",
                (progress, to_us(now), rid),
            )

    def checkpoints(self, lease: Lease, plan: str) -> list[Checkpoint]:
        with self._db.read() as db:
            rows = db.execute(
                "SELECT * FROM checkpoints WHERE recording_id = ? AND plan = ? ORDER BY task, idx",
                (lease.recording.id, plan),
            ).fetchall()
        return [Checkpoint(r["plan"], r["task"], r["idx"], r["body"]) for r in rows]

    def hand_over(self, lease: Lease, now: datetime) -> None:
        with self._db.write() as db:
            held(db, lease)
            db.execute(
                f"UPDATE jobs SET state = 'ready', handed_over = 1, rung_us = ?, {_LET_GO}"  # noqa: S608
                " WHERE recording_id = ?",
                (to_us(now), lease.recording.id),
            )
            reason = "handed over with what was heard so far"
            seq = _move(db, lease.recording, Moved(State.QUEUED, now, lease.worker, reason))
            lane = lease.recording.lane or Lane.LOW
            put_out(db, [ticket(lease.recording.id, lane, seq, lease.recording.trace)])

    def give_back(self, lease: Lease, cause: Failure, not_before: datetime, now: datetime) -> None:
        with self._db.write() as db:
            held(db, lease)
            _let_go(db, lease.recording.id, "ready", not_before, spent=False)
            line = Moved(State.QUEUED, now, lease.worker, cause.code, cause)
            _move(db, lease.recording, line)

    def defer(self, lease: Lease, cause: Failure, until: datetime, now: datetime) -> None:
        rid = lease.recording.id
        with self._db.write() as db:
            held(db, lease)
            _let_go(db, rid, "deferred", until, spent=False)
            _note_error(db, rid, cause)
            db.execute(
                "UPDATE recordings SET deferred_until_us = ? WHERE id = ?", (to_us(until), rid)
            )
            line = Moved(State.DEFERRED, now, lease.worker, cause.code, cause)
            seq = _move(db, lease.recording, line)
            put_out(db, [announcement(lease.recording, "deferred", now, seq)])

    def fail(
        self, lease: Lease, cause: Failure, not_before: datetime | None, now: datetime
    ) -> None:
        with self._db.write() as db:
            held(db, lease)
            _failed(db, lease.recording, cause, not_before, now, lease.worker)

    def reject(self, lease: Lease, cause: Failure, now: datetime) -> None:
        with self._db.write() as db:
            held(db, lease)
            _over(db, lease.recording.id)
            _note_error(db, lease.recording.id, cause)
            line = Moved(State.REJECTED, now, lease.worker, cause.code, cause)
            seq = _move(db, lease.recording, line)
            put_out(db, [announcement(lease.recording, "rejected", now, seq)])

    def complete(
        self, lease: Lease, outcome: Outcome, effects: Sequence[Message], now: datetime
    ) -> Recording:
        rid = lease.recording.id
        with self._db.write() as db:
            held(db, lease)
            _over(db, rid)
            lay_passages(db, lease.recording, outcome.passages)
            line = Moved(State.DONE, now, lease.worker, "heard")
            row = _moved(db, lease.recording, line, **_came_out(outcome))
            put_out(db, [announcement(lease.recording, "done", now, row["moves"]), *effects])
            return recording(row)

    def replay(self, recording_id: str, actor: str, now: datetime) -> Recording:
        with self._db.write() as db:
            known = _known(db, recording_id)
            _dead_or_raise(db, known)
            db.execute(
                "UPDATE jobs SET state = 'ready', attempts = 0, handed_over = 0, lane = 'low',"
                " not_before_us = 0, start_tag = ?, rung_us = ? WHERE recording_id = ?",
                (now.timestamp(), to_us(now), recording_id),
            )
            db.execute(
                "UPDATE recordings SET lane = 'low', rule = 'replay', attempts = 0, progress = 0,"
                " error_code = NULL, error_message = NULL, error_engine = NULL WHERE id = ?",
                (recording_id,),
            )
            # Attempts are counted from 1 again, and each may make its paid calls.
            db.execute("DELETE FROM called WHERE recording_id = ?", (recording_id,))
            _forget_answers(db, recording_id)
            seq = _move(db, known, Moved(State.QUEUED, now, actor, "replayed"))
            put_out(db, [ticket(recording_id, Lane.LOW, seq, known.trace)])
            return _known(db, recording_id)

    def discard(self, recording_id: str, actor: str, why: str, now: datetime) -> Recording:
        with self._db.write() as db:
            known = _known(db, recording_id)
            if _job_state(db, recording_id) == "discarded":
                return known
            _dead_or_raise(db, known)
            _discard(db, recording_id, actor, why, now)
            return known

    def lapse(self, before: datetime, now: datetime, limit: int = 100) -> int:
        why = f"nobody decided in {(now - before).days} days"
        with self._db.write() as db:
            rows = db.execute(
                "SELECT recording_id FROM jobs WHERE state = 'dead' AND dead_us < ?"
                " ORDER BY dead_us, recording_id LIMIT ?",
                (to_us(before), limit),
            ).fetchall()
            for row in rows:
                _discard(db, row["recording_id"], RETENTION, why, now)
            return len(rows)

    def dead(self, tenant: str | None = None, limit: int = 100) -> list[Recording]:
        with self._db.read() as db:
            rows = db.execute(
                "SELECT r.* FROM jobs j JOIN recordings r ON r.id = j.recording_id"
                " WHERE j.state = 'dead' AND (? IS NULL OR r.tenant = ?)"
                " ORDER BY j.dead_us DESC, r.id DESC LIMIT ?",
                (tenant, tenant, limit),
            ).fetchall()
        return [recording(row) for row in rows]

    def causes(self, since: datetime, limit: int = 1_000) -> list[Deaths]:
        with self._db.read() as db:
            rows = db.execute(
                "SELECT date(at_us / 1000000, 'unixepoch') AS day, error_code, count(*) AS n"
                " FROM history WHERE state = 'dead' AND error_code IS NOT NULL AND at_us >= ?"
                " GROUP BY day, error_code ORDER BY day DESC, n DESC, error_code LIMIT ?",
                (to_us(since), limit),
            ).fetchall()
        return [Deaths(date.fromisoformat(r["day"]), r["error_code"], r["n"]) for r in rows]

    def take_back(self, now: datetime, worker: str | None = None, limit: int = 1_000) -> int:
        which = "worker = ?" if worker else "lease_until_us <= ?"
        with self._db.write() as db:
            rows = db.execute(
                f"SELECT recording_id, attempts FROM jobs WHERE state = 'leased' AND {which}"  # noqa: S608
                " ORDER BY lease_until_us LIMIT ?",
                (worker or to_us(now), limit),
            ).fetchall()
            for row in rows:
                self._lost(db, _known(db, row["recording_id"]), row["attempts"], now)
            return len(rows)

    def _lost(self, db: Connection, known: Recording, attempts: int, now: datetime) -> None:
        # Nobody waits for this answer, so there is nothing to spread: no jitter.
        step = after_failure(attempts, 0.0, self._retry_base_s)
        until = now + timedelta(seconds=step.after_s) if isinstance(step, Again) else None
        _failed(db, known, LOST, until, now, "reconcile")

    def undefer(self, now: datetime, place: PlaceAgain, limit: int = 1_000) -> int:
        with self._db.write() as db:
            rows = db.execute(
                "SELECT * FROM recordings WHERE state = 'deferred' AND deferred_until_us <= ?"
                " ORDER BY received_us, id LIMIT ?",
                (to_us(now), limit),
            ).fetchall()
            return sum(_undefer(db, recording(row), place, now) for row in rows)

    def waiting(self, now: datetime) -> dict[Lane, int]:
        with self._db.read() as db:
            return {
                lane: db.execute(
                    "SELECT count(*) FROM jobs WHERE state = 'ready' AND lane = ?"
                    " AND not_before_us <= ?",
                    (lane.value, to_us(now)),
                ).fetchone()[0]
                for lane in Lane
            }

    def unrung(self, patience_s: float, now: datetime, limit: int = 100) -> dict[Lane, int]:
        heard_until = to_us(now - timedelta(seconds=patience_s))
        with self._db.write() as db:
            rows = db.execute(
                "UPDATE jobs SET rung_us = ? WHERE recording_id IN ("
                "SELECT recording_id FROM jobs WHERE state = 'ready' AND rung_us <= ?"
                " ORDER BY rung_us, recording_id LIMIT ?) RETURNING lane",
                (to_us(now), heard_until, limit),
            ).fetchall()
        lanes = [Lane(row["lane"]) for row in rows]
        return {lane: lanes.count(lane) for lane in Lane}


def _leased(db: Connection, row: Row, worker: str, now: datetime, until: datetime) -> Lease:
    rid, attempt = row["recording_id"], row["attempts"]
    line = Moved(State.PROCESSING, now, worker, f"attempt {attempt}", attempt=attempt)
    state = {"state": line.state.value, "attempts": attempt}
    changed = remember(db, rid, line, updated_us=to_us(now), **state)
    return Lease(recording(changed), row["token"], worker, until, attempt)


def held(db: Connection, lease: Lease) -> Row:
    """The job's row, if this lease still is the one that counts."""
    row: Row | None = db.execute(
        "SELECT * FROM jobs WHERE recording_id = ? AND token = ? AND state = 'leased'",
        (lease.recording.id, lease.token),
    ).fetchone()
    if row is None:
        raise StaleLease(recording_id=lease.recording.id, token=lease.token)
    return row


def _known(db: Connection, recording_id: str) -> Recording:
    found = fetch_recording(db, recording_id)
    if found is None:
        raise NotFound(recording_id=recording_id)
    return found


def _came_out(outcome: Outcome) -> dict[str, object]:
    """The columns of a recording that was heard."""
    return {
        "result": outcome.result,
        "seconds": outcome.seconds,
        "language": outcome.language,
        "confidence": outcome.confidence,
        "review": int(outcome.review),
        "answer_key": outcome.answer_key,
        "compress_us": outcome.compress_at and to_us(outcome.compress_at),
        "progress": 1,
        "error_code": None,
        "error_message": None,
        "error_engine": None,
    }


def _move(db: Connection, known: Recording, line: Moved) -> int:
    """The number of the line in its history."""
    seq: int = _moved(db, known, line)["moves"]
    return seq


def _moved(db: Connection, known: Recording, line: Moved, **changes: object) -> Row:
    row = db.execute("SELECT state FROM recordings WHERE id = ?", (known.id,)).fetchone()
    check(State(row["state"]), line.state)
    at = to_us(line.at)
    return remember(db, known.id, line, state=line.state.value, updated_us=at, **changes)


def _discard(db: Connection, recording_id: str, actor: str, why: str, now: datetime) -> None:
    db.execute("UPDATE jobs SET state = 'discarded' WHERE recording_id = ?", (recording_id,))
    remember(db, recording_id, Moved(State.DEAD, now, actor, discarded(why)))


def _over(db: Connection, recording_id: str) -> None:
    db.execute(
        f"UPDATE jobs SET state = 'over', {_LET_GO} WHERE recording_id = ?",  # noqa: S608
        (recording_id,),
    )
    db.execute("DELETE FROM checkpoints WHERE recording_id = ?", (recording_id,))
    _forget_answers(db, recording_id)


def _forget_answers(db: Connection, recording_id: str) -> None:
    """Of paid calls; what they cost stays."""
    db.execute("UPDATE calls SET answer = NULL WHERE recording_id = ?", (recording_id,))


def _note_error(db: Connection, recording_id: str, cause: Failure) -> None:
    db.execute(
        "UPDATE recordings SET error_code = ?, error_message = ?, error_engine = ? WHERE id = ?",
        (cause.code, cause.message, cause.engine, recording_id),
    )


def _told(cause: Failure | None) -> tuple[str | None, str | None]:
    return (cause.code, cause.message) if cause else (None, None)


def _let_go(
    db: Connection, recording_id: str, state: str, not_before: datetime, *, spent: bool
) -> None:
    due_us = to_us(not_before)
    db.execute(
        "UPDATE jobs SET state = ?, not_before_us = ?, rung_us = ?,"  # noqa: S608
        f" attempts = attempts - ?, {_LET_GO} WHERE recording_id = ?",
        (state, due_us, due_us, 0 if spent else 1, recording_id),
    )


def _failed(
    db: Connection,
    known: Recording,
    cause: Failure,
    not_before: datetime | None,
    now: datetime,
    actor: str,
) -> None:
    _note_error(db, known.id, cause)
    if not_before is not None:
        _let_go(db, known.id, "ready", not_before, spent=True)
        _move(db, known, Moved(State.QUEUED, now, actor, cause.code, cause))
        return
    db.execute(
        f"UPDATE jobs SET state = 'dead', dead_us = ?, {_LET_GO} WHERE recording_id = ?",  # noqa: S608
        (to_us(now), known.id),
    )
    seq = _move(db, known, Moved(State.DEAD, now, actor, cause.code, cause))
    put_out(db, [dead_letter(known, cause, now, seq), announcement(known, "dead", now, seq)])


def lay_passages(db: Connection, of: Recording, passages: Sequence[Passage]) -> None:
    """For search; `passage_places` says where they lie, so that they can be found and erased."""
    if not passages:
        return
    newest = db.execute("SELECT rowid FROM passages ORDER BY rowid DESC LIMIT 1").fetchone()
    last = newest["rowid"] if newest else 0
    db.executemany(
        "INSERT INTO passages (rowid, text, recording_id, tenant, start_s, end_s)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        [
            (n, p.text, of.id, of.tenant, p.start_s, p.end_s)
            for n, p in enumerate(passages, last + 1)
        ],
    )
    db.executemany(
        "INSERT INTO passage_places (recording_id, passage_id) VALUES (?, ?)",
        [(of.id, n) for n in range(last + 1, last + 1 + len(passages))],
    )


def _job_state(db: Connection, recording_id: str) -> str | None:
    row = db.execute("SELECT state FROM jobs WHERE recording_id = ?", (recording_id,)).fetchone()
    return row["state"] if row else None


def _dead_or_raise(db: Connection, known: Recording) -> None:
    if _job_state(db, known.id) != "dead":
        gone = known.state is State.DEAD
        why = "was discarded" if gone else f"is {known.state}, not dead"
        raise WrongState(f"The recording {why}; only dead letters can be replayed or discarded.")


def _undefer(db: Connection, known: Recording, place: PlaceAgain, now: datetime) -> bool:
    placed = place(known, ledger(db, known.tenant))
    write_ledger(db, known.tenant, placed.ledger)
    until = placed.deferred_until
    db.execute(
        "UPDATE recordings SET deferred_until_us = ?, error_code = ?, error_message = ?,"
        " error_engine = NULL WHERE id = ?",
        (until and to_us(until), *_told(placed.over), known.id),
    )
    if until is not None:
        return False
    db.execute(
        "UPDATE jobs SET state = 'ready', start_tag = ?, rung_us = ? WHERE recording_id = ?",
        (placed.start_tag, to_us(now), known.id),
    )
    reason = "the promised time has come"
    seq = _move(db, known, Moved(State.QUEUED, now, "reconcile", reason))
    put_out(db, [ticket(known.id, known.lane or Lane.LOW, seq, known.trace)])
    return True
