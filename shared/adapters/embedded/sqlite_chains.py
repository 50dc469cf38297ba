"""Implements `Chains` on SQLite."""

from collections.abc import Sequence
from sqlite3 import Connection, Row

from shared.adapters.embedded.sqlite_database import Database
from shared.adapters.embedded.sqlite_rows import moved
from shared.domain.audit import Chain, Kind, Leaf, Link


class SqliteChains:
    """The history as it lies there, and a row for whatever waits for a seal."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def page(self, tenant: str, after: str | None = None, limit: int = 100) -> list[Chain]:
        with self._db.read() as db:
            rows = db.execute(
                "SELECT id, moves, head FROM recordings WHERE tenant = ? AND id > ?"
                " ORDER BY id LIMIT ?",
                (tenant, after or "", limit),
            ).fetchall()
            return [_chain(db, row) for row in rows]

    def tenants(self) -> list[str]:
        with self._db.read() as db:
            rows = db.execute("SELECT DISTINCT tenant FROM unsealed ORDER BY tenant").fetchall()
        return [row["tenant"] for row in rows]

    def waiting(self, tenant: str, limit: int | None = None) -> list[Leaf]:
        with self._db.read() as db:
            rows = db.execute(
                "SELECT * FROM unsealed WHERE tenant = ? ORDER BY kind, id, seq LIMIT ?",
                (tenant, -1 if limit is None else limit),
            ).fetchall()
        return [Leaf(Kind(r["kind"]), r["id"], r["seq"], r["digest"]) for r in rows]

    def sealed(self, tenant: str, leaves: Sequence[Leaf]) -> None:
        with self._db.write() as db:
            db.executemany(
                "DELETE FROM unsealed WHERE tenant = ? AND kind = ? AND id = ? AND seq = ?",
                [(tenant, leaf.kind.value, leaf.id, leaf.seq) for leaf in leaves],
            )


def _chain(db: Connection, known: Row) -> Chain:
    lines = db.execute(
        "SELECT * FROM history WHERE recording_id = ? ORDER BY seq", (known["id"],)
    ).fetchall()
    return Chain(known["id"], known["moves"], known["head"], tuple(_link(one) for one in lines))


def _link(row: Row) -> Link:
    return Link(row["seq"], moved(row), row["salt"], row["commitment"], row["head"])
