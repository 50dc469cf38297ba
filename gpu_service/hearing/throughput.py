"""How fast this instance hears recordings, learnt from those it heard."""

from threading import Lock

#: What a recording counts for, compared with the one after it: the last 50 carry 64 %.
FADE = 0.98


class Throughput:
    """Seconds of sound against seconds a place was taken; safe to share between threads.

    With few places taken each is faster than with all, so a quiet hour flatters: the error is
    on the side of taking in. A recording that was handed over counts as heard whole.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._sound_s = self._taken_s = self._count = 0.0

    def heard(self, sound_s: float, taken_s: float) -> None:
        """Count one recording."""
        with self._lock:
            self._sound_s = self._sound_s * FADE + sound_s
            self._taken_s = self._taken_s * FADE + taken_s
            self._count = self._count * FADE + 1.0

    def measured(self, places: int) -> tuple[float, float] | None:
        """Seconds of sound a second with all places taken, and those of a recording on average.

        None before anything was heard.
        """
        with self._lock:
            if self._sound_s <= 0 or self._taken_s <= 0:
                return None
            rate = places * self._sound_s / self._taken_s
            return rate, self._sound_s / self._count
