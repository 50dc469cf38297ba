"""Implements `Outbox` on SQLite."""

from collections.abc import Sequence
from datetime import datetime

from shared.adapters.embedded.sqlite_database import Database, to_us
from shared.adapters.embedded.sqlite_rows import message, remember
from shared.domain.recording import LANE_TOPIC, Message
from shared.domain.states import State

_TICKETS = frozenset(LANE_TOPIC.values())


class SqliteOutbox:
    def __init__(self, db: Database) -> None:
        self._db = db

    def pending(self, recording_id: str | None = None, limit: int = 100) -> list[Message]:
        which = "recording_id = ?1" if recording_id else "?1 IS NULL"
        with self._db.read() as db:
            rows = db.execute(
                f"SELECT * FROM outbox WHERE {which} ORDER BY seq LIMIT ?2",  # noqa: S608
                (recording_id, limit),
            ).fetchall()
        return [message(row) for row in rows]

    def sent(self, messages: Sequence[Message], now: datetime) -> None:
        with self._db.write() as db:
            db.executemany(
                "DELETE FROM outbox WHERE event_id = ?", [(m.event_id,) for m in messages]
            )
            for rung in (m for m in messages if m.topic in _TICKETS):
                moved = db.execute(
                    "UPDATE recordings SET state = 'queued', updated_us = ?"
                    " WHERE id = ? AND state = 'received'",
                    (to_us(now), rung.recording_id),
                )
                if moved.rowcount:
                    lane = str(rung.body["lane"])
                    reason = f"rang for lane {lane}"
                    remember(db, rung.recording_id, State.QUEUED, now, "outbox", reason)
