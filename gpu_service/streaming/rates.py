"""Does sound that should come as it happens come at the rate it was declared with?"""

#: Seconds on the clock that are compared. A network may stall for a few.
WINDOW_S = 10.0
#: Share by which they may differ: the nearest wrong rate, 44.1 kHz sent as 48 kHz, is 9 % off.
TOLERANCE = 0.06


class RateWatch:
    """Compares seconds of sound with seconds on the clock, over windows of WINDOW_S."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._heard_s = 0.0

    def heard(self, seconds: float, now: float) -> float | None:
        """Take note of `seconds` of sound that came at `now`.

        Gives sound a clock second, once a window is over and it is not about 1.
        """
        if self._since is None:
            self._since = now
            return None  # how long this one took to speak, nobody knows
        self._heard_s += seconds
        passed = now - self._since
        if passed < WINDOW_S:
            return None
        pace, self._since, self._heard_s = self._heard_s / passed, now, 0.0
        return pace if abs(pace - 1.0) > TOLERANCE else None

    def stalled(self) -> None:
        """We did not read for a while: what comes now says nothing about the client."""
        self._since, self._heard_s = None, 0.0
