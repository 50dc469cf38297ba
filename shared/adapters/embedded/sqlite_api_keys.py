"""Implements `ApiKeys` on SQLite."""

from datetime import date, datetime
from sqlite3 import Row

from shared.adapters.embedded.sqlite_database import Database, from_us, to_us
from shared.domain.api_keys import ApiKey, Scope
from shared.errors import NotFound


class SqliteApiKeys:
    """One row a key."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def add(self, key: ApiKey) -> bool:
        with self._db.write() as db:
            made = db.execute(
                "INSERT INTO api_keys VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
                _row(key),
            )
            return made.rowcount == 1

    def get(self, key_id: str) -> ApiKey | None:
        with self._db.read() as db:
            row = db.execute("SELECT * FROM api_keys WHERE id = ?", (key_id,)).fetchone()
        return row and _key(row)

    def all(self, tenant: str | None = None) -> list[ApiKey]:
        asked = "SELECT * FROM api_keys WHERE ? IS NULL OR tenant = ? ORDER BY made_us DESC, id"
        with self._db.read() as db:
            return [_key(row) for row in db.execute(asked, (tenant, tenant))]

    def revoke(self, key_id: str, at: datetime) -> ApiKey:
        with self._db.write() as db:
            db.execute(
                "UPDATE api_keys SET revoked_us = ? WHERE id = ? AND revoked_us IS NULL",
                (to_us(at), key_id),
            )
        found = self.get(key_id)
        if found is None:
            raise NotFound
        return found

    def used(self, key_id: str, on: date) -> None:
        with self._db.write() as db:
            db.execute(
                "UPDATE api_keys SET used_on = ?1 WHERE id = ?2"
                " AND (used_on IS NULL OR used_on < ?1)",
                (on.isoformat(), key_id),
            )


def _row(key: ApiKey) -> tuple[object, ...]:
    revoked_us = to_us(key.revoked_at) if key.revoked_at else None
    used_on = key.used_on and key.used_on.isoformat()
    made_us = to_us(key.made_at)
    return (key.id, key.tenant, key.scope, key.name, key.digest, made_us, revoked_us, used_on)


def _key(row: Row) -> ApiKey:
    return ApiKey(
        id=row["id"],
        tenant=row["tenant"],
        scope=Scope(row["scope"]),
        name=row["name"],
        digest=row["digest"],
        made_at=from_us(row["made_us"]),
        revoked_at=None if row["revoked_us"] is None else from_us(row["revoked_us"]),
        used_on=row["used_on"] and date.fromisoformat(row["used_on"]),
    )
