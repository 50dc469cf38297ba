"""Implements `Tenants` on Firestore."""

from dataclasses import asdict
from datetime import datetime

from google.cloud.firestore_v1 import Client
from google.cloud.firestore_v1.base_query import FieldFilter

from shared.adapters.gcp.firestore_bookmarks import place_of
from shared.adapters.gcp.firestore_client import Commit, Documents, possible
from shared.adapters.gcp.firestore_rows import ERASURES, TENANTS, Row, row
from shared.domain.moments import from_us, to_us
from shared.domain.recording import Ledger
from shared.domain.retention import walk
from shared.domain.tenants import OverQuotaPolicy, Tenant, Tier


class FirestoreTenants:
    """One document a tenant; its ledger is written inside intake's commit, too.

    IAM: roles/datastore.user, granted in terraform/stack/firestore.tf. Run on the
    Firestore emulator of the gcloud SDK.
    """

    def __init__(self, client: Client) -> None:
        self._db = Documents(client)

    def get(self, tenant: str) -> Tenant | None:
        if not possible(tenant):
            return None
        found = self._db.get(self._db.at(TENANTS, tenant))
        return tenant_of(tenant, row(found)) if found.exists else None

    def put(self, tenant: Tenant) -> None:
        def step(commit: Commit) -> None:
            known = self._db.get(self._db.at(TENANTS, tenant.id))
            if known.exists:
                moved = not tenant_of(tenant.id, row(known)).keeps_as(tenant)
                noted = unsettled(commit, tenant.id) if moved else {}
                commit.change(known, {**_rules(tenant), **noted})
            else:
                commit.create(known.reference, _fields(tenant))

        self._db.settle(step)

    def ensure(self, tenant: str, tier: Tier, at: datetime) -> bool:
        def step(commit: Commit) -> bool:
            known = self._db.get(self._db.at(TENANTS, tenant))
            if known.exists or self._erased(tenant):
                return False
            commit.create(known.reference, _fields(Tenant(tenant, tier, at)))
            return True

        return self._db.settle(step)

    def _erased(self, tenant: str) -> bool:
        query = self._db.all_of(ERASURES)
        for field, value in (("tenant", tenant), ("recording_id", None)):
            query = query.where(filter=FieldFilter(field, "==", value))
        return bool(self._db.found(query.select([]).limit(1)))

    def all(self) -> list[Tenant]:
        found = self._db.found(self._db.all_of(TENANTS).order_by("__name__"))
        return [tenant_of(one.id, row(one)) for one in found]


def unsettled(commit: Commit, tenant: str) -> Row:
    """Its recordings are to be settled, all of them from the first one on."""
    commit.drop(commit.at(*place_of(walk(tenant))))
    return {"resettle": True}


def _rules(tenant: Tenant) -> Row:
    return {
        "tier": tenant.tier.value,
        "overrides": dict(tenant.overrides),
        "fallback": tenant.fallback,
        "profile": tenant.profile,
        "residency": tenant.residency,
        "over_quota": tenant.over_quota.value,
    }


def _fields(tenant: Tenant) -> Row:
    return {
        **_rules(tenant),
        "created_us": to_us(tenant.created_at),
        "ledger": asdict(Ledger()),
    }


def tenant_of(name: str, fields: Row) -> Tenant:
    """Documents written before there were fallbacks, profiles, residency or policies lack those."""
    return Tenant(
        id=name,
        tier=Tier(fields["tier"]),
        created_at=from_us(fields["created_us"]),
        overrides=tuple(sorted(fields["overrides"].items())),
        fallback=bool(fields.get("fallback")),
        profile=fields.get("profile"),
        residency=bool(fields.get("residency")),
        over_quota=OverQuotaPolicy(fields.get("over_quota", OverQuotaPolicy.DEFER)),
    )
