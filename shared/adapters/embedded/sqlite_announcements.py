"""What `LocalPublisher` kept of `recording-events`, to be read in order on this machine."""

import json
from dataclasses import dataclass

from shared.adapters.embedded.sqlite_database import Database
from shared.domain.recording import Topic


@dataclass(frozen=True, slots=True)
class Announced:
    seq: int  #: grows; not every number is an announcement
    kind: str  #: recording.done, recording.rejected, recording.dead, recording.deferred
    recording_id: str
    body: str  #: the message as it was published, JSON


class SqliteAnnouncements:
    def __init__(self, db: Database) -> None:
        self._db = db

    def last(self) -> int:
        """The number of the newest message, 0 if there is none."""
        with self._db.read() as db:
            newest: int = db.execute("SELECT coalesce(max(seq), 0) FROM published").fetchone()[0]
        return newest

    def after(self, seq: int, limit: int = 1_000) -> list[Announced]:
        """Announcements with a greater number, oldest first."""
        with self._db.read() as db:
            rows = db.execute(
                "SELECT seq, body, recording_id FROM published WHERE seq > ? AND topic = ?"
                " ORDER BY seq LIMIT ?",
                (seq, Topic.EVENTS.value, limit),
            ).fetchall()
        return [
            Announced(r["seq"], json.loads(r["body"])["type"], r["recording_id"], r["body"])
            for r in rows
        ]
