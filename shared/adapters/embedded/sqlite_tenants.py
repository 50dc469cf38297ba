"""Implements `Tenants` on SQLite."""

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from sqlite3 import Connection, Row

from shared.adapters.embedded.sqlite_database import Database, from_us, to_us
from shared.domain.recording import Ledger
from shared.domain.tenants import Tenant, Tier

_INSERT = (
    "INSERT INTO tenants (id, tier, overrides, created_us, fallback, profile, residency, ledger)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, '{}') ON CONFLICT (id)"
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
                " residency = excluded.residency",
                _row(tenant),
            )
            if moved:
                db.execute("UPDATE tenants SET resettle = 1 WHERE id = ?", (tenant.id,))

    def ensure(self, tenant: str, tier: Tier, at: datetime) -> bool:
        if self.get(tenant) is not None:
            return False
        with self._db.write() as db:
            made = db.execute(
                f"{_INSERT} DO NOTHING",
                _row(Tenant(tenant, tier, at)),
            )
            return made.rowcount == 1

    def all(self) -> list[Tenant]:
        with self._db.read() as db:
            return [tenant_of(row) for row in db.execute("SELECT * FROM tenants ORDER BY id")]

    def charge(self, tenant: str, charged: Callable[[Ledger], Ledger]) -> None:
        with self._db.write() as db:
            write_ledger(db, tenant, charged(ledger(db, tenant)))


def _row(tenant: Tenant) -> tuple[str, str, str, int, int, str | None, int]:
    overrides, created_us = json.dumps(dict(tenant.overrides)), to_us(tenant.created_at)
    fallback, profile = int(tenant.fallback), tenant.profile
    named = (tenant.id, tenant.tier.value, overrides, created_us)
    return *named, fallback, profile, int(tenant.residency)


def tenant_of(row: Row) -> Tenant:
    overrides = tuple(sorted(json.loads(row["overrides"]).items()))
    created, fallback = from_us(row["created_us"]), bool(row["fallback"])
    stays = bool(row["residency"])
    return Tenant(row["id"], Tier(row["tier"]), created, overrides, fallback, row["profile"], stays)


def ledger(db: Connection, tenant: str) -> Ledger:
    """What the tenant has used; an unknown tenant has used nothing."""
    row = db.execute("SELECT ledger FROM tenants WHERE id = ?", (tenant,)).fetchone()
    return Ledger(**json.loads(row["ledger"])) if row else Ledger()


def write_ledger(db: Connection, tenant: str, after: Ledger) -> None:
    db.execute("UPDATE tenants SET ledger = ? WHERE id = ?", (json.dumps(asdict(after)), tenant))
