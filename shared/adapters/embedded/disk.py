"""What a full disk says, in our words."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

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
