"""What time it is where a clock may be wrong: nothing is erased because one jumped ahead."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

#: Seconds a machine must be up before a clock that was ahead when it started is believed: nobody
#: knows how long it was off, and by then the network's time has had its chance.
AFTER_BOOT_S = 3_600.0
#: Seconds until a clock that jumped ahead while the machine was up is believed. As long as what
#: ends is announced ahead (`retention.ANNOUNCED_AHEAD`): what was announced by the old clock has
#: had its days by then, whichever of the two clocks was right.
AFTER_JUMP_S = 7 * 86_400.0
#: Clocks are read one after the other, and are set right by so much all the time.
UNNOTICED = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Times:
    """The time lies between the two: what goes is judged by one, what is stamped by the other."""

    earliest: datetime
    latest: datetime

    @classmethod
    def exactly(cls, at: datetime) -> "Times":
        return cls(at, at)


@dataclass(frozen=True, slots=True)
class Uptime:
    """A clock that nobody sets: seconds since the start of the machine, and which start it was."""

    boot: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Anchor:
    """A moment that was believed, and what has been odd about the clock since."""

    at: datetime
    up: Uptime
    patience_s: float = AFTER_JUMP_S
    ahead: timedelta = timedelta(0)  #: by how much the clock is doubted; 0: it is not
    doubted_s: float = 0.0  #: since which uptime


def told(anchor: Anchor | None, clock: datetime, up: Uptime) -> tuple[Anchor, Times]:
    """What time it is by a clock and by what has passed since the anchor; and the next anchor.

    While a machine is up, no more time passes than its uptime says. A clock that is ahead of
    that is believed after AFTER_JUMP_S, or AFTER_BOOT_S where the machine was off meanwhile; a
    clock that jumps further begins anew. Until then the earlier of the two decides. A clock
    that is behind decides at once: it can only make things later.
    """
    if anchor is None:
        return Anchor(clock, up), Times.exactly(clock)
    if anchor.up.boot != up.boot or up.seconds < anchor.up.seconds:
        # It was off, for nobody knows how long; at least its uptime has passed since.
        off = clock - anchor.at - timedelta(seconds=up.seconds)
        anchor = Anchor(anchor.at, Uptime(up.boot, 0.0), AFTER_BOOT_S, off)
    expected = anchor.at + timedelta(seconds=up.seconds - anchor.up.seconds)
    ahead = clock - expected
    if ahead <= UNNOTICED:
        trusted = replace(anchor, ahead=timedelta(0), doubted_s=0.0)
        return trusted, Times(min(clock, expected), max(clock, expected))
    if not anchor.ahead or ahead > anchor.ahead + UNNOTICED:
        anchor = replace(anchor, ahead=ahead, doubted_s=up.seconds)
    if up.seconds - anchor.doubted_s < anchor.patience_s:
        return anchor, Times(expected, clock)
    return Anchor(clock, up), Times.exactly(clock)
