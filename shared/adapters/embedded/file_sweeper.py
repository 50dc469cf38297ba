"""Implements `Sweeper` in HOME/tmp."""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from shared.errors import EarwitnessError


class FileSweeper:
    """Uploads that were begun, and what a killed process left behind.

    Whatever is in use was written to within the day: a begun upload cannot be gone on with for
    longer (`gateway.sessions.KEPT`).
    """

    def __init__(self, home: Path, clear: Callable[[Path], None]) -> None:
        """`clear` removes a file, with what a killed upload had laid of it elsewhere."""
        self._folder, self._clear = home / "tmp", clear

    def sweep(self, before: datetime) -> int:
        return sum(self._swept(path, before.timestamp()) for path in self._folder.rglob("*"))

    def _swept(self, path: Path, before_s: float) -> bool:
        # Gone already, or not ours to remove, or the store is busy: the next sweep tells.
        with suppress(OSError, EarwitnessError):
            if path.is_file() and not path.is_symlink() and path.stat().st_mtime < before_s:
                self._clear(path)
                return True
        return False
