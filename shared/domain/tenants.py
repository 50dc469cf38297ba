"""Tenants, their tiers, and what a tier allows."""

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from shared.domain.sound import Limits
from shared.errors import ResidencyKept

MB, GB = 1_000_000, 1_000_000_000
HOUR_S = 3600.0
#: The tenant of the first run and of every request without a key on 127.0.0.1.
DEMO = "demo"


class Tier(StrEnum):
    FREE = "free"
    PRO = "pro"
    ENTERPRISE = "enterprise"


class OverQuotaPolicy(StrEnum):
    """What becomes of an upload that a day's limit has no room for."""

    DEFER = "defer"  #: it waits for the next day, and is promised so
    REFUSE = "refuse"  #: it is rejected, and its sender told when to come again


@dataclass(frozen=True, slots=True)
class Rules:
    """What a tier allows; None means without limit. DESIGN section 4 is the source."""

    max_bytes: int
    max_seconds: float
    files_a_day: int | None
    seconds_a_day: float | None
    keep_days: int | None  #: exactly one of keep_days and keep_months is set
    keep_months: int | None
    weight: float  #: share in fair queueing: a weight of 4 waits a quarter as long
    fallback_usd_a_day: float | None  #: for paid engines, once the tenant has opted in
    burst_files: int = 0  #: short files a tenant may send to the high lane per BURST_WINDOW_S
    #: How much longer than that a recording may be kept if somebody asks; 0: not at all.
    max_extension_days: int | None = 0


#: Seconds; the window in which `burst_files` are counted, and the longest "short" file.
BURST_WINDOW_S, BURST_CLIP_S = 600.0, 60.0

TIERS: dict[Tier, Rules] = {
    Tier.FREE: Rules(200 * MB, 1 * HOUR_S, 50, 5 * HOUR_S, 30, None, 1.0, 0.0),
    Tier.PRO: Rules(2 * GB, 4 * HOUR_S, 2_000, 200 * HOUR_S, None, 6, 4.0, 5.0, 30, 180),
    Tier.ENTERPRISE: Rules(5 * GB, 12 * HOUR_S, None, None, 365, None, 8.0, None, 0, None),
}

#: Rules a tenant may be given of its own, by name (`earwitness tenants set`).
OVERRIDABLE = frozenset(
    {
        *("max_bytes", "max_seconds", "files_a_day", "seconds_a_day", "weight"),
        *("keep_days", "keep_months", "fallback_usd_a_day", "max_extension_days"),
    }
)


@dataclass(frozen=True, slots=True)
class Tenant:
    """Owns recordings. `overrides` replace single rules of its tier."""

    id: str
    tier: Tier
    created_at: datetime
    overrides: tuple[tuple[str, float], ...] = ()
    #: Whether doubtful sound may be sent to paid engines elsewhere: the tenant says so itself.
    fallback: bool = False
    #: What its recordings are asked, as `profiles.Profile.canonical` writes it; None: the built-in
    #: profile. Kept as text, for the functions read tenants and have no time for profiles (P8).
    profile: str | None = None
    #: Its data may not leave: no engine elsewhere is asked, and the tenant cannot agree to one.
    residency: bool = False
    #: What becomes of uploads over a day's limit.
    over_quota: OverQuotaPolicy = OverQuotaPolicy.DEFER

    def __post_init__(self) -> None:
        """Raise ResidencyKept for a tenant that both stays and goes."""
        if self.residency and self.fallback:
            raise ResidencyKept

    @property
    def rules(self) -> Rules:
        if not self.overrides:
            return TIERS[self.tier]
        changes = dict(self.overrides)
        for one, other in (("keep_days", "keep_months"), ("keep_months", "keep_days")):
            if one in changes:
                changes[other] = None  # type: ignore[assignment]  # one of the two holds
                break
        whole = {"max_bytes", "files_a_day", "keep_days", "keep_months", "max_extension_days"}
        typed = {k: int(v) if k in whole and v is not None else v for k, v in changes.items()}
        return replace(TIERS[self.tier], **typed)  # type: ignore[arg-type]  # keys are OVERRIDABLE

    def keeps_as(self, other: "Tenant") -> bool:
        """Whether both keep a recording for the same time."""
        mine, theirs = self.rules, other.rules
        return (mine.keep_days, mine.keep_months) == (theirs.keep_days, theirs.keep_months)

    @property
    def limits(self) -> Limits:
        return Limits(max_seconds=self.rules.max_seconds, max_bytes=self.rules.max_bytes)


#: The longest anybody is promised to be kept, so that every promise is a date: 100 years.
MAX_KEEP_DAYS, MAX_KEEP_MONTHS = 36_525, 1_200
_KEPT_FOR = re.compile(r"([0-9]{1,6})(d|mo|y)")


def keeping(said: str) -> tuple[str, int]:
    """`400d`, `6mo` or `2y` as the rule it sets and its value: days, or calendar months.

    Raises:
        ValueError: it is none of these, or nothing, or more than 100 years.
    """
    match = _KEPT_FOR.fullmatch(said)
    if match is None:
        raise ValueError(f"{said!r} is no time to keep: say days, months or years (400d, 6mo, 2y)")
    number, unit = int(match[1]), match[2]
    rule, value, most = (
        ("keep_days", number, MAX_KEEP_DAYS)
        if unit == "d"
        else ("keep_months", number * (12 if unit == "y" else 1), MAX_KEEP_MONTHS)
    )
    if not 0 < value <= most:
        raise ValueError(f"{said!r} is not between 1d and 100y")
    return rule, value


def kept_for(rules: Rules) -> str:
    """How long in words: `30 days`, `6 months`, `2 years`."""
    if rules.keep_months is None:
        return f"{rules.keep_days} days"
    years, months = divmod(rules.keep_months, 12)
    return f"{rules.keep_months} months" if months else f"{years} year{'s' if years > 1 else ''}"


def add_months(at: datetime, months: int) -> datetime:
    """`at` some calendar months later; a day that does not exist becomes the month's last.

    31 August + 6 months is 28 (or 29) February: never a day later than promised months end.
    """
    years, month0 = divmod(at.month - 1 + months, 12)
    first = at.replace(year=at.year + years, month=month0 + 1, day=1)
    last = (first.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)
    return first.replace(day=min(at.day, last.day))


def kept_until(received_at: datetime, rules: Rules) -> datetime:
    """When the promise to keep a recording ends, counted in UTC."""
    at = received_at.astimezone(UTC)
    if rules.keep_months is not None:
        return add_months(at, rules.keep_months)
    return at + timedelta(days=rules.keep_days or 0)
