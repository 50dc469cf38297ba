"""What a tenant may have heard in a UTC day, who counts it, and what is said when it is used up.

Uploads are charged one by one in intake's own commit. Sound that its sender waits for is charged
from slices of the day: a process takes some seconds (`slices.SOUND`), hears from them without
asking the store, and returns the rest. Both count on one ledger, so together they are never over.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from math import ceil

from shared.domain.recording import Ledger
from shared.domain.slices import SOUND, Slice, from_day
from shared.domain.tenants import BURST_WINDOW_S, Rules

#: Slices are counted in thousandths of a second.
MILLI = 1_000


class Limit(StrEnum):
    """Which of a day's limits is used up."""

    FILES = "files a day"
    SECONDS = "seconds a day"


@dataclass(frozen=True, slots=True)
class DayOfSound:
    """What was heard of a tenant's UTC day. Seconds that were used are exact once every process
    has told; until then they are among those reserved."""

    files: int = 0
    used_s: float = 0.0
    reserved_s: float = 0.0  #: held by processes that hear now, partly heard
    stranded_s: float = 0.0  #: held by processes that are gone; nobody gets them on this day


@dataclass(frozen=True, slots=True)
class Portion:
    """What one process holds of a tenant's day."""

    day: str  #: UTC date, ISO; "" before the first
    taken: int  #: by all processes of this day, when this one took; thousandths of a second
    mine: Slice
    told: int = 0  #: of `mine.spent`, what the store knows of

    @property
    def as_told(self) -> Slice:
        """The slice as the store has it."""
        return replace(self.mine, spent=self.told)


def today(ledger: Ledger, now: datetime) -> Ledger:
    """The ledger with its counts set to zero where their day or window is over.

    A clock set back over midnight begins no new day: nobody gets a day's quota twice.
    """
    day = day_of(now)
    if ledger.day < day:
        ledger = replace(ledger, day=day, files=0, seconds=0.0, sliced_ms=0)
    if now.timestamp() - ledger.burst_from >= BURST_WINDOW_S:
        ledger = replace(ledger, burst_from=now.timestamp(), burst_files=0)
    return ledger


def day_of(now: datetime) -> str:
    return now.astimezone(UTC).date().isoformat()


def next_midnight(now: datetime) -> datetime:
    """When daily quotas begin anew: 00:00 UTC."""
    day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day + timedelta(days=1)


def taken_s(ledger: Ledger) -> float:
    """Seconds of the ledger's day that nobody else may have: uploads, and slices taken."""
    return ledger.seconds + ledger.sliced_ms / MILLI


def over(ledger: Ledger, seconds: float, rules: Rules) -> Limit | None:
    """The limit of the day that one more upload would pass."""
    if rules.files_a_day is not None and ledger.files + 1 > rules.files_a_day:
        return Limit.FILES
    if rules.seconds_a_day is not None and taken_s(ledger) + seconds > rules.seconds_a_day:
        return Limit.SECONDS
    return None


def never(seconds: float, rules: Rules) -> Limit | None:
    """The limit that even a whole day is too short for: to put off would be a false promise."""
    return over(Ledger(), seconds, rules)


def day_of_sound(ledger: Ledger, slices: Iterable[Slice], now: datetime) -> DayOfSound:
    """What a day comes to; `slices` are those of the ledger's day.

    Stranded is what was taken and is neither used nor held, so that the three always add up.
    """
    every = list(slices)
    used, held = sum(s.spent for s in every), sum(s.rest for s in every if not s.over(now))
    stranded = ledger.sliced_ms - used - held
    used_s = ledger.seconds + used / MILLI
    return DayOfSound(ledger.files, used_s, held / MILLI, stranded / MILLI)


def portion(
    ledger: Ledger, held: Portion, known: Slice, cost: int, limit_s: float | None, now: datetime
) -> tuple[Ledger, Portion] | None:
    """A fresh slice that pays `cost`, and the ledger with it; None: the day has no room.

    `known` is the slice as the store has it. What was granted and not used returns first, also
    where the answer to an earlier taking was lost. `ledger` is that of `today`.
    """
    spent = held.mine.spent if held.day == ledger.day else 0
    mine = replace(known, holder=held.mine.holder, spent=spent)
    room = room_ms(ledger, limit_s)
    made = from_day(ledger.sliced_ms, mine, (), cost, room, now, SOUND)
    if made is None:
        return None
    # What this very call uses is told with the next one.
    fresh = Portion(ledger.day, made.taken, made.mine, told=spent)
    return replace(ledger, sliced_ms=made.taken), fresh


def settled(ledger: Ledger, held: Portion, known: Slice, *, rest: bool) -> tuple[Ledger, Slice]:
    """Ledger and slice with what was used; with `rest`, what was not returns to the day.

    Twice is once: what was returned is granted no more.
    """
    after = replace(known, spent=held.mine.spent)
    if not rest:
        return ledger, after
    left = ledger.sliced_ms - after.rest if ledger.day == held.day else ledger.sliced_ms
    return replace(ledger, sliced_ms=left), after.trimmed()


def room_ms(ledger: Ledger, rules_s: float | None) -> int | None:
    """Thousandths of a second that slices may come to, beside what was uploaded; None: any."""
    return None if rules_s is None else int((rules_s - ledger.seconds) * MILLI)


def cost_ms(seconds: float) -> int:
    """Rounded up, so that nothing is heard for nothing."""
    return ceil(seconds * MILLI)


def used_up(limit: Limit, ledger: Ledger, seconds: float, rules: Rules) -> str:
    """Which limit, how much of it is used, and nothing yet of what follows."""
    if limit is Limit.FILES:
        return f"Of the tenant's {rules.files_a_day:,} files a day {ledger.files:,} are used."
    allowed, left = rules.seconds_a_day or 0.0, (rules.seconds_a_day or 0.0) - taken_s(ledger)
    return left_over(seconds, allowed, left)


def left_over(seconds: float, allowed_s: float, left_s: float) -> str:
    return (
        f"The sound has {seconds:,.1f} s; of the tenant's {allowed_s:,.0f} s a day"
        f" {max(0.0, left_s):,.1f} s are left."
    )


def too_much(limit: Limit, seconds: float, rules: Rules) -> str:
    """What is said of an upload that no day could hear."""
    if limit is Limit.FILES:
        return f"The tenant may upload {rules.files_a_day} files a day: none. Raise its limit."
    return (
        f"The sound has {seconds:,.1f} s; the tenant may have {rules.seconds_a_day:,.0f} s a day"
        " heard, so no day has room for it. Split it, or raise the limit."
    )


def anew(now: datetime) -> str:
    return f"The next day begins at {next_midnight(now):%Y-%m-%d %H:%M} UTC."
