"""Implements `Webhooks` and `Deliveries` on SQLite."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from sqlite3 import Connection
from typing import Any

from shared.adapters.embedded.sqlite_database import Database, to_us
from shared.adapters.webhook_rows import (
    delivery,
    delivery_fields,
    moving_fields,
    webhook,
    webhook_fields,
)
from shared.domain.webhooks import Delivered, Delivery, Reply, Webhook, noted, replayed
from shared.errors import NotFound


class SqliteWebhooks:
    """One row a webhook."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def add(self, one: Webhook) -> bool:
        with self._db.write() as db:
            return _insert(db, "webhooks", webhook_fields(one))

    def get(self, webhook_id: str) -> Webhook | None:
        with self._db.read() as db:
            row = db.execute("SELECT * FROM webhooks WHERE id = ?", (webhook_id,)).fetchone()
        return row and webhook(row)

    def all(self, tenant: str | None = None) -> list[Webhook]:
        which, values = ("WHERE tenant = ?", (tenant,)) if tenant is not None else ("", ())
        asked = f"SELECT * FROM webhooks {which} ORDER BY made_us DESC, id"  # noqa: S608  # fixed words
        with self._db.read() as db:
            return [webhook(row) for row in db.execute(asked, values)]

    def remove(self, webhook_id: str) -> None:
        with self._db.write() as db:
            db.execute("DELETE FROM webhooks WHERE id = ?", (webhook_id,))
            db.execute("DELETE FROM deliveries WHERE webhook_id = ?", (webhook_id,))

    def disable(self, webhook_id: str, at: datetime) -> None:
        with self._db.write() as db:
            db.execute(
                "UPDATE webhooks SET disabled_us = ? WHERE id = ? AND disabled_us IS NULL",
                (to_us(at), webhook_id),
            )

    def rotate(self, webhook_id: str, secret: str, old_until: datetime) -> Webhook:
        with self._db.write() as db:
            db.execute(
                "UPDATE webhooks SET old_secret = secret, old_until_us = ?, secret = ?"
                " WHERE id = ?",
                (to_us(old_until), secret, webhook_id),
            )
        found = self.get(webhook_id)
        if found is None:
            raise NotFound
        return found

    def failing(self, webhook_id: str, since: datetime | None) -> None:
        kept = "coalesce(failing_us, ?)" if since else "?"
        with self._db.write() as db:
            db.execute(
                f"UPDATE webhooks SET failing_us = {kept} WHERE id = ?",  # noqa: S608  # fixed words
                (since and to_us(since), webhook_id),
            )


class SqliteDeliveries:
    """One row for each webhook and event."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def enqueue(self, one: Delivery) -> bool:
        with self._db.write() as db:
            return _insert(db, "deliveries", delivery_fields(one))

    def get(self, webhook_id: str, event_id: str) -> Delivery | None:
        with self._db.read() as db:
            return _get(db, webhook_id, event_id)

    def lease(self, now: datetime, lease_s: float, limit: int = 50) -> list[Delivery]:
        due = (
            "SELECT webhook_id, event_id FROM deliveries WHERE next_us <= ?"
            " ORDER BY next_us, event_id, webhook_id LIMIT ?"
        )
        with self._db.read() as db:
            # Most looks find nothing, and a look must not be a write.
            if db.execute(due, (to_us(now), 1)).fetchone() is None:
                return []
        until_us = to_us(now + timedelta(seconds=lease_s))
        with self._db.write() as db:
            found = db.execute(due, (to_us(now), limit)).fetchall()
            db.executemany(
                "UPDATE deliveries SET next_us = ? WHERE webhook_id = ? AND event_id = ?",
                [(until_us, *row) for row in found],
            )
            leased = (_get(db, *row) for row in found)
            return [one for one in leased if one is not None]

    def record(
        self, leased: Delivery, reply: Reply, now: datetime, chance: float
    ) -> Delivery | None:
        with self._db.write() as db:
            stored = _get(db, leased.webhook_id, leased.event_id)
            if stored is None:
                return None
            kept = noted(stored, leased, reply, now, chance)
            _move(db, kept)
            return kept

    def postpone(self, leased: Delivery, until: datetime) -> None:
        seen = leased.next_at and to_us(leased.next_at)
        with self._db.write() as db:
            db.execute(
                "UPDATE deliveries SET next_us = ?"
                " WHERE webhook_id = ? AND event_id = ? AND next_us = ?",
                (to_us(until), leased.webhook_id, leased.event_id, seen),
            )

    def page(
        self,
        *,
        tenant: str | None = None,
        webhook_id: str | None = None,
        state: Delivered | None = None,
        before: tuple[datetime, str, str] | None = None,
        limit: int = 50,
    ) -> list[Delivery]:
        which: dict[str, Any] = {"tenant": tenant, "webhook_id": webhook_id, "state": state}
        asked = {name: value for name, value in which.items() if value is not None}
        where = [f"{name} = :{name}" for name in asked]
        if before is not None:
            where.append("(made_us, event_id, webhook_id) < (:made_us, :event, :webhook)")
            asked |= {"made_us": to_us(before[0]), "event": before[1], "webhook": before[2]}
        with self._db.read() as db:
            rows = db.execute(
                f"SELECT * FROM deliveries WHERE {' AND '.join(where)}"  # noqa: S608  # fixed words
                " ORDER BY made_us DESC, event_id DESC, webhook_id DESC LIMIT :limit",
                asked | {"limit": limit},
            )
            return [delivery(row) for row in rows]

    def replay(self, webhook_id: str, event_id: str, now: datetime) -> Delivery:
        with self._db.write() as db:
            stored = _get(db, webhook_id, event_id)
            if stored is None:
                raise NotFound
            again = replayed(stored, now)
            _move(db, again)
            return again

    def lapse(self, before: datetime, limit: int = 500) -> int:
        old = "SELECT webhook_id, event_id FROM deliveries WHERE settled_us < ? LIMIT ?"
        with self._db.read() as db:
            found = db.execute(old, (to_us(before), limit)).fetchall()
        if not found:
            return 0
        gone = "DELETE FROM deliveries WHERE webhook_id = ? AND event_id = ? AND settled_us < ?"
        with self._db.write() as db:
            return sum(db.execute(gone, (*row, to_us(before))).rowcount for row in found)


def _insert(db: Connection, table: str, fields: Mapping[str, Any]) -> bool:
    names, values = ", ".join(fields), ", ".join(f":{name}" for name in fields)
    made = db.execute(
        f"INSERT INTO {table} ({names}) VALUES ({values}) ON CONFLICT DO NOTHING",  # noqa: S608  # fixed words
        fields,
    )
    return made.rowcount == 1


def _get(db: Connection, webhook_id: str, event_id: str) -> Delivery | None:
    row = db.execute(
        "SELECT * FROM deliveries WHERE webhook_id = ? AND event_id = ?", (webhook_id, event_id)
    ).fetchone()
    return row and delivery(row)


def _move(db: Connection, kept: Delivery) -> None:
    fields = moving_fields(kept)
    changed = ", ".join(f"{name} = :{name}" for name in fields)
    db.execute(
        f"UPDATE deliveries SET {changed}"  # noqa: S608  # fixed words
        " WHERE webhook_id = :webhook_id AND event_id = :event_id",
        fields | {"webhook_id": kept.webhook_id, "event_id": kept.event_id},
    )
