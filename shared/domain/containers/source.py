"""A file looked at through a few ranged reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from shared.errors import DamagedAudio

#: DESIGN section 4: at most 3 ranged reads and 1 MiB. A read of Cloud Storage costs about
#: 30 ms wherever it lands, so each takes what the next look is likely to need.
MAX_READS, MAX_BYTES = 3, 1 << 20
#: Bytes. Holds every header we know but those behind pictures or in front of whole movies.
HEAD_BYTES = 256 << 10
#: Bytes. The last Ogg page (at most 65,307 bytes, RFC 3533 section 6) and the one before it.
TAIL_BYTES = 128 << 10
#: Bytes of a read that follows a pointer; two of them and the head are the whole allowance.
JUMP_BYTES = (MAX_BYTES - HEAD_BYTES) // 2
#: Looks a header may cost. Real ones take some hundred; a hostile one has to end somewhere.
MAX_LOOKS = 20_000


class Reads(Protocol):
    """A ranged read; fewer bytes than asked for at the end of the file."""

    def __call__(self, start: int, length: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Probe:
    """What the header says. None = it does not say; decoding will find out."""

    container: str  #: our short name: wav flac mp3 aac ogg mp4 mov matroska webm aiff
    codec: str | None = None  #: as FFmpeg names it
    sample_rate_hz: int | None = None
    channels: int | None = None
    duration_s: float | None = None  #: an estimate for ranking and early refusal; it may lie


class OutOfReach(Exception):
    """The header goes on where the allowance of reads does not reach. No fault of the file."""


class Source:
    """Bytes by position, read ahead, remembered, and never more than allowed."""

    def __init__(self, size_bytes: int, read: Reads) -> None:
        self.size, self._read = size_bytes, read
        self._windows: list[tuple[int, bytes]] = []
        self._reads, self._bytes, self._looks = MAX_READS, MAX_BYTES, MAX_LOOKS

    def upto(self, start: int, length: int, ahead: int = JUMP_BYTES) -> bytes:
        """`length` bytes from `start`, fewer only where the file ends.

        Raises:
            OutOfReach: the allowance is used up.
        """
        self._looks -= 1
        if self._looks < 0:
            raise OutOfReach
        length = min(length, self.size - start)
        if length <= 0:
            return b""
        for at, window in self._windows:
            if at <= start and start + length <= at + len(window):
                return window[start - at : start - at + length]
        return self._fetch(start, length, ahead)

    def take(self, start: int, length: int) -> bytes:
        """Exactly `length` bytes.

        Raises:
            DamagedAudio: the file ends before.
            OutOfReach: the allowance is used up.
        """
        found = self.upto(start, length)
        if len(found) < length:
            raise DamagedAudio
        return found

    def tail(self) -> bytes:
        """The last TAIL_BYTES of the file."""
        start = max(0, self.size - TAIL_BYTES)
        return self.upto(start, TAIL_BYTES, TAIL_BYTES)

    def _fetch(self, start: int, length: int, ahead: int) -> bytes:
        want = min(max(length, ahead), self.size - start, self._bytes)
        if not self._reads or want < length:
            raise OutOfReach
        self._reads, self._bytes = self._reads - 1, self._bytes - want
        window = self._read(start, want)[:want]
        if len(window) < want:  # the object is shorter than it was announced
            self.size = start + len(window)
        self._windows.append((start, window))
        return window[:length]


def fields(data: bytes, *positions: tuple[int, int]) -> Sequence[int]:
    """Unsigned big-endian numbers, each given as (first bit, number of bits)."""
    number, width = int.from_bytes(data, "big"), 8 * len(data)
    return [number >> width - at - n & (1 << n) - 1 for at, n in positions]
