"""Implements `Outbox` on SQLite."""

from collections.abc import Sequence
from datetime import datetime

from shared.adapters.embedded.sqlite_database import Database, to_us
from shared.adapters.embedded.sqlite_rows import message, remember
from shared.domain.recording import LANE_TOPIC, Message, Moved
from shared.domain.states import State

_TICKETS = frozenset(LANE_TOPIC.values())


class SqliteOutbox:
    def __init__(self, db: Database) -> None:
        self._db = db

    def pending(self, recording_id: str | None = None, limit: int = 100) -> list[Message]:
        which, values = ("WHERE recording_id = ?", (recording_id,)) if recording_id else ("", ())
        with self._db.read() as db:
            rows = db.execute(
                f"SELECT * FROM outbox {which} ORDER BY seq LIMIT ?",  # noqa: S608  # fixed words
                (*values, limit),
            ).fetchall()
        return [message(row) for row in rows]

    def sent(self, messages: Sequence[Message], now: datetime) -> None:
        with self._db.write(durable=False) as db:  # undone, they are sent again
            db.executemany(
                "DELETE FROM outbox WHERE event_id = ?", [(m.event_id,) for m in messages]
            )
            for rung in (m for m in messages if m.topic in _TICKETS):
                known = db.execute(
                    "SELECT state FROM recordings WHERE id = ?", (rung.recording_id,)
                ).fetchone()
                if known and known["state"] == State.RECEIVED:
                    reason = f"rang for lane {rung.body['lane']}"
                    line = Moved(State.QUEUED, now, "outbox", reason)
                    state = line.state.value
                    remember(db, rung.recording_id, line, state=state, updated_us=to_us(now))
