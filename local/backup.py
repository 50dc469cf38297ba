"""All of HOME that cannot be made again, in one plain tar file, and back.

The store is copied first, by SQLite's own backup. Uploads and results lie on disk before
the store speaks of them and are never changed, so whatever that copy names is in the tar. Of
seals go in those that the copy notes: a later one may speak of lines that the copy lacks.
"""

import hashlib
import io
import json
import os
import shutil
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import IO, Any
from uuid import uuid4

from shared.adapters.embedded.disk import full_disk_said
from shared.adapters.embedded.file_seals import FOLDER as SEALS
from shared.adapters.embedded.file_seals import FileSeals
from shared.adapters.embedded.schema import MIGRATIONS
from shared.adapters.embedded.sqlite_database import Database, schema_version
from shared.domain.testimony import VERSION
from shared.errors import BackupRefused, NotFound
from shared.flows.seal import NOTES, noting
from shared.wiring import STORE

FORMAT = 1
MANIFEST = "manifest.json"
#: The last file; a tar that was cut between two files would look whole without it.
COMPLETE = "complete.json"
#: Folders of HOME that belong to it; tmp and logs do not.
FOLDERS = ("uploads", "results", "keys", "calibrations", SEALS)
#: Who may do what with files of a folder, where that is not everybody's usual.
MODES = {"keys": 0o600, SEALS: 0o400}
#: Bytes. A document is some 100; more is none of ours.
MAX_DOCUMENT = 64 << 10
BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Report:
    file: Path
    files: int
    size_bytes: int


def backup(home: Path, to: Path, now: datetime) -> Report:
    """Write a backup while everything goes on; `to` is a new file, or a folder for one.

    Raises:
        NotFound: there is nothing in HOME. BackupRefused: the file exists already.
        DiskFull, StoreUnavailable: nothing was written.
    """
    if not (home / STORE).is_file():
        raise NotFound(f"There is nothing to back up in {home}.")
    target = to / f"earwitness-{now:%Y%m%dT%H%M%SZ}.tar" if to.is_dir() else to
    if target.exists():
        raise BackupRefused(f"{target} exists already; name another file.")
    aside = target.with_name(f".{target.name}.{uuid4().hex}.part")
    try:
        with full_disk_said():
            files = _write(home, aside, now)
            aside.rename(target)
    finally:
        aside.unlink(missing_ok=True)
    return Report(target, files, target.stat().st_size)


def _write(home: Path, aside: Path, now: datetime) -> int:
    store = home / "tmp" / f"backup-{uuid4().hex}"
    store.parent.mkdir(exist_ok=True)
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)  # it holds the keys
    try:
        Database(home / STORE).backup(store)
        with os.fdopen(handle, "wb") as raw:
            with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:
                _add_document(tar, MANIFEST, _manifest(now), now)
                tar.add(store, STORE)
                files = 1 + sum(_add(tar, home, path) for path in _kept(home, store))
                _add_document(tar, COMPLETE, {"files": files}, now)
            raw.flush()
            os.fsync(raw.fileno())
        return files
    finally:
        store.unlink(missing_ok=True)


def _manifest(now: datetime) -> dict[str, object]:
    return {
        "format": FORMAT,
        "schema": len(MIGRATIONS),
        "version": VERSION,
        "made_at": now.isoformat(),
    }


def _add_document(tar: tarfile.TarFile, name: str, document: object, now: datetime) -> None:
    content = json.dumps(document).encode()
    member = tarfile.TarInfo(name)
    member.size, member.mtime = len(content), int(now.timestamp())
    tar.addfile(member, io.BytesIO(content))


def _kept(home: Path, store: Path) -> Iterator[Path]:
    for folder in FOLDERS:
        if folder == SEALS:
            yield from _noted(home, store)
            continue
        yield from sorted(p for p in (home / folder).rglob("*") if _is_plain(p))


def _noted(home: Path, store: Path) -> Iterator[Path]:
    """Seals that the store's copy knows of."""
    seals, uri = FileSeals(home), f"{store.resolve().as_uri()}?mode=ro&immutable=1"
    with closing(sqlite3.connect(uri, uri=True)) as db:
        notes = dict(db.execute("SELECT name, note FROM bookmarks").fetchall())
    for tenant in seals.tenants():
        last = noting(notes.get(NOTES + tenant)).number
        yield from (seals.place(tenant, n) for n in seals.numbers(tenant) if n <= last)


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _add(tar: tarfile.TarFile, home: Path, path: Path) -> int:
    try:
        tar.add(path, path.relative_to(home).as_posix(), recursive=False)
    except FileNotFoundError:  # erased meanwhile, with its row
        return 0
    return 1


