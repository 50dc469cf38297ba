"""Implements `Tenants` on SQLite."""

import json
from datetime import datetime
from sqlite3 import Connection, Row

import msgspec

from shared.adapters.embedded.sqlite_database import Database, from_us, to_us
from shared.domain.recording import Ledger
from shared.domain.retention import walk
from shared.domain.tenants import OverQuotaPolicy, Tenant, Tier

_INSERT = (
    "INSERT INTO tenants"
    " (id, tier, overrides, created_us, fallback, profile, residency, over_quota, ledger)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, '{}') ON CONFLICT (id)"
)


class SqliteTenants:
    """One row a tenant; its ledger is written inside intake's commit, too."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def get(self, tenant: str) -> Tenant | None:
        with self._db.read() as db:
            row = db.execute("SELECT * FROM tenants WHERE id = ?", (tenant,)).fetchone()
        return row and tenant_of(row)

    def put(self, tenant: Tenant) -> None:
        with self._db.write() as db:
            row = db.execute("SELECT * FROM tenants WHERE id = ?", (tenant.id,)).fetchone()
            moved = row is not None and not tenant_of(row).keeps_as(tenant)
            db.execute(
                f"{_INSERT} DO UPDATE SET tier = excluded.tier, overrides = excluded.overrides,"
                " fallback = excluded.fallback, profile = excluded.profile,"
                " residency = excluded.residency, over_quota = excluded.over_quota",
                _row(tenant),
            )
            if moved:
                unsettle(db, tenant.id)

    def ensure(self, tenant: str, tier: Tier, at: datetime) -> bool:
        if self.get(tenant) is not None:
            return False
        with self._db.write() as db:
            gone = "SELECT 1 FROM erasures WHERE tenant = ? AND recording_id IS NULL LIMIT 1"
            if db.execute(gone, (tenant,)).fetchone():
                return False
            made = db.execute(
                f"{_INSERT} DO NOTHING",
                _row(Tenant(tenant, tier, at)),
            )
            return made.rowcount == 1

    def all(self) -> list[Tenant]:
        with self._db.read() as db:
            return [tenant_of(row) for row in db.execute("SELECT * FROM tenants ORDER BY id")]


def _row(tenant: Tenant) -> tuple[str | int | None, ...]:
    overrides, created_us = json.dumps(dict(tenant.overrides)), to_us(tenant.created_at)
    fallback, profile = int(tenant.fallback), tenant.profile
    named = (tenant.id, tenant.tier.value, overrides, created_us)
    return *named, fallback, profile, int(tenant.residency), tenant.over_quota.value


def tenant_of(row: Row) -> Tenant:
    return Tenant(
        id=row["id"],
        tier=Tier(row["tier"]),
        created_at=from_us(row["created_us"]),
        overrides=tuple(sorted(json.loads(row["overrides"]).items())),
        fallback=bool(row["fallback"]),
        profile=row["profile"],
        residency=bool(row["residency"]),
        over_quota=OverQuotaPolicy(row["over_quota"]),
    )


def unsettle(db: Connection, tenant: str) -> None:
    """Its recordings are to be settled, all of them from the first one on."""
    db.execute("UPDATE tenants SET resettle = 1 WHERE id = ?", (tenant,))
    db.execute("DELETE FROM bookmarks WHERE name = ?", (walk(tenant),))


def ledger(db: Connection, tenant: str) -> Ledger:
    """What the tenant has used; an unknown tenant has used nothing."""
    row = db.execute("SELECT ledger FROM tenants WHERE id = ?", (tenant,)).fetchone()
    return Ledger(**json.loads(row["ledger"])) if row else Ledger()


def write_ledger(db: Connection, tenant: str, after: Ledger) -> None:
    kept = msgspec.json.encode(after).decode()
    db.execute("UPDATE tenants SET ledger = ? WHERE id = ?", (kept, tenant))
