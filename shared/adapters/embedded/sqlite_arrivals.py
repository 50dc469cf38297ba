"""Implements `Arrivals`: the twin of a pull subscription to the bucket's notifications.

Every `put` writes its arrival in the commit of the object. The other notification, which
`local/` delivers to the function, is forgotten as soon as the function confirms; this one
stays until `reconcile` has seen the recording.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from shared.adapters.embedded.sqlite_database import Database, to_us
from shared.adapters.embedded.sqlite_uploads import uploaded
from shared.domain.recording import Arrival

#: Seconds a pulled arrival is hidden. Source: Pub/Sub, "Subscription properties", which
#: allows acknowledgement deadlines of 10 to 600 s.
HIDDEN_S = 60.0


class SqliteArrivals:
    def __init__(self, db: Database) -> None:
        self._db = db

    def pull(self, now: datetime, limit: int = 100) -> list[Arrival]:
        until = to_us(now + timedelta(seconds=HIDDEN_S))
        # Not durable: a power cut that undoes the hiding only shows them earlier.
        with self._db.write(durable=False) as db:
            rows = db.execute(
                "SELECT a.id, o.* FROM arrivals a JOIN objects o USING (name, generation)"
                " WHERE a.hidden_until_us <= ? ORDER BY a.id LIMIT ?",
                (to_us(now), limit),
            ).fetchall()
            db.executemany(
                "UPDATE arrivals SET hidden_until_us = ? WHERE id = ?",
                [(until, row["id"]) for row in rows],
            )
        return [Arrival(uploaded(row), str(row["id"])) for row in rows]

    def ack(self, arrivals: Sequence[Arrival]) -> None:
        # Not durable: what comes again is known by then and acknowledged again.
        with self._db.write(durable=False) as db:
            db.executemany(
                "DELETE FROM arrivals WHERE id = ?", [(int(a.handle),) for a in arrivals]
            )
