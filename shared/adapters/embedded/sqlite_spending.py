"""Implements `Spending` on SQLite."""

from collections.abc import Sequence
from datetime import UTC, datetime
from sqlite3 import Connection, Row

from shared.adapters.embedded.sqlite_database import Database
from shared.adapters.embedded.sqlite_jobs import held
from shared.adapters.embedded.sqlite_slices import MONEY, Day, keep, one, slices
from shared.domain.recording import Lease
from shared.domain.slices import Paid, Slice, day_of_money, paid
from shared.domain.spending import (
    Bought,
    DayOfMoney,
    Intent,
    PaidCall,
    Refusal,
    micros,
    micros_at_most,
)


class SqliteSpending:
    """A row a call, and one a segment of it that keeps other calls of the attempt away.

    The money is in slices as on Firestore, though one file has one writer: what was tested
    here holds there.
    """

    def __init__(self, db: Database, holder: str = "here") -> None:
        """`holder` names the slices; of several processes with one name all spend from one."""
        self._db, self._holder = db, holder

    def intend(
        self, lease: Lease, call: PaidCall, budget_usd: float | None, now: datetime
    ) -> Intent | Bought | Refusal:
        known, day = lease.recording, now.astimezone(UTC).date()
        intent = Intent(known.id, known.tenant, lease.attempt, call, day)
        with self._db.write() as db:
            held(db, lease)
            if (before := _before(db, intent)) is not None:
                return _what_became(before, call)
            cost, cap = micros_at_most(call.at_most_usd), _cap(budget_usd)
            if not self._pay(db, (known.tenant, day.isoformat()), cost, cap, now):
                return Refusal.OVER_BUDGET
            self._remember(db, intent, cost)
        return intent

    def settle(self, intent: Intent, cost_usd: float, answer: str | None = None) -> None:
        with self._db.write() as db:
            made = _open_call(db, intent)
            if made is None:
                return
            db.execute(
                "UPDATE calls SET micro_usd = ?, answer = ?, settled = 1 WHERE id = ?",
                (micros(cost_usd), answer, made["id"]),
            )
            day = (intent.tenant, intent.day.isoformat())
            [its] = [s for s in _slices(db, day) if s.holder == made["holder"]]
            after = its.settled(made["micro_usd"], micros(cost_usd))
            _write(db, day, Paid(_taken(db, day) + after.granted - its.granted, after))

    def spent_usd(self, tenant: str, now: datetime) -> float:
        return self.day(tenant, now).spent_usd

    def day(self, tenant: str, now: datetime) -> DayOfMoney:
        with self._db.read() as db:
            return day_of_money(_slices(db, _day(tenant, now)), now)

    def give_back(self, now: datetime) -> None:
        with self._db.write() as db:
            mine = db.execute(
                "SELECT * FROM slices WHERE holder = ? AND granted > spent", (self._holder,)
            ).fetchall()
            for row in mine:
                day, its = (row["tenant"], row["day"]), one(row)
                _write(db, day, Paid(_taken(db, day) - its.rest, its.trimmed()))

    def _pay(self, db: Connection, day: Day, cost: int, cap: int | None, now: datetime) -> bool:
        every = _slices(db, day)
        mine = next((s for s in every if s.holder == self._holder), Slice(self._holder, now))
        others = [s for s in every if s.holder != self._holder]
        made = paid(_taken(db, day), mine, lambda: others, cost, cap, now)
        if made is not None:
            _write(db, day, made)
        return made is not None

    def _remember(self, db: Connection, intent: Intent, cost: int) -> None:
        made = db.execute(
            "INSERT INTO calls"
            " (recording_id, attempt, engine, task, tenant, day, micro_usd, segments, holder)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
            (
                *_key(intent),
                *(intent.tenant, intent.day.isoformat(), cost, _listed(intent.call)),
                self._holder,
            ),
        ).fetchone()
        db.executemany(
            "INSERT INTO called (recording_id, attempt, engine, task, segment, call_id)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            [(*_key(intent), segment, made["id"]) for segment in intent.call.segments],
        )


def _cap(budget_usd: float | None) -> int | None:
    return None if budget_usd is None else micros(budget_usd)


def _day(tenant: str, now: datetime) -> Day:
    return tenant, now.astimezone(UTC).date().isoformat()


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


def _open_call(db: Connection, intent: Intent) -> Row | None:
    row: Row | None = db.execute(
        "SELECT id, holder, micro_usd FROM calls WHERE settled = 0 AND id ="
        " (SELECT call_id FROM called WHERE recording_id = ? AND attempt = ?"
        " AND engine = ? AND task = ? AND segment = ?)",
        (*_key(intent), intent.call.segments[0]),
    ).fetchone()
    return row


def _taken(db: Connection, day: Day) -> int:
    row = db.execute("SELECT taken FROM money WHERE tenant = ? AND day = ?", day).fetchone()
    return int(row["taken"]) if row else 0


def _slices(db: Connection, day: Day) -> Sequence[Slice]:
    return slices(db, MONEY, day)


def _write(db: Connection, day: Day, made: Paid) -> None:
    db.execute("INSERT OR REPLACE INTO money VALUES (?, ?, ?)", (*day, made.taken))
    keep(db, MONEY, day, (made.mine, *made.trimmed))
