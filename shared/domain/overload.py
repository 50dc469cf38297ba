"""When more waits than can be heard in time: who is deferred at the door, and until when."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.domain.lanes import Lane
from shared.domain.tenants import HOUR_S, Tier

#: Seconds that may pass until a newcomer of this tier is heard; beyond it is deferred at the
#: door. Free gives way first, then pro; enterprise never does: it has paid for its place.
BEARABLE_S: Mapping[Tier, float] = {Tier.FREE: 0.5 * HOUR_S, Tier.PRO: 2 * HOUR_S}
#: Seconds ahead that nobody is promised beyond: an estimate of days is none.
FARTHEST_S = 24 * HOUR_S


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits, and how fast it is worked off, all instances together."""

    waiting_s: Mapping[Lane, float]  #: seconds of sound in each lane
    rate: float  #: seconds of sound heard a second, > 0

    def delay_s(self, lane: Lane) -> float:
        """Seconds until a newcomer in this lane is heard: behind its lane and those before it."""
        ahead = (Lane.HIGH,) if lane is Lane.HIGH else (Lane.HIGH, Lane.LOW)
        return sum(self.waiting_s.get(one, 0.0) for one in ahead) / self.rate


@dataclass(frozen=True, slots=True)
class Shed:
    """Deferred under overload."""

    until: datetime  #: when what waits now is probably worked off
    rule: str  #: for history, logs and metrics


def shed(tier: Tier, lane: Lane, backlog: Backlog, now: datetime) -> Shed | None:
    """Whether a newcomer is deferred, and until when; None = it is taken in.

    Whoever is let in now is never behind somebody of a lower tier that is let in, too: a free
    newcomer waits at least as long as a pro one, and bears less.
    """
    delay_s = backlog.delay_s(lane)
    if delay_s <= BEARABLE_S.get(tier, float("inf")):
        return None
    return Shed(now + timedelta(seconds=min(delay_s, FARTHEST_S)), f"overload_{tier}")
