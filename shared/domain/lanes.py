"""Which lane a job takes: a table of rules, the first that applies wins."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from shared.domain.tenants import BURST_CLIP_S, Tier
from shared.domain.wishes import Wishes


class Lane(StrEnum):
    HIGH = "high"
    LOW = "low"


@dataclass(frozen=True, slots=True)
class Candidate:
    """What the rules look at."""

    path: str  #: the object's name inside the tenant's folder
    tier: Tier
    wishes: Wishes
    seconds: float | None  #: estimated length; None where the header does not say
    burst_left: int  #: short files the tenant may still send to the high lane now
    realtime: bool = False  #: came through the synchronous API


@dataclass(frozen=True, slots=True)
class Rule:
    name: str
    applies: Callable[[Candidate], bool]
    lane: Lane


@dataclass(frozen=True, slots=True)
class Ranking:
    lane: Lane
    rule: str  #: the rule's name, for record, logs and metrics


def _marked_bulk(c: Candidate) -> bool:
    return c.wishes.bulk or "bulk" in c.path.split("/")[:-1]


def _short_within_burst(c: Candidate) -> bool:
    short = c.seconds is not None and c.seconds <= BURST_CLIP_S
    return c.tier is Tier.PRO and short and c.burst_left > 0


RULES: tuple[Rule, ...] = (
    # Whoever says "no hurry" is believed, whatever the tier.
    Rule("bulk", _marked_bulk, Lane.LOW),
    # Replays are re-runs; they must never delay a customer.
    Rule("replay", lambda c: c.wishes.replay, Lane.LOW),
    Rule("enterprise", lambda c: c.tier is Tier.ENTERPRISE, Lane.HIGH),
    # A person waits for the answer on the other end of the connection.
    Rule("realtime", lambda c: c.realtime, Lane.HIGH),
    # Short clips leave the queue faster than they could wait in it, up to the tenant's burst.
    Rule("pro_short", _short_within_burst, Lane.HIGH),
    Rule("everything_else", lambda _: True, Lane.LOW),
)

#: One lease in so many looks at the low lane first, so that it keeps >= 5 % of the slots (P2).
LOW_FIRST_EVERY = 20


def rank(candidate: Candidate, rules: tuple[Rule, ...] = RULES) -> Ranking:
    """The lane of the first rule that applies, and that rule's name."""
    rule = next(r for r in rules if r.applies(candidate))
    return Ranking(rule.lane, rule.name)


def lease_order(turn: int) -> tuple[Lane, Lane]:
    """In which order worker turn number `turn` (from 0) looks at the lanes."""
    low_first = turn % LOW_FIRST_EVERY == LOW_FIRST_EVERY - 1
    return (Lane.LOW, Lane.HIGH) if low_first else (Lane.HIGH, Lane.LOW)
