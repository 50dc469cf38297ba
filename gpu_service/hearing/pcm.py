"""Decoded sound, kept for as long as one job needs it."""

import tempfile
from pathlib import Path
from threading import Lock
from types import TracebackType

import numpy as np

from gpu_service.engines.engine import Samples
from shared.domain.sound import SAMPLE_RATE, Segment

#: Bytes of float32 a job keeps in memory, 16 minutes of one channel; the rest goes to disk.
KEEP_BYTES = 64 << 20
SAMPLE_BYTES = 4


class Pcm:
    """float32 samples at 16 kHz, one spool a channel, exact: nothing is quantised again.

    `samples` may be called by several threads, for a recording's tasks are asked in parallel.
    """

    def __init__(self, folder: Path | None) -> None:
        """Spools beyond KEEP_BYTES lie in `folder`, already without a name."""
        self._folder = None if folder is None else str(folder)
        self._spools: list[tempfile.SpooledTemporaryFile[bytes]] = []
        self._reading = Lock()  # a spool has one position

    def __enter__(self) -> "Pcm":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for spool in self._spools:
            spool.close()

    def add(self, block: Samples) -> None:
        """Append a block of shape (n_channels, n_samples)."""
        while len(self._spools) < block.shape[0]:
            self._spools.append(_spool(self._folder))
        for spool, channel in zip(self._spools, block, strict=True):
            spool.write(np.ascontiguousarray(channel, dtype=np.float32).data)

    def samples(self, segment: Segment) -> Samples:
        """The segment's samples, shape (n,); the mean of all channels where it names none."""
        first = round(segment.start_s * SAMPLE_RATE)
        count = round(segment.end_s * SAMPLE_RATE) - first
        wanted = self._spools if segment.channel is None else [self._spools[segment.channel]]
        with self._reading:
            read = [_read(spool, first, count) for spool in wanted]
        return read[0] if len(read) == 1 else np.mean(read, axis=0, dtype=np.float32)


def _spool(folder: str | None) -> "tempfile.SpooledTemporaryFile[bytes]":
    return tempfile.SpooledTemporaryFile(max_size=KEEP_BYTES, dir=folder)


def _read(spool: "tempfile.SpooledTemporaryFile[bytes]", first: int, count: int) -> Samples:
    spool.seek(first * SAMPLE_BYTES)
    return np.frombuffer(spool.read(count * SAMPLE_BYTES), dtype=np.float32)
