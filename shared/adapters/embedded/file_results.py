"""Implements `Results` in plain folders."""

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from uuid import uuid4

from shared.adapters.embedded.disk import full_disk_said
from shared.domain.recording import Kept
from shared.errors import NotFound

#: Levels of {tenant}/{id}/{token} below results/.
DEPTH = 3


class FileResults:
    """`folder` is results/{tenant}/{id}/{token}: all of it safe characters, made by us."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._tmp = home / "tmp"

    def save(self, folder: str, files: dict[str, bytes]) -> None:
        """All files appear at once: a folder is written aside and renamed into place."""
        aside, place = self._tmp / f"result-{uuid4().hex}", self._home / folder
        renamed = False
        try:
            with full_disk_said():
                aside.mkdir(parents=True)
                _write(aside, files)
                place.parent.mkdir(parents=True, exist_ok=True)
                renamed = _rename_unless_there(aside, place)
        finally:
            if not renamed:
                shutil.rmtree(aside, ignore_errors=True)

    def load(self, folder: str, name: str) -> bytes:
        try:
            return (self._home / folder / name).read_bytes()
        except FileNotFoundError as error:
            raise NotFound("This recording has no such result.") from error

    def names(self, folder: str) -> list[str]:
        try:
            place = self._home / folder
            found = (one for one in place.rglob("*") if one.is_file())
            return sorted(one.relative_to(place).as_posix() for one in found)
        except FileNotFoundError:
            return []  # removed meanwhile

    def folders(self, after: str | None = None, limit: int = 500) -> list[Kept]:
        root = self._home / "results"
        root.mkdir(exist_ok=True)
        found = islice(_below(root, DEPTH, _marks(after)), limit)
        return [Kept(place.relative_to(self._home).as_posix(), _saved_at(place)) for place in found]

    def all_of(self, tenant: str, recording_id: str) -> list[str]:
        root = self._home / "results" / tenant / recording_id
        found = root.iterdir() if root.is_dir() else iter(())
        return sorted(place.relative_to(self._home).as_posix() for place in found)

    def remove(self, folder: str) -> None:
        """The folder leaves its place at once; its files go afterwards."""
        aside = self._tmp / f"removed-{uuid4().hex}"
        self._tmp.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            (self._home / folder).rename(aside)
        shutil.rmtree(aside, ignore_errors=True)


def _write(folder: Path, files: dict[str, bytes]) -> None:
    """All are written before the first is synced: its sync carries most of the others along."""
    with ExitStack() as closing:
        written = []
        for name, content in files.items():
            # `open`: six a recording, and pathlib is slow.
            file = closing.enter_context(open(f"{folder}/{name}", "xb"))  # noqa: PTH123
            file.write(content)
            file.flush()
            written.append(file.fileno())
        for file_number in written:
            os.fsync(file_number)


def _rename_unless_there(aside: Path, place: Path) -> bool:
    try:
        aside.rename(place)
    except OSError:
        if not place.is_dir():
            raise
        return False
    return True


def _marks(folder: str | None) -> list[str]:
    """The parts of a folder's name below results/, each as it sorts: with its slash."""
    return [f"{part}/" for part in folder.split("/")[1:]] if folder else []


def _below(place: Path, depth: int, after: list[str]) -> Iterator[Path]:
    """Folders `depth` levels down, in the order of their names with slashes, behind `after`."""
    if depth == 0:
        yield place
        return
    for name in sorted(f"{p.name}/" for p in place.iterdir() if p.is_dir()):
        last = after[:1] == [name]
        if not after or name > after[0] or (last and depth > 1):
            yield from _below(place / name, depth - 1, after[1:] if last else [])


def _saved_at(place: Path) -> datetime:
    return datetime.fromtimestamp(place.stat().st_mtime, UTC)
