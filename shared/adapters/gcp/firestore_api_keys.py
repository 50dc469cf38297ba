"""Implements `ApiKeys` on Firestore."""

from datetime import date, datetime

from google.cloud.firestore_v1 import Client
from google.cloud.firestore_v1.base_query import FieldFilter

from shared.adapters.gcp.firestore_client import Commit, Documents, possible
from shared.adapters.gcp.firestore_rows import API_KEYS, Row, row
from shared.domain.api_keys import ApiKey, Scope
from shared.domain.moments import from_us, to_us
from shared.errors import NotFound


class FirestoreApiKeys:
    """One document a key, under its id.

    IAM: roles/datastore.user, granted in terraform/stack/firestore.tf. Run on the
    Firestore emulator of the gcloud SDK.
    """

    def __init__(self, client: Client) -> None:
        self._db = Documents(client)

    def add(self, key: ApiKey) -> bool:
        def step(commit: Commit) -> bool:
            known = self._db.get(self._db.at(API_KEYS, key.id))
            if not known.exists:
                commit.create(known.reference, _fields(key))
            return not known.exists

        return self._db.settle(step)

    def get(self, key_id: str) -> ApiKey | None:
        if not possible(key_id):
            return None
        found = self._db.get(self._db.at(API_KEYS, key_id))
        return _key(key_id, row(found)) if found.exists else None

    def all(self, tenant: str | None = None) -> list[ApiKey]:
        query = self._db.all_of(API_KEYS)
        if tenant is not None:
            query = query.where(filter=FieldFilter("tenant", "==", tenant))
        found = [_key(one.id, row(one)) for one in self._db.found(query)]
        return sorted(found, key=lambda key: (-key.made_at.timestamp(), key.id))

    def revoke(self, key_id: str, at: datetime) -> ApiKey:
        def step(commit: Commit) -> None:
            known = self._db.get(self._db.at(API_KEYS, key_id))
            if known.exists and row(known)["revoked_us"] is None:
                commit.change(known, {"revoked_us": to_us(at)})

        found = self.get(key_id)
        if found is None:
            raise NotFound
        self._db.settle(step)
        return self.get(key_id) or found

    def used(self, key_id: str, on: date) -> None:
        def step(commit: Commit) -> None:
            known = self._db.get(self._db.at(API_KEYS, key_id))
            if known.exists and (row(known)["used_on"] or "") < on.isoformat():
                commit.change(known, {"used_on": on.isoformat()})

        if possible(key_id):
            self._db.settle(step)


def _fields(key: ApiKey) -> Row:
    return {
        "tenant": key.tenant,
        "scope": key.scope.value,
        "name": key.name,
        "digest": key.digest,
        "made_us": to_us(key.made_at),
        "revoked_us": to_us(key.revoked_at) if key.revoked_at else None,
        "used_on": key.used_on and key.used_on.isoformat(),
    }


def _key(key_id: str, fields: Row) -> ApiKey:
    return ApiKey(
        id=key_id,
        tenant=fields["tenant"],
        scope=Scope(fields["scope"]),
        name=fields["name"],
        digest=fields["digest"],
        made_at=from_us(fields["made_us"]),
        revoked_at=None if fields["revoked_us"] is None else from_us(fields["revoked_us"]),
        used_on=fields["used_on"] and date.fromisoformat(fields["used_on"]),
    )
