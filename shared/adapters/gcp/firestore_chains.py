"""Implements `Chains` on Firestore."""

from collections.abc import Sequence

from google.cloud.firestore_v1 import Client
from google.cloud.firestore_v1.base_query import FieldFilter

from shared.adapters.gcp.firestore_client import Documents, Snapshot
from shared.adapters.gcp.firestore_rows import (
    HISTORY,
    RECORDINGS,
    UNSEALED,
    moved,
    row,
    unsealed_id,
)
from shared.domain.audit import Chain, Kind, Leaf, Link

#: Documents deleted in one commit.
_MOST = 400


class FirestoreChains:
    """The history as it lies there, and a document for whatever waits for a seal.

    Those documents are gone once it came; marks of deleted ones slow a reader of the first for a
    while, which is cheap, as they are read every minute.

    IAM: roles/datastore.user, granted in terraform/stack/firestore.tf. Run on the
    Firestore emulator of the gcloud SDK.
    """

    def __init__(self, client: Client) -> None:
        self._db = Documents(client)

    def page(self, tenant: str, after: str | None = None, limit: int = 100) -> list[Chain]:
        query = self._db.all_of(RECORDINGS)
        query = query.where(filter=FieldFilter("tenant", "==", tenant)).order_by("__name__")
        if after is not None:
            query = query.start_after({"__name__": self._db.at(RECORDINGS, after)})
        found = self._db.found(query.select(["moves", "head"]).limit(limit))
        return [self._chain(one) for one in found]

    def _chain(self, known: Snapshot) -> Chain:
        lines = self._db.all_of(f"{RECORDINGS}/{known.id}/{HISTORY}").order_by("seq")
        links = tuple(_link(one) for one in self._db.found(lines))
        return Chain(known.id, row(known)["moves"], row(known).get("head"), links)

    def tenants(self) -> list[str]:
        """One read a tenant: each time the first document behind the last tenant's."""
        found = list[str]()
        query = self._db.all_of(UNSEALED).order_by("tenant").select(["tenant"]).limit(1)
        while first := self._db.found(query.start_after({"tenant": found[-1]}) if found else query):
            found.append(first[0].get("tenant"))
        return found

    def waiting(self, tenant: str, limit: int | None = None) -> list[Leaf]:
        query = self._db.all_of(UNSEALED)
        query = query.where(filter=FieldFilter("tenant", "==", tenant))
        found = self._db.found(query if limit is None else query.limit(limit))
        return sorted(_leaf(one) for one in found)

    def sealed(self, tenant: str, leaves: Sequence[Leaf]) -> None:
        for begin in range(0, len(leaves), _MOST):
            commit = self._db.commit()
            for leaf in leaves[begin : begin + _MOST]:
                commit.drop(commit.at(UNSEALED, unsealed_id(leaf)))
            self._db.try_to(commit)


def _link(found: Snapshot) -> Link:
    fields = row(found)
    held = (fields.get("salt"), fields.get("commitment"), fields.get("head"))
    return Link(fields["seq"], moved(fields), *held)


def _leaf(found: Snapshot) -> Leaf:
    fields = row(found)
    return Leaf(Kind(fields["kind"]), fields["of"], fields["seq"], fields["digest"])
