"""Implements `Corrections` on SQLite."""

from collections.abc import Iterator

from shared.adapters.embedded.sqlite_database import Database
from shared.domain.corrections import Correction, read, written
from shared.domain.states import State
from shared.errors import CorrectionOutdated, NotFound, WrongState

#: Ids read at a time.
PAGE = 500


class SqliteCorrections:
    """One row a version."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def add(self, correction: Correction) -> None:
        key = (correction.recording_id, correction.version)
        with self._db.write() as db:
            row = db.execute(
                "SELECT state, result FROM recordings WHERE id = ?", key[:1]
            ).fetchone()
            if row is None:
                raise NotFound(recording_id=correction.recording_id)
            if (row["state"], row["result"]) != (State.DONE, correction.result):
                raise WrongState(state=row["state"])
            last = db.execute(
                "SELECT coalesce(max(version), 0) FROM corrections WHERE recording_id = ?", key[:1]
            ).fetchone()[0]
            if correction.version != last + 1:
                raise CorrectionOutdated(version=correction.version, last=last)
            body = written(correction)
            db.execute(
                "INSERT INTO corrections (recording_id, version, tenant, body) VALUES (?, ?, ?, ?)",
                (*key, correction.tenant, body),
            )

    def of(self, recording_id: str) -> list[Correction]:
        with self._db.read() as db:
            rows = db.execute(
                "SELECT body FROM corrections WHERE recording_id = ? ORDER BY version",
                (recording_id,),
            ).fetchall()
        return [read(row["body"]) for row in rows]

    def corrected(self, tenant: str | None = None) -> Iterator[str]:
        after, full = "", True
        while full:
            with self._db.read() as db:
                rows = db.execute(
                    "SELECT DISTINCT recording_id FROM corrections"
                    " WHERE (?1 IS NULL OR tenant = ?1) AND recording_id > ?2"
                    " ORDER BY recording_id LIMIT ?3",
                    (tenant, after, PAGE),
                ).fetchall()
            yield from (row["recording_id"] for row in rows)
            full = len(rows) == PAGE
            after = rows[-1]["recording_id"] if rows else after
