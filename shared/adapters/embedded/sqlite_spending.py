"""Implements `Spending` on SQLite."""

from datetime import UTC, datetime
from sqlite3 import Connection, Row

from shared.adapters.embedded.sqlite_database import Database
from shared.adapters.embedded.sqlite_jobs import held
from shared.domain.recording import Lease
from shared.domain.spending import MICRO, Bought, Intent, PaidCall, Refusal, micros, micros_at_most


class SqliteSpending:
    """A row a call, and one a segment of it that keeps other calls of the attempt away."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def intend(
        self, lease: Lease, call: PaidCall, budget_usd: float | None, now: datetime
    ) -> Intent | Bought | Refusal:
        known, day = lease.recording, now.astimezone(UTC).date()
        intent = Intent(known.id, known.tenant, lease.attempt, call, day)
        with self._db.write() as db:
            held(db, lease)
            if (before := _before(db, intent)) is not None:
                return _what_became(before, call)
            spent = _spent(db, known.tenant, day.isoformat())
            cost = micros_at_most(call.at_most_usd)
            if budget_usd is not None and spent + cost > micros(budget_usd):
                return Refusal.OVER_BUDGET
            _remember(db, intent, cost)
        return intent

    def settle(self, intent: Intent, cost_usd: float, answer: str | None = None) -> None:
        with self._db.write() as db:
            db.execute(
                "UPDATE calls SET micro_usd = ?, answer = ?, settled = 1 WHERE settled = 0 AND id ="
                " (SELECT call_id FROM called WHERE recording_id = ? AND attempt = ?"
                " AND engine = ? AND task = ? AND segment = ?)",
                (micros(cost_usd), answer, *_key(intent), intent.call.segments[0]),
            )

    def spent_usd(self, tenant: str, now: datetime) -> float:
        with self._db.read() as db:
            return _spent(db, tenant, now.astimezone(UTC).date().isoformat()) / MICRO


def _key(intent: Intent) -> tuple[str, int, str, str]:
    return intent.recording_id, intent.attempt, intent.call.engine, intent.call.task.value


def _before(db: Connection, intent: Intent) -> Row | None:
    """A call of this attempt that sent one of these segments to this engine."""
    marks = ",".join("?" * len(intent.call.segments))
    row: Row | None = db.execute(
        "SELECT calls.settled, calls.segments, calls.answer"  # noqa: S608
        " FROM called JOIN calls ON calls.id = called.call_id"
        " WHERE called.recording_id = ? AND called.attempt = ? AND called.engine = ?"
        f" AND called.task = ? AND segment IN ({marks}) ORDER BY calls.settled LIMIT 1",
        (*_key(intent), *intent.call.segments),
    ).fetchone()
    return row


def _what_became(before: Row, call: PaidCall) -> Bought | Refusal:
    if not before["settled"]:
        return Refusal.UNRESOLVED
    same = before["segments"] == _listed(call)
    return Bought(before["answer"]) if same and before["answer"] else Refusal.CALLED


def _listed(call: PaidCall) -> str:
    return ",".join(map(str, call.segments))


def _spent(db: Connection, tenant: str, day: str) -> int:
    row = db.execute(
        "SELECT coalesce(sum(micro_usd), 0) FROM calls WHERE tenant = ? AND day = ?", (tenant, day)
    ).fetchone()
    return int(row[0])


def _remember(db: Connection, intent: Intent, cost: int) -> None:
    made = db.execute(
        "INSERT INTO calls (recording_id, attempt, engine, task, tenant, day, micro_usd, segments)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
        (*_key(intent), intent.tenant, intent.day.isoformat(), cost, _listed(intent.call)),
    ).fetchone()
    db.executemany(
        "INSERT INTO called (recording_id, attempt, engine, task, segment, call_id)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        [(*_key(intent), segment, made["id"]) for segment in intent.call.segments],
    )
