"""Implements `Quotas` on Firestore."""

from datetime import date, datetime

from google.cloud.firestore_v1 import Client, DocumentReference

from shared.adapters.gcp.firestore_client import Commit, Documents, Snapshot, possible
from shared.adapters.gcp.firestore_rows import (
    DAYS,
    SLICES,
    TENANTS,
    ledger,
    write_ledger,
)
from shared.adapters.gcp.firestore_slices import expires, lay, slice_at, slice_of, slice_row
from shared.domain.quotas import DayOfSound, Portion, day_of, day_of_sound, portion, settled, today
from shared.errors import UnknownTenant


class FirestoreQuotas:
    """A document a slice below its day; what all of them come to stands in the tenant's ledger.

    The tenant's document, which takes about one sustained write a second and which intake writes
    for each upload, is written once a slice (`slices.SOUND`) and process.

    IAM: roles/datastore.user, granted in terraform/stack/firestore.tf. Run on the
    Firestore emulator of the gcloud SDK.
    """

    def __init__(self, client: Client) -> None:
        self._db = Documents(client)

    def take(
        self, tenant: str, held: Portion, cost_ms: int, limit_s: float | None, now: datetime
    ) -> Portion | None:
        def step(commit: Commit) -> Portion | None:
            known, whole, mine, day = self._seen(tenant, held, now)
            if not known.exists:
                raise UnknownTenant
            before = slice_of(mine, held.mine.holder, now)
            made = portion(today(ledger(known), now), held, before, cost_ms, limit_s, now)
            if made is None:
                return None
            after, fresh = made
            write_ledger(commit, known, after)
            if not whole.exists:
                # By its days an erasure finds a tenant's slices.
                commit.put(whole.reference, {"expires": expires(day)})
            # Used by the call that takes it, and told with the next one.
            lay(commit, mine, slice_row(fresh.as_told, day))
            return fresh

        return self._db.settle(step)

    def settle(self, tenant: str, held: Portion, *, rest: bool) -> None:
        def step(commit: Commit) -> None:
            day = date.fromisoformat(held.day)
            known, _, mine = self._read(tenant, held, held.day)
            if not known.exists or not mine.exists:
                return
            kept = slice_of(mine, held.mine.holder, held.mine.until)
            before = ledger(known)
            after, its = settled(before, held, kept, rest=rest)
            if its != kept:
                commit.change(mine, slice_row(its, day))
            if after != before:
                write_ledger(commit, known, after)

        self._db.settle(step)

    def day(self, tenant: str, now: datetime) -> DayOfSound:
        if not possible(tenant):
            return DayOfSound()
        known = self._db.get(self._db.at(TENANTS, tenant))
        told = today(ledger(known), now)
        found = self._db.found(self._day_at(tenant, told.day).collection(SLICES)._query())
        return day_of_sound(told, [slice_of(one, one.id, now) for one in found], now)

    def _seen(
        self, tenant: str, held: Portion, now: datetime
    ) -> tuple[Snapshot, Snapshot, Snapshot, date]:
        """Tenant, day and slice of the ledger's day, which a clock set back does not change."""
        day = day_of(now)
        seen = self._read(tenant, held, day)
        if seen[0].exists and (later := ledger(seen[0]).day) > day:
            day = later
            seen = self._read(tenant, held, day)
        return *seen, date.fromisoformat(day)

    def _read(self, tenant: str, held: Portion, day: str) -> tuple[Snapshot, Snapshot, Snapshot]:
        whole = self._day_at(tenant, day)
        at = slice_at(whole, held.mine.holder)
        known, of_day, mine = self._db.get_all([self._db.at(TENANTS, tenant), whole, at])
        return known, of_day, mine

    def _day_at(self, tenant: str, day: str) -> DocumentReference:
        """Beside the day's money, whose slices lie below the date alone."""
        return self._db.at(TENANTS, tenant, DAYS, f"{day}.heard")
