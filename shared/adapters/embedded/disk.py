"""What a full disk says, in our words, and files that are needed for a while."""

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from shared.errors import DiskFull

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@contextmanager
def full_disk_said() -> Iterator[None]:
    """Turn ENOSPC and EDQUOT into DiskFull; every other OSError stays itself."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise DiskFull from error
        raise


@contextmanager
def spooled(folder: Path | None) -> Iterator[BinaryIO]:
    """An empty file that is gone afterwards, in the system's folder if None.

    Raises:
        DiskFull: there was no room for what was written.
    """
    with full_disk_said(), tempfile.TemporaryFile(dir=folder) as file:
        yield file
