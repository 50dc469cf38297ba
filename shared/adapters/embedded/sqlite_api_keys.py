"""Implements `ApiKeys` on SQLite."""

from datetime import date, datetime
from sqlite3 import Row

from shared.adapters.embedded.sqlite_database import Database, from_us, to_us
from shared.domain.api_keys import ApiKey, Grant, Role, Scope
from shared.errors import NotFound

_INSERT = (
    "INSERT INTO api_keys (id, tenant, role, scopes, name, digest, made_us, revoked_us, used_on,"
    " expires_us, rotated_to) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"
)


class SqliteApiKeys:
    """One row a key."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def add(self, key: ApiKey) -> bool:
        with self._db.write() as db:
            return db.execute(_INSERT, _row(key)).rowcount == 1

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

    def rotate(self, old: ApiKey, new: ApiKey) -> bool:
        with self._db.write() as db:
            if db.execute(_INSERT, _row(new)).rowcount == 0:
                return False
            changed = db.execute(
                "UPDATE api_keys SET expires_us = ?, rotated_to = ? WHERE id = ?"
                " AND rotated_to IS NULL AND revoked_us IS NULL",
                (_us(old.expires_at), new.id, old.id),
            )
            if changed.rowcount == 0:
                db.execute("DELETE FROM api_keys WHERE id = ?", (new.id,))
            return changed.rowcount == 1

    def used(self, key_id: str, on: date) -> None:
        with self._db.write() as db:
            db.execute(
                "UPDATE api_keys SET used_on = ?1 WHERE id = ?2"
                " AND (used_on IS NULL OR used_on < ?1)",
                (on.isoformat(), key_id),
            )


def _us(at: datetime | None) -> int | None:
    return None if at is None else to_us(at)


def _at(us: int | None) -> datetime | None:
    return None if us is None else from_us(us)


def _row(key: ApiKey) -> tuple[object, ...]:
    narrowed = key.grant.narrowed
    return (
        *(key.id, key.tenant, key.grant.role.value),
        None if narrowed is None else " ".join(sorted(narrowed)),
        *(key.name, key.digest, to_us(key.made_at), _us(key.revoked_at)),
        *(key.used_on and key.used_on.isoformat(), _us(key.expires_at), key.rotated_to),
    )


def _key(row: Row) -> ApiKey:
    scopes: str | None = row["scopes"]
    narrowed = None if scopes is None else frozenset(map(Scope, scopes.split()))
    return ApiKey(
        id=row["id"],
        tenant=row["tenant"],
        grant=Grant(Role(row["role"]), narrowed),
        name=row["name"],
        digest=row["digest"],
        made_at=from_us(row["made_us"]),
        revoked_at=_at(row["revoked_us"]),
        used_on=row["used_on"] and date.fromisoformat(row["used_on"]),
        expires_at=_at(row["expires_us"]),
        rotated_to=row["rotated_to"],
    )
