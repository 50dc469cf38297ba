"""A day's money, or its seconds, in slices: who takes how much, spends it, and returns the rest.

Each worker has one slice of a tenant's day. Taking, trimming and giving back change the slice
and the day's sum together; spending changes the slice alone. So the day's sum is what all
slices were granted, and no call can go over the cap that its slice was granted under.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.domain.spending import MICRO, DayOfMoney

#: Millionths of a US dollar that one worker takes at a time, at most. 55 calls of a minute of
#: sound at 0.0045 USD (the dearest minute of the table of prices for transcription), so that
#: workers who pay once a second change the day's sum once a minute each.
SLICE = MICRO // 4
#: One taking is at most this part of what is left of the day, so that the last of it is not
#: held by workers who do not need it ("guided self-scheduling", Polychronopoulos and Kuck
#: 1987: chunks that shrink with what remains).
PART = 16
#: Seconds a slice may be spent from; a dead worker's rest comes back after it. As long as five
#: leases (60 s), so that an idle worker's taking anew costs the day nothing, short beside the day.
SLICE_S = 300.0


@dataclass(frozen=True, slots=True)
class Cut:
    """How a day is cut."""

    slice: int  #: one taking at most
    part: int = PART
    lasts_s: float = SLICE_S


MONEY = Cut(SLICE)
#: Seconds of sound, in thousandths: ten minutes of it. A process that hears sixty clips of ten
#: seconds a minute changes the tenant's ledger once a minute, where one document takes about one
#: sustained write a second. What a killed process strands is at most one, until the day is over.
SOUND = Cut(600 * 1_000)


@dataclass(frozen=True, slots=True)
class Slice:
    """What one worker may spend of one tenant's UTC day: millionths of a US dollar, or
    thousandths of a second."""

    holder: str
    until: datetime  #: afterwards nothing is spent from it, and anybody may return its rest
    granted: int = 0
    spent: int = 0  #: unresolved intents at their most

    @property
    def rest(self) -> int:
        return self.granted - self.spent

    def over(self, now: datetime) -> bool:
        return self.until <= now

    def trimmed(self) -> "Slice":
        """Its rest is the day's again."""
        return replace(self, granted=self.spent)

    def settled(self, at_most: int, cost: int) -> "Slice":
        """What a call did cost in place of what it could; the difference may be spent again.

        What did cost more than it could is granted: it is spent already. Of a dear call that
        was cheap no more than a slice stays here.
        """
        spent = self.spent + cost - at_most
        return replace(self, spent=spent, granted=max(spent, min(self.granted, spent + SLICE)))


@dataclass(frozen=True, slots=True)
class Paid:
    """What a commit writes that pays for a call; `taken` is the day's sum afterwards."""

    taken: int
    mine: Slice
    trimmed: tuple[Slice, ...] = ()


def from_slice(taken: int, mine: Slice, cost: int, cap: int | None, now: datetime) -> Paid | None:
    """Pay from the slice alone; None where the day has to be asked.

    Where the cap was lowered below what was granted already, no slice is good any more.
    """
    fits = cap is None or taken <= cap
    if mine.over(now) or mine.rest < cost or not fits:
        return None
    return Paid(taken, replace(mine, spent=mine.spent + cost))


def from_day(
    taken: int,
    mine: Slice,
    others: Sequence[Slice],
    cost: int,
    cap: int | None,
    now: datetime,
    cut: Cut = MONEY,
) -> Paid | None:
    """Pay from a fresh slice: the rest of the old one returns first, and that of slices whose
    time is over. None where the cost does not fit into what is left of the day.

    What workers hold who are still spending is not there for anybody else: at most a slice each,
    and of a small day at most a `PART` of what was left when they took it.
    """
    lapsed = tuple(one.trimmed() for one in others if one.over(now) and one.rest > 0)
    returned = sum(one.rest for one in others if one.over(now)) + mine.rest
    taken -= returned
    if cap is not None and taken + cost > cap:
        return None
    take = max(cost, cut.slice if cap is None else min(cut.slice, (cap - taken) // cut.part))
    until = now + timedelta(seconds=cut.lasts_s)
    fresh = Slice(mine.holder, until, mine.spent + take, mine.spent + cost)
    return Paid(taken + take, fresh, lapsed)


def paid(
    taken: int,
    mine: Slice,
    lapsed: Callable[[], Sequence[Slice]],
    cost: int,
    cap: int | None,
    now: datetime,
) -> Paid | None:
    """Pay for a call by touching as little as will do; None: over the budget.

    Others' slices are looked for (`lapsed`) only where the day without them is not enough.
    """
    return (
        from_slice(taken, mine, cost, cap, now)
        or from_day(taken, mine, (), cost, cap, now)
        or from_day(taken, mine, lapsed(), cost, cap, now)
    )


def day_of_money(slices: Iterable[Slice], now: datetime) -> DayOfMoney:
    """What a day's slices come to."""
    every = list(slices)
    spent, reserved = sum(s.spent for s in every), sum(s.rest for s in every if not s.over(now))
    stranded = sum(s.rest for s in every if s.over(now))
    return DayOfMoney(spent / MICRO, reserved / MICRO, stranded / MICRO)
