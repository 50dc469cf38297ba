"""Implements `Tenants` on Firestore."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime

from google.cloud.firestore_v1 import Client

from shared.adapters.gcp.firestore_client import Commit, Documents, possible
from shared.adapters.gcp.firestore_rows import TENANTS, Row, ledger, row, write_ledger
from shared.domain.moments import from_us, to_us
from shared.domain.recording import Ledger
from shared.domain.tenants import Tenant, Tier


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
                noted = {"resettle": True} if moved else {}
                commit.change(known, {**_rules(tenant), **noted})
            else:
                commit.create(known.reference, _fields(tenant))

        self._db.settle(step)

    def ensure(self, tenant: str, tier: Tier, at: datetime) -> bool:
        def step(commit: Commit) -> bool:
            known = self._db.get(self._db.at(TENANTS, tenant))
            if not known.exists:
                commit.create(known.reference, _fields(Tenant(tenant, tier, at)))
            return not known.exists

        return self._db.settle(step)

    def all(self) -> list[Tenant]:
        found = self._db.found(self._db.all_of(TENANTS).order_by("__name__"))
        return [tenant_of(one.id, row(one)) for one in found]

    def charge(self, tenant: str, charged: Callable[[Ledger], Ledger]) -> None:
        def step(commit: Commit) -> None:
            known = self._db.get(self._db.at(TENANTS, tenant))
            write_ledger(commit, known, charged(ledger(known)))

        self._db.settle(step)


def _rules(tenant: Tenant) -> Row:
    return {
        "tier": tenant.tier.value,
        "overrides": dict(tenant.overrides),
        "fallback": tenant.fallback,
        "profile": tenant.profile,
        "residency": tenant.residency,
    }


def _fields(tenant: Tenant) -> Row:
    return {
        **_rules(tenant),
        "created_us": to_us(tenant.created_at),
        "ledger": asdict(Ledger()),
    }


def tenant_of(name: str, fields: Row) -> Tenant:
    overrides = tuple(sorted(fields["overrides"].items()))
    # Documents written before there were fallbacks, profiles or residency have no such field.
    created, fallback = from_us(fields["created_us"]), bool(fields.get("fallback"))
    profile: str | None = fields.get("profile")
    stays = bool(fields.get("residency"))
    return Tenant(name, Tier(fields["tier"]), created, overrides, fallback, profile, stays)
