"""Implements `Actions` on Firestore."""

from datetime import datetime

from google.cloud.firestore_v1 import Client
from google.cloud.firestore_v1.base_query import FieldFilter

from shared.adapters.gcp.firestore_client import Commit, Documents
from shared.adapters.gcp.firestore_rows import ACTIONS, Row, await_seal, row
from shared.domain.audit import Action, Kind, Leaf
from shared.domain.moments import from_us, to_us


class FirestoreActions:
    """One document an action, under its random id, and one for the seal it waits for.

    IAM: roles/datastore.user, granted in terraform/stack/firestore.tf. Run on the
    Firestore emulator of the gcloud SDK.
    """

    def __init__(self, client: Client) -> None:
        self._db = Documents(client)

    def append(self, action: Action) -> None:
        commit: Commit = self._db.commit()
        commit.create(commit.at(ACTIONS, action.id), _fields(action))
        leaf = Leaf(Kind.ACTION, action.id, 0, action.commitment)
        await_seal(commit, action.tenant, leaf)
        self._db.try_to(commit)  # refused: it is there

    def page(
        self,
        tenant: str | None = None,
        *,
        before: tuple[datetime, str] | None = None,
        limit: int = 50,
    ) -> list[Action]:
        query = self._db.all_of(ACTIONS)
        if tenant is not None:
            query = query.where(filter=FieldFilter("tenant", "==", tenant))
        query = query.order_by("at_us", direction="DESCENDING")
        query = query.order_by("__name__", direction="DESCENDING")
        if before is not None:
            last = {"at_us": to_us(before[0]), "__name__": self._db.at(ACTIONS, before[1])}
            query = query.start_after(last)
        return [_action(one.id, row(one)) for one in self._db.found(query.limit(limit))]


def _fields(action: Action) -> Row:
    return {
        "tenant": action.tenant,
        "at_us": to_us(action.at),
        "actor": action.actor,
        "method": action.method,
        "route": action.route,
        "recording_id": action.recording_id,
        "status": action.status,
        "salt": action.salt,
        "commitment": action.commitment,
    }


def _action(action_id: str, fields: Row) -> Action:
    return Action(
        id=action_id,
        tenant=fields["tenant"],
        at=from_us(fields["at_us"]),
        actor=fields["actor"],
        method=fields["method"],
        route=fields["route"],
        recording_id=fields["recording_id"],
        status=fields["status"],
        salt=fields["salt"],
        commitment=fields["commitment"],
    )
