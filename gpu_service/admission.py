"""How much sound may wait in this instance for callers who wait on the line: the rest gets 429."""

import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from math import ceil
from os import SEEK_END
from typing import BinaryIO

from shared.domain.fairness import UNKNOWN_SECONDS
from shared.domain.header import probe
from shared.domain.lanes import Lane
from shared.errors import RefusedAudio, ServiceFull

#: Seconds of sound taken in at once. Whisper base on two cores hears some 20 s a second, so the
#: last of them is heard after 3 minutes; a caller who waits longer had better upload.
MOST_S = 3600.0
#: Share of it that the low lane may fill, so that a person finds room behind any bulk.
LOW_SHARE = 0.8
#: Seconds of the past from which the rate is taken; what nobody has measured hears in real time.
LOOK_BACK_S, ASSUMED_RATE = 60.0, 1.0
#: The least and the most a caller is told to stay away, in seconds.
LEAST_AWAY_S, MOST_AWAY_S = 1, 120


def expected_s(sound: BinaryIO) -> float:
    """How long the sound says it is, read from its header; where it does not say, a minute.

    What the header alone would refuse is let through as nothing: the decoder says why.
    """
    try:
        length_s = probe(sound.seek(0, SEEK_END), partial(_read, sound)).duration_s
    except RefusedAudio:
        return 0.0
    finally:
        sound.seek(0)
    return UNKNOWN_SECONDS if length_s is None else length_s


def _read(sound: BinaryIO, start: int, length: int) -> bytes:
    sound.seek(start)
    return sound.read(length)


class Admission:
    """Counts seconds of sound from when they are let in until they are heard; one event loop."""

    def __init__(
        self, most_s: float = MOST_S, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most_s, self._clock = most_s, clock
        self._inside_s = 0.0
        self._heard: deque[tuple[float, float]] = deque()  #: when, seconds of sound

    @property
    def inside_s(self) -> float:
        """Seconds of sound that wait or are being heard."""
        return self._inside_s

    @asynccontextmanager
    async def take(self, seconds: float, lane: Lane) -> AsyncIterator[None]:
        """Be let in with so much sound, until the block ends.

        Whoever finds nobody inside is let in with any length: it would never fit otherwise.

        Raises:
            ServiceFull: not now; `retry_after_s` says when there may be room.
        """
        most_s = self._most_s * (LOW_SHARE if lane is Lane.LOW else 1.0)
        over_s = self._inside_s + seconds - most_s
        if self._inside_s > 0 and over_s > 0:
            raise ServiceFull(retry_after_s=self._away_s(over_s))
        self._inside_s += seconds
        try:
            yield
            self._heard.append((self._clock(), seconds))
        finally:
            # Sums of floats drift: an empty room is empty.
            self._inside_s = max(0.0, self._inside_s - seconds) if self._inside_s > seconds else 0.0

    def rate(self) -> float:
        """Seconds of sound heard a second, of late."""
        now_s = self._clock()
        while self._heard and self._heard[0][0] < now_s - LOOK_BACK_S:
            self._heard.popleft()
        heard_s = sum(seconds for _, seconds in self._heard)
        return max(ASSUMED_RATE, heard_s / LOOK_BACK_S)

    def _away_s(self, over_s: float) -> int:
        """Whole seconds until `over_s` have probably been heard."""
        return min(MOST_AWAY_S, max(LEAST_AWAY_S, ceil(min(over_s, self._inside_s) / self.rate())))
