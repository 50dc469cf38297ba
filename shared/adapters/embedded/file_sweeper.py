"""Implements `Sweeper` in HOME/tmp."""

from contextlib import suppress
from datetime import datetime
from pathlib import Path


class FileSweeper:
    """Uploads that were begun, and what a killed process left behind.

    Whatever is in use was written to within the day: a begun upload cannot be gone on with for
    longer (`gateway.sessions.KEPT`).
    """

    def __init__(self, home: Path) -> None:
        self._folder = home / "tmp"

    def sweep(self, before: datetime) -> int:
        return sum(_removed(path, before.timestamp()) for path in self._folder.rglob("*"))


def _removed(path: Path, before_s: float) -> bool:
    with suppress(OSError):  # gone already, or not ours to remove: the next sweep tells
        if path.is_file() and not path.is_symlink() and path.stat().st_mtime < before_s:
            path.unlink()
            return True
    return False
