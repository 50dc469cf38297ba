"""A recording as a decoder process sees it: bytes by position, nothing else."""

import io
from collections.abc import Callable


class SealedFile:
    """A file object for PyAV over one positioned read.

    PyAV reads through it, so FFmpeg's own protocols never run and there is no name to open.
    The descriptor's offset is never touched: it is shared with the process that sent it.
    """

    def __init__(self, size: int, at: Callable[[int, int], bytes]) -> None:
        """`at(n_bytes, offset)` gives up to `n_bytes`; none at the end (`os.pread`'s order)."""
        self.size = size
        self._at = at
        self._position = 0

    def at(self, offset: int, n_bytes: int) -> bytes:
        """Up to `n_bytes` from `offset`, wherever reading stands."""
        return self._at(n_bytes, offset) if offset < self.size else b""

    def read(self, n_bytes: int) -> bytes:
        data = self.at(self._position, n_bytes)
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        return self._position
