"""Admission of one recording: limits, quota, lane and tag, decided in one pure step."""

from dataclasses import replace
from datetime import datetime
from math import ceil

from shared.domain.fairness import tag
from shared.domain.lanes import Candidate, rank
from shared.domain.overload import Backlog, shed
from shared.domain.quotas import anew, never, next_midnight, over, today, too_much, used_up
from shared.domain.recording import Failure, Ledger, Placement, Recording
from shared.domain.sound import Limits
from shared.domain.tenants import OverQuotaPolicy, Tenant
from shared.errors import AudioTooLarge, AudioTooLong, OverQuota


def check_limits(size_bytes: int, seconds: float | None, limits: Limits) -> None:
    """Refuse what the tier does not allow, as far as the header tells.

    Raises:
        AudioTooLarge, AudioTooLong: repeating will not help.
    """
    if size_bytes > limits.max_bytes:
        raise AudioTooLarge(
            f"The file has {size_bytes:,} bytes; the tier allows {limits.max_bytes:,}."
            " Compress or split it, or raise the tier."
        )
    if seconds is not None and seconds > limits.max_seconds:
        tenths = ceil(seconds * 10) / 10  # up, so that it never reads like the limit itself
        raise AudioTooLong(
            f"The recording is {tenths:,.1f} s long; the tier allows {limits.max_seconds:,.1f} s."
            " Split it or raise the tier."
        )


def capped(limits: Limits, max_seconds: float | None) -> Limits:
    """The tier's limits, or the installation's where they are tighter."""
    if max_seconds is None:
        return limits
    return replace(limits, max_seconds=min(limits.max_seconds, max_seconds))


def place(
    recording: Recording,
    tenant: Tenant,
    ledger: Ledger,
    now: datetime,
    backlog: Backlog | None = None,
    *,
    promised: bool = False,
) -> Placement:
    """Choose lane and tag, and charge the tenant's ledger.

    A recording over the day's quota is deferred to the next midnight UTC, and one that is
    shed under `backlog` to when that is worked off. Both are charged to the burst and the tag
    only: their files and seconds count on the day they are heard. A recording whose promised
    time has come (`promised`) is placed without a backlog and never refused: it is never shed
    twice, and a promise is not taken back.

    Raises:
        OverQuota: the tenant has uploads over its quota refused, or no day has room for this one;
            nothing was charged.
    """
    rules, ledger = tenant.rules, today(ledger, now)
    candidate = Candidate(
        path=recording.path,
        tier=tenant.tier,
        wishes=recording.wishes,
        seconds=recording.seconds,
        burst_left=rules.burst_files - ledger.burst_files,
    )
    ranking = rank(candidate)
    tags = tag(now.timestamp(), ledger.next_tag, recording.seconds, rules.weight)
    late = _over(recording.seconds or 0.0, tenant, ledger, now, promised)
    put_off = None if late or backlog is None else shed(tenant.tier, ranking.lane, backlog, now)
    waits = late is not None or put_off is not None
    charged = replace(
        ledger,
        next_tag=tags.next_tag,
        files=ledger.files + (not waits),
        seconds=ledger.seconds + (0.0 if waits else recording.seconds or 0.0),
        burst_files=ledger.burst_files + (ranking.rule == "pro_short"),
    )
    until, by = (put_off.until, put_off.rule) if put_off else (None, None)
    until = next_midnight(now) if late else until
    return Placement(ranking.lane, ranking.rule, tags.start_tag, until, charged, by, late)


def _over(
    seconds: float, tenant: Tenant, ledger: Ledger, now: datetime, promised: bool
) -> Failure | None:
    """Why it waits for the next day; None: it need not.

    Raises:
        OverQuota: it may not wait.
    """
    rules = tenant.rules
    limit = over(ledger, seconds, rules)
    if limit is None:
        return None
    said = f"{used_up(limit, ledger, seconds, rules)} {anew(now)}"
    if not promised:
        if hopeless := never(seconds, rules):
            raise OverQuota(too_much(hopeless, seconds, rules))
        if tenant.over_quota is OverQuotaPolicy.REFUSE:
            raise OverQuota(f"{said} Upload it again then, or raise the limit.")
    return Failure(OverQuota.code, said)
