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
from pathlib import Path, PurePosixPath
from sqlite3 import Connection, Row
from typing import IO, BinaryIO
from uuid import uuid4

from shared.adapters.embedded.disk import full_disk_said
from shared.adapters.embedded.sqlite_database import Database, from_us, to_us
from shared.domain.names import ARCHIVE
from shared.domain.recording import UploadedObject
from shared.errors import AudioTooLarge, EarwitnessError, NotFound, UnderHold
from shared.ports import Fetched

BUCKET = "uploads"
#: What files are called that are on their way into the archive; then the recording's id.
SHELVING = "shelving"
#: Bytes copied at a time.
BLOCK = 1 << 20


#: The note in `bookmarks` of the greatest generation that was ever deleted. No name is kept of what
#: was erased, so every name goes on behind it: another upload under a name that was erased is
#: another generation, and so another recording.
DELETED = "uploads/deleted"
_NEXT = """
    SELECT 1 + max(
        coalesce((SELECT max(generation) FROM objects WHERE name = ?), 0),
        coalesce((SELECT CAST(note AS INTEGER) FROM bookmarks WHERE name = ?), 0))
"""
_NEVER_AGAIN = """
    INSERT INTO bookmarks (name, note) VALUES (?, ?) ON CONFLICT (name)
    DO UPDATE SET note = max(CAST(note AS INTEGER), CAST(excluded.note AS INTEGER))
"""


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
        with self._spool() as spool:
            digest, size = _copy(content, spool, max_bytes)
            return self._announced(spool, digest, size, name, content_type, metadata, at)

    def _announced(
        self,
        spool: Path,
        digest: str,
        size: int,
        name: str,
        content_type: str,
        metadata: Mapping[str, str],
        at: datetime,
    ) -> UploadedObject:
        known = json.dumps(dict(sorted(metadata.items())))
        with self._kept(spool, digest) as db:
            generation = db.execute(_NEXT, (name, DELETED)).fetchone()[0]
            db.execute(
                "INSERT INTO objects VALUES (?, ?, ?, ?, ?, ?, ?)",
                (name, generation, size, content_type, known, to_us(at), digest),
            )
            for notified in ("storage_events", "arrivals"):
                db.execute(
                    f"INSERT INTO {notified} (name, generation) VALUES (?, ?)",  # noqa: S608
                    (name, generation),
                )
        own = tuple(sorted(metadata.items()))
        return UploadedObject(
            BUCKET, name, generation, size, content_type, own, at, (f"sha256:{digest}",)
        )

    def shelve(
        self, name: str, content: BinaryIO, content_type: str, at: datetime
    ) -> UploadedObject:
        """As the port says; the first of its name, for nobody else uses one."""
        content.seek(0)
        upload = UploadedObject(BUCKET, name, 1, 0, content_type, (), at)
        # Whose it is stands in its name, for an erasure that comes after a kill.
        self.lay(upload, content, spool=f"{SHELVING}-{PurePosixPath(name).parent.name}")
        [kept] = self.generations(name)
        return kept

    def intact(self, name: str, generation: int) -> bool:
        row = self._row(name, generation)
        if row is None:
            return False
        try:
            with self._place(row["sha256"]).open("rb") as file:
                return str(row["sha256"]) == hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            return False

    def shelved(self, folder: str, after: str = "", limit: int = 500) -> list[UploadedObject]:
        behind = folder[:-1] + chr(ord(folder[-1]) + 1)
        with self._db.read() as db:
            rows = db.execute(
                "SELECT * FROM objects WHERE name >= ? AND name > ? AND name < ?"
                " ORDER BY name LIMIT ?",
                (folder, after, behind, limit),
            ).fetchall()
        return [uploaded(row) for row in rows]

    def lay(self, upload: UploadedObject, content: IO[bytes], spool: str = "upload") -> bool:
        """Put an object in under its own name and generation, announced to nobody; False if there
        is one, which stays."""
        place = (upload.name, upload.generation)
        if self._row(*place) is not None:
            return False
        known, made_us = json.dumps(dict(upload.metadata)), to_us(upload.created_at)
        with self._spool(spool) as aside:
            digest, size = _copy(content, aside, None)
            with self._kept(aside, digest) as db:
                made = db.execute(
                    "INSERT INTO objects VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                    (*place, size, upload.content_type, known, made_us, digest),
                )
                if made.rowcount == 0:  # another came first, maybe with other bytes
                    self._forget(db, digest, objects=0)
        return made.rowcount == 1

    @contextmanager
    def _spool(self, called: str = "upload") -> Iterator[Path]:
        """Where a copy is made; it is gone afterwards."""
        spool = self._tmp / f"{called}-{uuid4().hex}"
        try:
            with full_disk_said():
                yield spool
        except BaseException:
            with suppress(FileNotFoundError):
                if spool.stat().st_nlink == 1:  # else what was laid could not be cleared now
                    spool.unlink()
            raise
        spool.unlink(missing_ok=True)

    @contextmanager
    def _kept(self, spool: Path, digest: str) -> Iterator[Connection]:
        """One commit with the bytes in their place, for good.

        They are laid there before the lock that all writers wait for; under it nobody erases the
        same content, so there it is seen that they still are. If there is no commit they are
        cleared; those of a killed process are known by their second link, in tmp.
        """
        place = self._place(digest)
        place.parent.mkdir(exist_ok=True)
        with suppress(OSError):  # they are there, or the file system has no links
            os.link(spool, place)
        _sync_folder(place.parent)  # whoever laid them may not have come so far
        try:
            with self._db.write() as db:
                if not place.exists():
                    _lay(spool, place)
                yield db
        except BaseException:
            with suppress(EarwitnessError):  # then whoever sweeps tmp clears it
                self.clear(spool, digest)
            raise

    def clear(self, spool: Path, digest: str | None = None) -> None:
        """Remove a copy, and with it the bytes that were laid for an object there never was.

        `digest` is read from the copy unless it is given.

        Raises:
            StoreUnavailable, DiskFull: both are still there; repeating will help.
        """
        with suppress(FileNotFoundError):
            if digest is None and spool.stat().st_nlink > 1:
                with spool.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest is not None:
            with self._db.write() as db:
                self._forget(db, digest, objects=0)
        spool.unlink(missing_ok=True)

    def _place(self, digest: str) -> Path:
        return self._root / digest[:2] / digest[2:]

    def stat(self, name: str, generation: int) -> UploadedObject | None:
        row = self._row(name, generation)
        return uploaded(row) if row else None

    def page(self, after: tuple[str, int] | None = None, limit: int = 500) -> list[UploadedObject]:
        query = (
            "SELECT * FROM objects WHERE (name, generation) > (?, ?) AND name NOT GLOB ?"
            " ORDER BY name, generation LIMIT ?"
        )
        with self._db.read() as db:
            rows = db.execute(query, (*(after or ("", 0)), f"{ARCHIVE}/*", limit)).fetchall()
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
        try:
            file = self._place(row["sha256"]).open("rb")
        except FileNotFoundError as error:  # it is being erased
            raise NotFound("The upload is gone.") from error
        with file:
            yield Fetched(file, row["sha256"])

    def hold(self, name: str, generation: int) -> None:
        with self._db.write() as db:
            if _row_of(db, name, generation) is None:
                raise NotFound("The upload is gone.")
            db.execute(
                "INSERT INTO object_holds VALUES (?, ?) ON CONFLICT DO NOTHING", (name, generation)
            )

    def unhold(self, name: str, generation: int) -> None:
        with self._db.write() as db:
            db.execute(
                "DELETE FROM object_holds WHERE name = ? AND generation = ?", (name, generation)
            )

    def generations(self, name: str) -> list[UploadedObject]:
        with self._db.read() as db:
            rows = db.execute("SELECT * FROM objects WHERE name = ? ORDER BY generation", (name,))
            return [uploaded(row) for row in rows]

    def delete(self, name: str, generation: int) -> None:
        """The bytes go with the last object that has them, before the row does: killed in
        between, the row is still there to begin again from."""
        key = (name, generation)
        with self._db.write() as db:
            hold = "SELECT 1 FROM object_holds WHERE name = ? AND generation = ?"
            if db.execute(hold, key).fetchone():
                raise UnderHold
            if (row := _row_of(db, name, generation)) is not None:
                # Before the row goes: so long it alone has these bytes.
                self._forget(db, row["sha256"], objects=1)
            db.execute("DELETE FROM objects WHERE name = ? AND generation = ?", key)
            go_on_behind(db, generation)

    def _forget(self, db: Connection, digest: str, *, objects: int) -> None:
        """Remove the bytes if so many objects have them."""
        same = "SELECT count(*) FROM objects WHERE sha256 = ?"
        if db.execute(same, (digest,)).fetchone()[0] == objects:
            place = self._place(digest)
            place.unlink(missing_ok=True)
            _sync_folder(place.parent)

    def events(self, limit: int = 100) -> list[PendingEvent]:
        """Events nobody has confirmed, oldest first."""
        with self._db.read() as db:
            rows = db.execute(
                "SELECT e.id, o.* FROM storage_events e JOIN objects o USING (name, generation)"
                " ORDER BY e.id LIMIT ?",
                (limit,),
            ).fetchall()
        return [PendingEvent(row["id"], uploaded(row)) for row in rows]

    def event_sent(self, *sent: PendingEvent) -> None:
        """Forget delivered events; forgetting twice does nothing.

        By the object, too: the number of the newest is given again once an erasure took its event.
        """
        with self._db.write(durable=False) as db:  # undone, they are delivered again
            db.executemany(
                "DELETE FROM storage_events WHERE id = ? AND name = ? AND generation = ?",
                [(one.id, one.event.name, one.event.generation) for one in sent],
            )

    def _row(self, name: str, generation: int) -> Row | None:
        with self._db.read() as db:
            return _row_of(db, name, generation)


def go_on_behind(db: Connection, generation: int) -> None:
    """Every object that comes is of a later generation."""
    db.execute(_NEVER_AGAIN, (DELETED, str(generation)))


def _row_of(db: Connection, name: str, generation: int) -> Row | None:
    row: Row | None = db.execute(
        "SELECT * FROM objects WHERE name = ? AND generation = ?", (name, generation)
    ).fetchone()
    return row


def _lay(spool: Path, place: Path) -> None:
    try:
        os.link(spool, place)
    except OSError:  # the file system has no links: killed now, nobody knows what was laid
        spool.replace(place)
    _sync_folder(place.parent)


def _copy(content: IO[bytes], to: Path, max_bytes: int | None) -> tuple[str, int]:
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
        (f"sha256:{row['sha256']}",),
    )
