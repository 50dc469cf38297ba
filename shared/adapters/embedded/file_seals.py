"""Implements `Seals` in plain files: HOME/audit/{tenant}/{number}.json, read-only.

On one machine write-once is a habit, not a wall: whoever owns the files can remove them. That a
seal is missing is seen all the same, by its number and by what the next one says of it.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

from shared.adapters.embedded.disk import full_disk_said

FOLDER = "audit"
#: Digits of a number in a file's name, so that names sort as numbers do.
DIGITS = 10


class FileSeals:
    """`tenant` was checked before it came here: it is one part of a path."""

    def __init__(self, home: Path) -> None:
        self._root = home / FOLDER

    def put(self, tenant: str, number: int, content: bytes) -> bool:
        place = self.place(tenant, number)
        with full_disk_said():
            place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            _write_once(place, content)
        return place.read_bytes() == content

    def get(self, tenant: str, number: int) -> bytes | None:
        with suppress(FileNotFoundError):
            return self.place(tenant, number).read_bytes()
        return None

    def numbers(self, tenant: str, after: int = 0, limit: int | None = None) -> list[int]:
        folder = self._root / tenant
        found = _numbers(folder) if folder.is_dir() else iter(())
        return list(islice(sorted(n for n in found if n > after), limit))

    def tenants(self) -> list[str]:
        if not self._root.is_dir():
            return []
        return sorted(one.name for one in self._root.iterdir() if one.is_dir())

    def place(self, tenant: str, number: int) -> Path:
        """Where a seal lies, or would."""
        return self._root / tenant / f"{number:0{DIGITS}}.json"


def _numbers(folder: Path) -> Iterator[int]:
    for one in folder.glob("*.json"):
        if one.stem.isdecimal():
            yield int(one.stem)


def _write_once(place: Path, content: bytes) -> None:
    """Whole or not at all, and never over another: a hard link is made only where nothing is."""
    handle, aside = tempfile.mkstemp(dir=place.parent, prefix=".part-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(aside, 0o400)  # noqa: PTH101  # a name of mkstemp's
        with suppress(FileExistsError):
            os.link(aside, place)
        _keep_name(place.parent)
    finally:
        Path(aside).unlink(missing_ok=True)


def _keep_name(folder: Path) -> None:
    """A file's name survives a power cut only with its folder."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
