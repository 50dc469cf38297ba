"""Implements `Actions` on SQLite."""

from datetime import datetime
from sqlite3 import Row

from shared.adapters.embedded.sqlite_database import Database, from_us, to_us
from shared.adapters.embedded.sqlite_rows import await_seal
from shared.domain.audit import Action, Kind, Leaf


class SqliteActions:
    """One row an action."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def append(self, action: Action) -> None:
        with self._db.write() as db:
            made = db.execute(
                "INSERT INTO actions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (id) DO NOTHING",
                _row(action),
            )
            if made.rowcount == 1:
                leaf = Leaf(Kind.ACTION, action.id, 0, action.commitment)
                await_seal(db, action.tenant, leaf)

    def page(
        self,
        tenant: str | None = None,
        *,
        before: tuple[datetime, str] | None = None,
        limit: int = 50,
    ) -> list[Action]:
        where, values = ["1"], list[object]()
        if tenant is not None:
            where.append("tenant = ?")
            values.append(tenant)
        if before is not None:
            where.append("(at_us, id) < (?, ?)")
            values += [to_us(before[0]), before[1]]
        query = (
            f"SELECT * FROM actions WHERE {' AND '.join(where)}"  # noqa: S608  # fixed words
            " ORDER BY at_us DESC, id DESC LIMIT ?"
        )
        with self._db.read() as db:
            return [_action(row) for row in db.execute(query, (*values, limit))]


def _row(a: Action) -> tuple[object, ...]:
    about = (a.method, a.route, a.recording_id, a.status)
    return (a.id, a.tenant, to_us(a.at), a.actor, *about, a.salt, a.commitment)


def _action(row: Row) -> Action:
    return Action(
        id=row["id"],
        tenant=row["tenant"],
        at=from_us(row["at_us"]),
        actor=row["actor"],
        method=row["method"],
        route=row["route"],
        recording_id=row["recording_id"],
        status=row["status"],
        salt=row["salt"],
        commitment=row["commitment"],
    )
