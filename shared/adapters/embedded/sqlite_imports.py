"""Implements `Imports` on SQLite and the embedded bucket."""

from typing import IO

from shared.adapters.embedded.sqlite_database import Database, to_us
from shared.adapters.embedded.sqlite_jobs import lay_passages
from shared.adapters.embedded.sqlite_rows import (
    INSERT_RECORDING,
    fetch_recording,
    recording_row,
    remember,
)
from shared.adapters.embedded.sqlite_uploads import SqliteUploads, go_on_behind
from shared.domain.carried import Carried
from shared.domain.corrections import written
from shared.domain.recording import UploadedObject


class SqliteImports:
    """One commit a recording, one an object."""

    def __init__(self, db: Database, uploads: SqliteUploads) -> None:
        self._db, self._uploads = db, uploads

    def bring(self, carried: Carried) -> bool:
        known = carried.recording
        with self._db.write() as db:
            if fetch_recording(db, known.id) is not None:
                return False
            db.execute(INSERT_RECORDING, recording_row(known))
            # Also where no object comes along: another upload of the name is another recording.
            go_on_behind(db, known.generation)
            for line in carried.history:
                remember(db, known.id, line)
            if carried.job is not None:
                db.execute(
                    "INSERT INTO jobs (recording_id, lane, state, start_tag, token, attempts,"
                    " dead_us) VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (
                        *(known.id, known.lane or "low", carried.job),
                        *(known.updated_at.timestamp(), carried.token, known.attempts),
                        to_us(known.updated_at) if carried.job in ("dead", "discarded") else None,
                    ),
                )
            db.executemany(
                "INSERT INTO corrections (recording_id, version, tenant, body) VALUES (?, ?, ?, ?)",
                [(known.id, c.version, known.tenant, written(c)) for c in carried.corrections],
            )
            lay_passages(db, known, carried.passages)
        return True

    def lay(self, upload: UploadedObject, content: IO[bytes], *, held: bool) -> bool:
        made = self._uploads.lay(upload, content)
        if held:
            self._uploads.hold(upload.name, upload.generation)
        return made
