"""Implements `Quotas` on SQLite."""

from datetime import datetime

from shared.adapters.embedded.sqlite_database import Database
from shared.adapters.embedded.sqlite_slices import SOUND, keep, slices
from shared.adapters.embedded.sqlite_tenants import ledger, write_ledger
from shared.domain.quotas import DayOfSound, Portion, day_of_sound, portion, settled, today
from shared.domain.slices import Slice
from shared.errors import UnknownTenant


class SqliteQuotas:
    """A row a slice; what all of them come to stands in the tenant's ledger."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def take(
        self, tenant: str, held: Portion, cost_ms: int, limit_s: float | None, now: datetime
    ) -> Portion | None:
        with self._db.write() as db:
            if not db.execute("SELECT 1 FROM tenants WHERE id = ?", (tenant,)).fetchone():
                raise UnknownTenant
            before = today(ledger(db, tenant), now)
            known = _mine(slices(db, SOUND, (tenant, before.day)), held)
            made = portion(before, held, known, cost_ms, limit_s, now)
            if made is None:
                return None
            after, fresh = made
            write_ledger(db, tenant, after)
            # Used by the call that takes it, and told with the next one.
            keep(db, SOUND, (tenant, fresh.day), [fresh.as_told])
            return fresh

    def settle(self, tenant: str, held: Portion, *, rest: bool) -> None:
        with self._db.write() as db:
            before, kept = ledger(db, tenant), slices(db, SOUND, (tenant, held.day))
            known = _mine(kept, held)
            if known not in kept:
                return  # erased with its tenant
            after, mine = settled(before, held, known, rest=rest)
            if after != before:
                write_ledger(db, tenant, after)
            if mine != known:
                keep(db, SOUND, (tenant, held.day), [mine])

    def day(self, tenant: str, now: datetime) -> DayOfSound:
        with self._db.read() as db:
            known = today(ledger(db, tenant), now)
            return day_of_sound(known, slices(db, SOUND, (tenant, known.day)), now)


def _mine(found: list[Slice], held: Portion) -> Slice:
    """The slice as it is kept, or an empty one."""
    holder = held.mine.holder
    return next((s for s in found if s.holder == holder), Slice(holder, held.mine.until))
