"""Money that a recording may cost: intents, and why a call is not made."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from math import ceil

from shared.domain.answers import Task

#: Amounts are kept in millionths of a US dollar: whole numbers, so that sums are exact.
MICRO = 1_000_000


@dataclass(frozen=True, slots=True)
class PaidCall:
    """A call that is about to be made."""

    engine: str
    task: Task
    segments: tuple[int, ...]  #: every segment whose sound is sent
    at_most_usd: float


@dataclass(frozen=True, slots=True)
class Intent:
    """A call that was committed before it is made; until it is settled it counts as spent."""

    recording_id: str
    tenant: str
    attempt: int
    call: PaidCall
    day: date  #: UTC; the day whose budget pays


@dataclass(frozen=True, slots=True)
class Bought:
    """The very call was made and paid in this attempt before, by a worker that lost the job."""

    answer: str  #: as it was settled with


@dataclass(frozen=True, slots=True)
class DayOfMoney:
    """A tenant's UTC day, in US dollars; its cap is never passed by the three together.

    Reserved and stranded are at most `slices.SLICE` a worker.
    """

    spent_usd: float  #: calls that were made, unsettled ones at their most
    reserved_usd: float  #: taken by workers and not spent; comes back within `slices.SLICE_S`
    stranded_usd: float  #: of workers whose time is over; whoever needs it takes it back


class Refusal(StrEnum):
    """Why a paid call is not made; stands in the decisions as the reason."""

    NOT_OPTED_IN = "not_opted_in"  #: the tenant has not agreed to engines elsewhere
    RESIDENCY = "residency"  #: the tenant's data may not leave
    #: It would cost more than is left of the tenant's day, where others' slices are not left.
    OVER_BUDGET = "over_budget"
    OVER_LIMIT = "over_limit"  #: it would cost more than a whole day of the tenant's may
    #: This attempt meant to make such a call before and never said how it ended: it may have
    #: been paid for. The next attempt may call.
    UNRESOLVED = "intent_unresolved"
    #: This attempt has sent one of the segments in another call, or no answer came of it.
    CALLED = "already_called"


def micros_at_most(usd: float) -> int:
    """An estimate in millionths, never too low."""
    return ceil(usd * MICRO)


def micros(usd: float) -> int:
    """An amount that was paid, in millionths."""
    return round(usd * MICRO)
