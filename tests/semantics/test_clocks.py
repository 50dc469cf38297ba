"""R10: skew, jumps, daylight saving and leap days end nothing early and grant nothing twice."""

from calendar import monthrange
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from shared.adapters.embedded.sqlite_database import Database
from shared.adapters.embedded.sqlite_jobs import SqliteJobs
from shared.adapters.embedded.sqlite_recordings import SqliteRecordings
from shared.adapters.embedded.sqlite_tenants import SqliteTenants
from shared.domain.lanes import Lane
from shared.domain.placement import place
from shared.domain.recording import Ledger
from shared.domain.states import State
from shared.domain.tenants import TIERS, Tenant, Tier, kept_until
from shared.errors import StaleLease
from tests.builders import NOW, placed, recording

BERLIN, APIA = ZoneInfo("Europe/Berlin"), ZoneInfo("Pacific/Apia")
MOMENTS = some.datetimes(
    min_value=datetime(2020, 1, 1), max_value=datetime(2060, 1, 1), timezones=some.just(UTC)
)


@given(MOMENTS, some.sampled_from([UTC, BERLIN, APIA]))
def test_days_are_whole_days_whatever_the_time_zone_of_the_clock(at, zone):
    """Two changes of the clock, a leap day, a day Samoa never had: 30 days are 30 x 24 hours."""
    kept = kept_until(at.astimezone(zone), TIERS[Tier.FREE])

    assert kept - at == timedelta(days=30)


@given(MOMENTS, some.sampled_from([UTC, BERLIN, APIA]))
def test_six_calendar_months_are_never_short(at, zone):
    kept = kept_until(at.astimezone(zone), TIERS[Tier.PRO])

    months = (kept.year - at.year) * 12 + kept.month - at.month
    last = monthrange(kept.year, kept.month)[1]
    assert months == 6
    assert (kept.day, kept.time()) == (min(at.day, last), at.time())


@pytest.mark.parametrize(
    ("received", "until"),
    [
        pytest.param("2027-08-29T23:59:59", "2028-02-29T23:59:59", id="into a leap day"),
        pytest.param("2027-08-31T00:00:00", "2028-02-29T00:00:00", id="a day February lacks"),
        pytest.param("2028-02-29T12:00:00", "2028-08-29T12:00:00", id="out of a leap day"),
    ],
)
def test_leap_days(received, until):
    at = datetime.fromisoformat(received).replace(tzinfo=UTC)

    assert kept_until(at, TIERS[Tier.PRO]).isoformat() == f"{until}+00:00"


@settings(deadline=None)
@given(some.lists(some.integers(-100_000, 100_000), min_size=60, max_size=80))
def test_a_clock_that_jumps_never_grants_more_than_a_days_quota_a_day(jumps_s):
    """However the clock jumps about, no day's files pass the free tier's 50."""
    tenant, ledger, now = Tenant("acme", Tier.FREE, NOW), Ledger(), NOW
    admitted: dict[str, int] = {}
    for n, jump in enumerate(jumps_s):
        now += timedelta(seconds=jump)
        placement = place(recording(n, seconds=1.0), tenant, ledger, now)
        ledger = placement.ledger
        if placement.deferred_until is None:
            admitted[ledger.day] = admitted.get(ledger.day, 0) + 1

    assert all(n <= 50 for n in admitted.values())


@pytest.fixture
def jobs():
    db = Database(":memory:")
    SqliteTenants(db).ensure("acme", Tier.FREE, NOW)
    recordings = SqliteRecordings(db)
    recordings.create_or_get(recording(1), lambda _: placed())
    return SqliteJobs(db), recordings


def test_a_clock_set_back_ends_no_lease(jobs):
    store, recordings = jobs
    store.lease_next([Lane.LOW], "w", NOW, 60)

    assert store.take_back(NOW - timedelta(days=365)) == 0
    assert recordings.get("rec00001").state is State.PROCESSING


def test_a_clock_that_ran_ahead_ends_a_lease_early_but_only_one_worker_writes(jobs):
    store, recordings = jobs
    first = store.lease_next([Lane.LOW], "w1", NOW, 60)
    ahead = NOW + timedelta(hours=1)
    store.take_back(ahead)
    second = store.lease_next([Lane.LOW], "w2", ahead + timedelta(hours=1), 60)

    with pytest.raises(StaleLease):
        store.extend(first, NOW, 60)
    assert second.token > first.token
    assert recordings.get("rec00001").attempts == 2
