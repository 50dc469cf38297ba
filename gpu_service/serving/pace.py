"""How long an engine needs for how much sound, learnt from its own calls.

A call takes `call_s + pace x seconds of sound`. Both are fitted to the calls so far, older ones
counting less; a call's limit, what is slow, and how large a batch pays, follow from them.
"""

from dataclasses import dataclass, replace

#: What a call counts for, compared with the one after it: the last 50 carry 64 % of the weight.
FADE = 0.98
#: Calls before the fit is believed. Before that the assumed pace holds.
ENOUGH = 5
#: Assumed of an engine nobody has heard yet: a call alone, and a second a second of sound. Slow
#: for every engine here, so that a first call is never ended too soon.
CALL_S, PACE = 1.0, 1.0
#: Where a fit may lie: a call of microseconds or a pace of nothing is noise.
LEAST_CALL_S, LEAST_PACE = 1e-4, 1e-6
#: Seconds a call may take however short the sound: a machine that swaps, a child that is born.
BASE_LIMIT_S = 30.0
#: Times the expected time after which a call hangs, and after which it counts as slow. Tests on
#: two cores shared by eight others took 5 times as long as alone.
HANGS, SLOW = 10.0, 3.0
#: Seconds below which no call is slow, whatever was expected.
LEAST_SLOW_S = 2.0


@dataclass(frozen=True, slots=True)
class Pace:
    """Weighted least squares over (seconds of sound, seconds taken), kept as sums."""

    calls: int = 0
    weight: float = 0.0
    x: float = 0.0
    y: float = 0.0
    xx: float = 0.0
    xy: float = 0.0

    def after(self, sound_s: float, taken_s: float) -> "Pace":
        """What is known after one more call."""
        return replace(
            self,
            calls=self.calls + 1,
            weight=self.weight * FADE + 1.0,
            x=self.x * FADE + sound_s,
            y=self.y * FADE + taken_s,
            xx=self.xx * FADE + sound_s * sound_s,
            xy=self.xy * FADE + sound_s * taken_s,
        )

    @property
    def known(self) -> bool:
        """Whether enough calls were seen for the fit to be believed."""
        return self.calls >= ENOUGH

    def fit(self) -> tuple[float, float]:
        """Seconds a call takes, and seconds a second of sound takes on top; never negative.

        Where all calls were of one length the two cannot be told apart: all is pace.
        """
        if not self.known:
            return CALL_S, PACE
        spread = self.weight * self.xx - self.x * self.x
        if spread <= 1e-9 * self.xx * self.weight:
            return LEAST_CALL_S, max(self.y / max(self.x, LEAST_PACE), LEAST_PACE)
        pace = max((self.weight * self.xy - self.x * self.y) / spread, LEAST_PACE)
        return max((self.y - pace * self.x) / self.weight, LEAST_CALL_S), pace

    @property
    def call_as_sound_s(self) -> float:
        """What a call costs by itself, in seconds of sound heard meanwhile."""
        call_s, pace = self.fit()
        return call_s / pace

    def expected_s(self, sound_s: float) -> float:
        call_s, pace = self.fit()
        return call_s + pace * sound_s

    def limit_s(self, sound_s: float) -> float:
        """Seconds after which a call with so much sound hangs."""
        return BASE_LIMIT_S + HANGS * self.expected_s(sound_s)

    def slow(self, sound_s: float, taken_s: float) -> bool:
        """Whether a call took far longer than calls of its size do; never before it is known."""
        return self.known and taken_s > max(LEAST_SLOW_S, SLOW * self.expected_s(sound_s))
