"""Admission of one recording: limits, quota, lane and tag, decided in one pure step."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import ceil

from shared.domain.fairness import tag
from shared.domain.lanes import Candidate, rank
from shared.domain.overload import Backlog, shed
from shared.domain.recording import Ledger, Placement, Recording
from shared.domain.sound import Limits
from shared.domain.tenants import BURST_WINDOW_S, Rules, Tenant
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


def _today(ledger: Ledger, now: datetime) -> Ledger:
    """The ledger with its counts set to zero where their day or window is over.

    A clock set back over midnight begins no new day: nobody gets a day's quota twice.
    """
    day = now.astimezone(UTC).date().isoformat()
    if ledger.day < day:
        ledger = replace(ledger, day=day, files=0, seconds=0.0)
    if now.timestamp() - ledger.burst_from >= BURST_WINDOW_S:
        ledger = replace(ledger, burst_from=now.timestamp(), burst_files=0)
    return ledger


def _over_quota(ledger: Ledger, seconds: float, rules: Rules) -> bool:
    files_over = rules.files_a_day is not None and ledger.files + 1 > rules.files_a_day
    seconds_over = (
        rules.seconds_a_day is not None and ledger.seconds + seconds > rules.seconds_a_day
    )
    return files_over or seconds_over


def heard_now(seconds: float, tenant: Tenant, ledger: Ledger, now: datetime) -> Ledger:
    """The ledger after sound that its sender waits for: of the same seconds a day as uploads.

    It is no file: nothing is kept of it, and the limit of files is one of storage.

    Raises:
        OverQuota: more than is left of the day; `retry_after_s` says when a new one begins.
    """
    ledger, limit = _today(ledger, now), tenant.rules.seconds_a_day
    if limit is not None and ledger.seconds + seconds > limit:
        begins, left = next_midnight(now), max(0.0, limit - ledger.seconds)
        raise OverQuota(
            f"The sound has {seconds:,.1f} s; of the tenant's {limit:,.0f} s a day"
            f" {left:,.1f} s are left. The next day begins at {begins:%Y-%m-%d %H:%M} UTC. Uploads"
            " are taken and heard then; a higher tier hears more.",
            retry_after_s=(begins - now).total_seconds(),
        )
    return replace(ledger, seconds=ledger.seconds + seconds)


def next_midnight(now: datetime) -> datetime:
    """When daily quotas begin anew: 00:00 UTC."""
    day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day + timedelta(days=1)


def place(
    recording: Recording,
    tenant: Tenant,
    ledger: Ledger,
    now: datetime,
    backlog: Backlog | None = None,
) -> Placement:
    """Choose lane and tag, and charge the tenant's ledger.

    A recording over the day's quota is deferred to the next midnight UTC, and one that is
    shed under `backlog` to when that is worked off. Both are charged to the burst and the tag
    only: their files and seconds count on the day they are heard. A recording whose promised
    time has come is placed without a backlog: it is never shed twice.
    """
    rules, ledger = tenant.rules, _today(ledger, now)
    candidate = Candidate(
        path=recording.path,
        tier=tenant.tier,
        wishes=recording.wishes,
        seconds=recording.seconds,
        burst_left=rules.burst_files - ledger.burst_files,
    )
    ranking = rank(candidate)
    tags = tag(now.timestamp(), ledger.next_tag, recording.seconds, rules.weight)
    late = _over_quota(ledger, recording.seconds or 0.0, rules)
    put_off = None if late or backlog is None else shed(tenant.tier, ranking.lane, backlog, now)
    waits = late or put_off is not None
    charged = replace(
        ledger,
        next_tag=tags.next_tag,
        files=ledger.files + (not waits),
        seconds=ledger.seconds + (0.0 if waits else recording.seconds or 0.0),
        burst_files=ledger.burst_files + (ranking.rule == "pro_short"),
    )
    until, by = (put_off.until, put_off.rule) if put_off else (None, None)
    until = next_midnight(now) if late else until
    return Placement(ranking.lane, ranking.rule, tags.start_tag, until, charged, by)
