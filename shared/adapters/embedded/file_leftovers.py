"""Implements `Leftovers` in HOME/tmp: what a killed process had copied of an upload.

A copy under way is written to all the time, a block after the other; what nobody has touched for
IDLE is nobody's.
"""

import math
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from shared.adapters.embedded.sqlite_uploads import SHELVING

IDLE = timedelta(minutes=1)
#: Bytes compared at a time.
BLOCK = 1 << 20


class FileLeftovers:
    def __init__(self, home: Path, clear: Callable[[Path], None]) -> None:
        """`clear` removes a file, with what a killed upload had laid of it elsewhere."""
        self._folder, self._clear = home / "tmp", clear

    def remove(self, size_bytes: int, read: Callable[[int, int], bytes], before: datetime) -> int:
        idle_s = (before - IDLE).timestamp()
        found = [one for one in self._folder.glob("upload-*") if _idle(one, idle_s, size_bytes)]
        return self._cleared([one for one in found if _begins(one, read)])

    def remove_shelving(self, recording_id: str, before: datetime) -> int:
        idle_s = (before - IDLE).timestamp()
        found = self._folder.glob(f"{SHELVING}-{recording_id}-*")
        return self._cleared([one for one in found if _idle(one, idle_s)])

    def _cleared(self, found: list[Path]) -> int:
        for one in found:
            self._clear(one)
        return len(found)


def _idle(path: Path, idle_s: float, most_bytes: float = math.inf) -> bool:
    with suppress(OSError):  # renamed into its place meanwhile
        seen = path.stat()
        return path.is_file() and seen.st_mtime < idle_s and 0 < seen.st_size <= most_bytes
    return False


def _begins(path: Path, read: Callable[[int, int], bytes]) -> bool:
    """Whether the upload begins with all that is in the file."""
    with suppress(FileNotFoundError), path.open("rb") as file:
        at = 0
        while block := file.read(BLOCK):
            if read(at, len(block)) != block:
                return False
            at += len(block)
        return True
    return False
