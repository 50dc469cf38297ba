"""Implements `Uploads` and `Inlet`: the bucket's embedded twin.

Bytes lie under their digest (`uploads/ab/cdef…`), so that no name, however strange, ever
becomes a path; names, generations and metadata are rows. Like the bucket, it announces
every new generation: the event is committed with the object and waits until delivered.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from sqlite3 import Row
from typing import BinaryIO
from uuid import uuid4

from shared.adapters.embedded.disk import full_disk_said
from shared.adapters.embedded.sqlite_database import Database, from_us, to_us
from shared.domain.recording import UploadedObject
from shared.errors import AudioTooLarge, NotFound
from shared.ports import Fetched

BUCKET = "uploads"
#: Bytes copied at a time.
BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class PendingEvent:
    """A finalized event nobody has confirmed yet."""

    id: int
    event: UploadedObject


class SqliteUploads:
    def __init__(self, db: Database, home: Path) -> None:
        self._db = db
        self._root = home / "uploads"
        self._tmp = home / "tmp"
        self._root.mkdir(parents=True, exist_ok=True)
        self._tmp.mkdir(parents=True, exist_ok=True)

    def put(
        self,
        name: str,
        content: BinaryIO,
        *,
        content_type: str,
        metadata: Mapping[str, str],
        at: datetime,
        max_bytes: int | None = None,
    ) -> UploadedObject:
        spool = self._tmp / f"upload-{uuid4().hex}"
        try:
            with full_disk_said():
                digest, size = _copy(content, spool, max_bytes)
                self._keep(spool, digest)
        finally:
            spool.unlink(missing_ok=True)
        known = json.dumps(dict(sorted(metadata.items())))
        with self._db.write() as db:
            generation = db.execute(
                "SELECT coalesce(max(generation), 0) + 1 FROM objects WHERE name = ?", (name,)
            ).fetchone()[0]
            db.execute(
                "INSERT INTO objects VALUES (?, ?, ?, ?, ?, ?, ?)",
                (name, generation, size, content_type, known, to_us(at), digest),
            )
            for notified in ("storage_events", "arrivals"):
                db.execute(
                    f"INSERT INTO {notified} (name, generation) VALUES (?, ?)",  # noqa: S608
                    (name, generation),
                )
        return UploadedObject(
            BUCKET, name, generation, size, content_type, tuple(sorted(metadata.items())), at
        )

    def _keep(self, spool: Path, digest: str) -> None:
        place = self._place(digest)
        place.parent.mkdir(exist_ok=True)
        if not place.exists():
            spool.replace(place)
            _sync_folder(place.parent)

    def _place(self, digest: str) -> Path:
        return self._root / digest[:2] / digest[2:]

    def stat(self, name: str, generation: int) -> UploadedObject | None:
        row = self._row(name, generation)
        return uploaded(row) if row else None

    def page(self, after: tuple[str, int] | None = None, limit: int = 500) -> list[UploadedObject]:
        with self._db.read() as db:
            rows = db.execute(
                "SELECT * FROM objects WHERE (name, generation) > (?, ?)"
                " ORDER BY name, generation LIMIT ?",
                (*(after or ("", 0)), limit),
            ).fetchall()
        return [uploaded(row) for row in rows]

    def read(self, name: str, generation: int, start: int, length: int) -> bytes:
        with self.fetch(name, generation) as fetched:
            fetched.file.seek(start)
            return fetched.file.read(length)

    @contextmanager
    def fetch(self, name: str, generation: int) -> Iterator[Fetched]:
        row = self._row(name, generation)
        if row is None:
            raise NotFound("The upload is gone.")
        with self._place(row["sha256"]).open("rb") as file:
            yield Fetched(file, row["sha256"])

    def events(self, limit: int = 100) -> list[PendingEvent]:
        """Events nobody has confirmed, oldest first."""
        with self._db.read() as db:
            rows = db.execute(
                "SELECT e.id, o.* FROM storage_events e JOIN objects o USING (name, generation)"
                " ORDER BY e.id LIMIT ?",
                (limit,),
            ).fetchall()
        return [PendingEvent(row["id"], uploaded(row)) for row in rows]

    def event_sent(self, *ids: int) -> None:
        """Forget delivered events; forgetting twice does nothing."""
        with self._db.write() as db:
            db.executemany("DELETE FROM storage_events WHERE id = ?", [(i,) for i in ids])

    def _row(self, name: str, generation: int) -> Row | None:
        with self._db.read() as db:
            row: Row | None = db.execute(
                "SELECT * FROM objects WHERE name = ? AND generation = ?", (name, generation)
            ).fetchone()
        return row


def _copy(content: BinaryIO, to: Path, max_bytes: int | None) -> tuple[str, int]:
    """Copy and digest in one pass; on disk for good when this returns."""
    digest, size = hashlib.sha256(), 0
    with to.open("xb") as file:
        while block := content.read(BLOCK):
            size += len(block)
            if max_bytes is not None and size > max_bytes:
                raise AudioTooLarge(f"The upload is larger than the {max_bytes:,} bytes allowed.")
            digest.update(block)
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest(), size


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):  # some file systems cannot sync folders
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def uploaded(row: Row) -> UploadedObject:
    return UploadedObject(
        BUCKET,
        row["name"],
        row["generation"],
        row["size_bytes"],
        row["content_type"],
        tuple(json.loads(row["metadata"]).items()),
        from_us(row["created_us"]),
    )
