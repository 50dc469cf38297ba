"""Implements `ApiKeys` on Firestore."""

from datetime import date, datetime

from google.cloud.firestore_v1 import Client
from google.cloud.firestore_v1.base_query import FieldFilter

from shared.adapters.gcp.firestore_client import Commit, Documents, possible
from shared.adapters.gcp.firestore_rows import API_KEYS, Row, row
from shared.domain.api_keys import SHORT, ApiKey, Grant, Role, Scope
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

    def rotate(self, old: ApiKey, new: ApiKey) -> bool:
        def step(commit: Commit) -> bool:
            before, after = self._db.get_all(
                [self._db.at(API_KEYS, old.id), self._db.at(API_KEYS, new.id)]
            )
            known = _key(old.id, row(before)) if before.exists else None
            if known is None or known.revoked_at or known.rotated_to or after.exists:
                return False
            commit.change(before, {"expires_us": _us(old.expires_at), "rotated_to": new.id})
            commit.create(after.reference, _fields(new))
            return True

        return possible(old.id) and self._db.settle(step)

    def used(self, key_id: str, on: date) -> None:
        def step(commit: Commit) -> None:
            known = self._db.get(self._db.at(API_KEYS, key_id))
            if known.exists and (row(known)["used_on"] or "") < on.isoformat():
                commit.change(known, {"used_on": on.isoformat()})

        if possible(key_id):
            self._db.settle(step)


def _us(at: datetime | None) -> int | None:
    return None if at is None else to_us(at)


def _at(us: int | None) -> datetime | None:
    return None if us is None else from_us(us)


def _fields(key: ApiKey) -> Row:
    narrowed = key.grant.narrowed
    return {
        "tenant": key.tenant,
        "role": key.grant.role.value,
        "scopes": None if narrowed is None else sorted(narrowed),
        "name": key.name,
        "digest": key.digest,
        "made_us": to_us(key.made_at),
        "revoked_us": _us(key.revoked_at),
        "used_on": key.used_on and key.used_on.isoformat(),
        "expires_us": _us(key.expires_at),
        "rotated_to": key.rotated_to,
    }


def _grant(fields: Row) -> Grant:
    """Documents written before there were roles have one word instead."""
    if "role" not in fields:
        return SHORT[fields["scope"]]
    scopes: list[str] | None = fields["scopes"]
    return Grant(Role(fields["role"]), None if scopes is None else frozenset(map(Scope, scopes)))


def _key(key_id: str, fields: Row) -> ApiKey:
    return ApiKey(
        id=key_id,
        tenant=fields["tenant"],
        grant=_grant(fields),
        name=fields["name"],
        digest=fields["digest"],
        made_at=from_us(fields["made_us"]),
        revoked_at=_at(fields["revoked_us"]),
        used_on=fields["used_on"] and date.fromisoformat(fields["used_on"]),
        expires_at=_at(fields.get("expires_us")),
        rotated_to=fields.get("rotated_to"),
    )
