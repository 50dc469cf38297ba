"""Implements `Webhooks` and `Deliveries` on Firestore."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from google.cloud.firestore_v1 import Client, DocumentReference
from google.cloud.firestore_v1.base_query import FieldFilter

from shared.adapters.gcp.firestore_client import PAGE, Commit, Documents, Snapshot, possible
from shared.adapters.gcp.firestore_rows import DELIVERIES, WEBHOOKS, row
from shared.adapters.webhook_rows import (
    delivery,
    delivery_fields,
    moving_fields,
    webhook,
    webhook_fields,
)
from shared.domain.moments import to_us
from shared.domain.webhooks import Delivered, Delivery, Reply, Webhook, noted, replayed
from shared.errors import NotFound

T = TypeVar("T")


class FirestoreWebhooks:
    """One document a webhook, under its id.

    IAM: roles/datastore.user, granted in terraform/stack/firestore.tf. Run on the
    Firestore emulator of the gcloud SDK.
    """

    def __init__(self, client: Client) -> None:
        self._db = Documents(client)

    def add(self, one: Webhook) -> bool:
        def step(commit: Commit) -> bool:
            known = self._db.get(self._db.at(WEBHOOKS, one.id))
            if not known.exists:
                commit.create(known.reference, webhook_fields(one))
            return not known.exists

        return self._db.settle(step)

    def get(self, webhook_id: str) -> Webhook | None:
        if not possible(webhook_id):
            return None
        found = self._db.get(self._db.at(WEBHOOKS, webhook_id))
        return webhook(row(found)) if found.exists else None

    def all(self, tenant: str | None = None) -> list[Webhook]:
        query = self._db.all_of(WEBHOOKS)
        if tenant is not None:
            query = query.where(filter=FieldFilter("tenant", "==", tenant))
        found = [webhook(row(one)) for one in self._db.found(query)]
        return sorted(found, key=lambda one: (-one.made_at.timestamp(), one.id))

    def remove(self, webhook_id: str) -> None:
        """The webhook last: what a crash leaves is removed by asking again."""
        if not possible(webhook_id):
            return
        of_it = FieldFilter("webhook_id", "==", webhook_id)
        query = self._db.all_of(DELIVERIES).where(filter=of_it).select([]).limit(PAGE)
        while found := self._db.found(query):
            self._drop([one.reference for one in found])
        self._drop([self._db.at(WEBHOOKS, webhook_id)])

    def disable(self, webhook_id: str, at: datetime) -> None:
        def step(commit: Commit, known: Snapshot) -> None:
            if row(known)["disabled_us"] is None:
                commit.change(known, {"disabled_us": to_us(at)})

        self._change(webhook_id, step)

    def rotate(self, webhook_id: str, secret: str, old_until: datetime) -> Webhook:
        def step(commit: Commit, known: Snapshot) -> Webhook:
            changes = {
                "secret": secret,
                "old_secret": known.get("secret"),
                "old_until_us": to_us(old_until),
            }
            commit.change(known, changes)
            return webhook({**row(known), **changes})

        changed = self._change(webhook_id, step)
        if changed is None:
            raise NotFound
        return changed

    def failing(self, webhook_id: str, since: datetime | None) -> None:
        def step(commit: Commit, known: Snapshot) -> None:
            seen = row(known)["failing_us"]
            if (seen is None) != (since is None):
                commit.change(known, {"failing_us": since and to_us(since)})

        self._change(webhook_id, step)

    def _change(self, webhook_id: str, change: Callable[[Commit, Snapshot], T]) -> T | None:
        def step(commit: Commit) -> T | None:
            known = self._db.get(self._db.at(WEBHOOKS, webhook_id))
            return change(commit, known) if known.exists else None

        return self._db.settle(step) if possible(webhook_id) else None

    def _drop(self, where: Sequence[DocumentReference]) -> None:
        def step(commit: Commit) -> None:
            for one in where:
                commit.drop(one)

        self._db.settle(step)


class FirestoreDeliveries:
    """One document for each webhook and event; the event's id, a digest, begins its name.

    `next_us` is null once it is settled, so that one index finds what is due.

    IAM: roles/datastore.user, granted in terraform/stack/firestore.tf. Run on the
    Firestore emulator of the gcloud SDK.
    """

    def __init__(self, client: Client) -> None:
        self._db = Documents(client)

    def enqueue(self, one: Delivery) -> bool:
        def step(commit: Commit) -> bool:
            known = self._db.get(self._at(one.webhook_id, one.event_id))
            if not known.exists:
                commit.create(known.reference, delivery_fields(one))
            return not known.exists

        return self._db.settle(step)

    def get(self, webhook_id: str, event_id: str) -> Delivery | None:
        if not possible(_name(webhook_id, event_id)):
            return None
        found = self._db.get(self._at(webhook_id, event_id))
        return delivery(row(found)) if found.exists else None

    def lease(self, now: datetime, lease_s: float, limit: int = 50) -> list[Delivery]:
        due = FieldFilter("next_us", "<=", to_us(now))
        query = self._db.all_of(DELIVERIES).where(filter=due).order_by("next_us").limit(limit)
        until = {"next_us": to_us(now + timedelta(seconds=lease_s))}
        leased = []
        for seen in self._db.found(query):
            commit = self._db.commit()
            commit.change(seen, until)
            if self._db.try_to(commit):
                leased.append(delivery({**row(seen), **until}))
        return leased

    def record(
        self, leased: Delivery, reply: Reply, now: datetime, chance: float
    ) -> Delivery | None:
        def step(commit: Commit) -> Delivery | None:
            known = self._db.get(self._at(leased.webhook_id, leased.event_id))
            if not known.exists:
                return None
            kept = noted(delivery(row(known)), leased, reply, now, chance)
            commit.change(known, moving_fields(kept))
            return kept

        return self._db.settle(step)

    def postpone(self, leased: Delivery, until: datetime) -> None:
        seen = leased.next_at and to_us(leased.next_at)

        def step(commit: Commit) -> None:
            known = self._db.get(self._at(leased.webhook_id, leased.event_id))
            if known.exists and row(known)["next_us"] == seen:
                commit.change(known, {"next_us": to_us(until)})

        self._db.settle(step)

    def page(
        self,
        *,
        tenant: str | None = None,
        webhook_id: str | None = None,
        state: Delivered | None = None,
        before: tuple[datetime, str, str] | None = None,
        limit: int = 50,
    ) -> list[Delivery]:
        query = self._db.all_of(DELIVERIES)
        which = {"tenant": tenant, "webhook_id": webhook_id, "state": state and state.value}
        for name, value in which.items():
            if value is not None:
                query = query.where(filter=FieldFilter(name, "==", value))
        query = query.order_by("made_us", direction="DESCENDING")
        query = query.order_by("__name__", direction="DESCENDING")
        if before is not None:
            last = {"made_us": to_us(before[0]), "__name__": self._at(before[2], before[1])}
            query = query.start_after(last)
        return [delivery(row(one)) for one in self._db.found(query.limit(limit))]

    def replay(self, webhook_id: str, event_id: str, now: datetime) -> Delivery:
        def step(commit: Commit) -> Delivery:
            known = self._db.get(self._at(webhook_id, event_id))
            if not known.exists:
                raise NotFound
            again = replayed(delivery(row(known)), now)
            commit.change(known, moving_fields(again))
            return again

        if not possible(_name(webhook_id, event_id)):
            raise NotFound
        return self._db.settle(step)

    def lapse(self, before: datetime, limit: int = 500) -> int:
        old = FieldFilter("settled_us", "<", to_us(before))
        query = self._db.all_of(DELIVERIES).where(filter=old).limit(min(limit, PAGE))
        return sum(self._lapsed(seen) for seen in self._db.found(query))

    def _lapsed(self, seen: Snapshot) -> bool:
        """On condition that nobody replayed it meanwhile."""
        commit = self._db.commit()
        commit.drop_seen(seen)
        return self._db.try_to(commit)

    def _at(self, webhook_id: str, event_id: str) -> DocumentReference:
        return self._db.at(DELIVERIES, _name(webhook_id, event_id))


def _name(webhook_id: str, event_id: str) -> str:
    return f"{event_id}.{webhook_id}"
