"""Implements `Outbox` on Firestore."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from google.cloud.firestore_v1 import Client
from google.cloud.firestore_v1.base_query import FieldFilter

from shared.adapters.gcp.firestore_client import Commit, Documents, Snapshot
from shared.adapters.gcp.firestore_rows import OUTBOX, RECORDINGS, message, move
from shared.domain.recording import LANE_TOPIC, Message, Moved
from shared.domain.states import State

_TICKETS = frozenset(LANE_TOPIC.values())


class FirestoreOutbox:
    """One document a message, gone once it was published.

    Oldest first is by the server's clock, which Firestore rounds to milliseconds in fields;
    within one, by the document's own time. Deleted documents leave marks that a reader of the
    oldest steps over for a while: cheap, as the outbox is drained every minute.

    IAM: roles/datastore.user, granted in terraform/stack/firestore.tf. Run on the
    Firestore emulator of the gcloud SDK.
    """

    def __init__(self, client: Client) -> None:
        self._db = Documents(client)

    def pending(self, recording_id: str | None = None, limit: int = 100) -> list[Message]:
        query = self._db.all_of(OUTBOX)
        if recording_id is not None:
            query = query.where(filter=FieldFilter("recording_id", "==", recording_id))
        found = self._db.found(query.order_by("laid").order_by("number").limit(limit))
        return [message(one) for one in sorted(found, key=_age)]

    def sent(self, messages: Sequence[Message], now: datetime) -> None:
        of_recordings: dict[str, list[Message]] = defaultdict(list)
        rest: list[Message] = []
        for one in messages:
            (of_recordings[one.recording_id] if one.topic in _TICKETS else rest).append(one)
        self._db.settle(lambda commit: _forget(commit, rest))
        for recording_id, tickets in of_recordings.items():
            self._rung(recording_id, tickets, now)

    def _rung(self, recording_id: str, tickets: Sequence[Message], now: datetime) -> None:
        def step(commit: Commit) -> None:
            known = self._db.get(self._db.at(RECORDINGS, recording_id))
            if known.exists and known.get("state") == State.RECEIVED:
                reason = f"rang for lane {tickets[0].body['lane']}"
                move(commit, known, Moved(State.QUEUED, now, "outbox", reason))
            _forget(commit, tickets)

        self._db.settle(step)


def _age(found: Snapshot) -> tuple[object, int]:
    return found.create_time, found.get("number")


def _forget(commit: Commit, messages: Sequence[Message]) -> None:
    for one in messages:
        commit.drop(commit.at(OUTBOX, one.event_id))