def restore(home: Path, source: Path) -> Report:
    """Bring a backup back into an empty HOME; of a folder, its newest backup.

    HOME appears by one rename: after a failure it is as empty as before.

    Raises:
        NotFound: no such file. BackupRefused: HOME is not empty, the file is no backup, or
            one of a newer Earwitness. DiskFull: there is no room.
    """
    file = _newest(source) if source.is_dir() else source
    if not file.is_file():
        raise NotFound(f"There is no backup at {source}.")
    if home.exists() and any(home.iterdir()):
        raise BackupRefused(
            f"{home} is not empty. Restore into a new folder: --home DIR, or EARWITNESS_HOME."
        )
    aside = home.with_name(f".{home.name}.{uuid4().hex}.part")
    try:
        with full_disk_said():
            aside.mkdir(parents=True, mode=0o700)
            files = _extract(file, aside)
            _check_store(aside / STORE)
            aside.rename(home)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return Report(file, files, file.stat().st_size)


def _newest(folder: Path) -> Path:
    found = sorted(folder.glob("earwitness-*.tar"))
    return found[-1] if found else folder / "earwitness-*.tar"


def _extract(file: Path, into: Path) -> int:
    """Bring every file in; returns how many."""
    files, promised = 0, None
    try:
        with tarfile.open(file, mode="r:") as tar:
            _check_manifest(_document(tar, tar.next(), MANIFEST))
            for member in tar:
                if member.name == COMPLETE:
                    promised = _document(tar, member, COMPLETE).get("files")
                elif member.name != MANIFEST:
                    _extract_one(tar, member, into)
                    files += 1
    except tarfile.TarError as error:
        raise BackupRefused(f"{file} is no backup, or is cut short.") from error
    if files != promised:
        raise BackupRefused(f"{file} is cut short.")
    return files


def _document(tar: tarfile.TarFile, member: tarfile.TarInfo | None, name: str) -> dict[str, Any]:
    if member is None or member.name != name or not member.isreg() or member.size > MAX_DOCUMENT:
        raise BackupRefused
    content = tar.extractfile(member)
    assert content is not None
    try:
        document = json.loads(content.read())
    except ValueError as error:
        raise BackupRefused from error
    if not isinstance(document, dict):
        raise BackupRefused
    return document


def _check_manifest(manifest: dict[str, Any]) -> None:
    try:
        form, schema = int(manifest["format"]), int(manifest["schema"])
        version = str(manifest["version"])
    except (ValueError, KeyError, TypeError) as error:
        raise BackupRefused from error
    if form > FORMAT or schema > len(MIGRATIONS):
        raise BackupRefused(
            f"This backup was made by Earwitness {version}, which is newer than this one"
            f" ({VERSION}). Install that version or a later one, and restore with it."
        )


def _extract_one(tar: tarfile.TarFile, member: tarfile.TarInfo, into: Path) -> None:
    """Only plain files in places of ours; owners, modes and links of the archive mean nothing."""
    parts = PurePosixPath(member.name).parts
    ours = member.name == STORE or (len(parts) > 1 and parts[0] in FOLDERS)
    if not ours or ".." in parts or not member.isreg():
        raise BackupRefused("This backup holds a file that is none of ours. Nothing was changed.")
    content = tar.extractfile(member)
    assert content is not None
    path = into.joinpath(*parts)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    digest = _copy(content, path)
    if parts[0] == "uploads" and "".join(parts[1:]) != digest:
        raise BackupRefused("An upload in this backup is damaged. Nothing was changed.")
    if parts[0] in MODES:
        path.chmod(MODES[parts[0]])


def _copy(content: IO[bytes], path: Path) -> str:
    """The sha256 of what was written."""
    digest = hashlib.sha256()
    with content, path.open("xb") as out:
        while block := content.read(BLOCK):
            digest.update(block)
            out.write(block)
        out.flush()
        os.fsync(out.fileno())
    return digest.hexdigest()


def _check_store(store: Path) -> None:
    """Raises BackupRefused unless the store can be read and is of a version we know."""
    try:
        with closing(sqlite3.connect(f"{store.resolve().as_uri()}?mode=ro", uri=True)) as db:
            version, sound = schema_version(db), db.execute("PRAGMA quick_check").fetchone()[0]
    except sqlite3.Error as error:
        raise BackupRefused("The store in this backup cannot be read.") from error
    if version > len(MIGRATIONS):
        raise BackupRefused("The store in this backup is newer than this Earwitness.")
    if sound != "ok":
        raise BackupRefused("The store in this backup is damaged.")
