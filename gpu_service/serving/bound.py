"""How much sound one batch may hold: what memory was seen to allow, probed upwards slowly."""

from dataclasses import dataclass, replace

#: Full batches in a row after which a little more is tried, and how much more. 1.1 ** 8 = 2.1:
#: a bound that was halved by chance is back after 8 x 50 full batches, and one that was halved
#: for a reason costs one lost batch in 50.
PROBE_AFTER, PROBE_BY = 50, 1.1
#: Share of the bound above which a batch says something about it.
FULL = 0.8
#: Seconds below which no bound falls: shorter clips go alone anyway.
LEAST_S = 1.0


@dataclass(frozen=True, slots=True)
class Bound:
    """Seconds of sound, as the engine pays for them (`batches.cost_s`)."""

    most_s: float  #: never more, however much memory there is
    now_s: float
    fine: int = 0  #: full batches since it last changed

    def exhausted(self, cost_s: float) -> "Bound":
        """A batch of this cost was too much: half of it from now on (infinite: no batch was)."""
        if cost_s == float("inf"):
            return self
        return replace(self, now_s=max(LEAST_S, min(self.now_s, cost_s / 2)), fine=0)

    def held(self, cost_s: float) -> "Bound":
        """A batch of this cost went well."""
        if self.now_s >= self.most_s or cost_s < FULL * self.now_s:
            return self
        if self.fine + 1 < PROBE_AFTER:
            return replace(self, fine=self.fine + 1)
        return replace(self, now_s=min(self.most_s, self.now_s * PROBE_BY), fine=0)
