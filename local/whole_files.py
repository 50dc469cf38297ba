"""Files that are there whole or not at all."""

import os
import tempfile
from pathlib import Path

from shared.adapters.embedded.disk import full_disk_said


def write_whole(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write `content` under `path` by one rename; a reader never sees half of it.

    Raises:
        DiskFull: nothing was changed.
    """
    with full_disk_said():
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(dir=path.parent, prefix=".part-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(aside).chmod(mode)
            Path(aside).replace(path)
        finally:
            Path(aside).unlink(missing_ok=True)
