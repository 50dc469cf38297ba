import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.domain.lanes import Lane
from shared.domain.placement import check_limits, place
from shared.domain.quotas import next_midnight
from shared.domain.recording import Failure, Ledger
from shared.domain.sound import Limits
from shared.domain.tenants import BURST_WINDOW_S, OverQuotaPolicy, Tier
from shared.errors import AudioTooLarge, AudioTooLong, OverQuota
from tests.builders import NOW, recording, tenant

TODAY = NOW.date().isoformat()


@pytest.mark.parametrize(
    ("size", "seconds", "refusal"),
    [
        (1_000, 300.0, None),
        (1_001, 300.0, AudioTooLarge),
        (1_000, 300.1, AudioTooLong),
        (1_000, None, None),
    ],
)
def test_limits(size, seconds, refusal):
    limits = Limits(max_seconds=300.0, max_bytes=1_000)

    if refusal is None:
        check_limits(size, seconds, limits)
    else:
        with pytest.raises(refusal):
            check_limits(size, seconds, limits)


@pytest.mark.parametrize(
    ("size", "seconds", "said"),
    [
        (1_001, None, "1,001 bytes; the tier allows 1,000"),
        (5_000_000_001, None, "5,000,000,001 bytes; the tier allows 1,000"),
        (1_000, 300.01, "300.1 s long; the tier allows 300.0 s"),
        (1_000, 7_200.0, "7,200.0 s long; the tier allows 300.0 s"),
    ],
)
def test_the_two_figures_of_a_refusal_are_never_the_same(size, seconds, said):
    """A file one byte too large was said to be 0.0 MB where 0.0 MB are allowed."""
    with pytest.raises((AudioTooLarge, AudioTooLong), match=re.escape(said)):
        check_limits(size, seconds, Limits(max_seconds=300.0, max_bytes=1_000))


@pytest.mark.parametrize(
    ("ledger", "seconds", "late"),
    [
        pytest.param(Ledger(day=TODAY, files=49), 1.0, False, id="50th file"),
        pytest.param(Ledger(day=TODAY, files=50), 1.0, True, id="51st file"),
        pytest.param(Ledger(day="2026-02-28", files=50), 1.0, False, id="yesterday's files"),
        pytest.param(Ledger(day=TODAY, seconds=17_990), 10.0, False, id="exactly 5 h"),
        pytest.param(Ledger(day=TODAY, seconds=17_990), 10.1, True, id="over 5 h"),
    ],
)
def test_the_daily_quota_defers_to_midnight(ledger, seconds, late):
    placement = place(recording(seconds=seconds), tenant(), ledger, NOW)

    assert placement.deferred_until == (datetime(2026, 3, 2, tzinfo=UTC) if late else None)
    assert placement.ledger.files == (ledger.files if late else (ledger.files % 50) + 1)


@pytest.mark.parametrize(
    ("sliced_ms", "late"),
    [pytest.param(17_990_000, False, id="exactly 5 h"), pytest.param(17_990_001, True, id="over")],
)
def test_what_slices_hold_is_counted(sliced_ms, late):
    ledger = Ledger(day=TODAY, sliced_ms=sliced_ms)

    assert (place(recording(seconds=10.0), tenant(), ledger, NOW).over is not None) is late


def test_yesterdays_slices_are_not():
    ledger = Ledger(day="2026-02-28", sliced_ms=18_000_000)

    placement = place(recording(seconds=10.0), tenant(), ledger, NOW)

    assert (placement.over, placement.ledger.sliced_ms) == (None, 0)


FULL = Ledger(day=TODAY, files=50, seconds=17_990.0)
SECONDS = Ledger(day=TODAY, seconds=17_990.0)
REFUSING = replace(tenant(), over_quota=OverQuotaPolicy.REFUSE)
MIDNIGHT = "The next day begins at 2026-03-02 00:00 UTC."
FILES_SAID = f"Of the tenant's 50 files a day 50 are used. {MIDNIGHT}"
SECONDS_SAID = f"The sound has 10.1 s; of the tenant's 18,000 s a day 10.0 s are left. {MIDNIGHT}"


@pytest.mark.parametrize(
    ("ledger", "said"),
    [
        pytest.param(FULL, FILES_SAID, id="both: files"),
        pytest.param(SECONDS, SECONDS_SAID, id="seconds"),
    ],
)
def test_it_is_said_which_limit_defers_or_refuses(ledger, said):
    deferred = place(recording(seconds=10.1), tenant(), ledger, NOW)
    with pytest.raises(OverQuota) as refused:
        place(recording(seconds=10.1), REFUSING, ledger, NOW)

    assert deferred.over == Failure("over_quota", said)
    assert deferred.reason == f"deferred: {said}"
    assert str(refused.value) == f"{said} Upload it again then, or raise the limit."


@pytest.mark.parametrize(
    ("seconds", "fits"),
    [pytest.param(18_000.0, True, id="5 h"), pytest.param(18_000.1, False, id="more")],
)
@pytest.mark.parametrize("who", [tenant(), REFUSING], ids=["deferring", "refusing"])
def test_nobody_is_promised_a_day_that_is_too_short(who, seconds, fits):
    def put():
        return place(recording(seconds=seconds), who, Ledger(), NOW)

    if fits:
        assert put().deferred_until is None
    else:
        with pytest.raises(OverQuota, match="no day has room for it"):
            put()


@pytest.mark.parametrize("seconds", [10.1, 18_000.1])
def test_a_promise_is_put_off_and_never_taken_back(seconds):
    placement = place(recording(seconds=seconds), REFUSING, FULL, NOW, promised=True)

    assert placement.deferred_until == datetime(2026, 3, 2, tzinfo=UTC)


def test_the_burst_runs_out_and_comes_back():
    pro, ledger, lanes = tenant(Tier.PRO), Ledger(), []
    for _ in range(31):
        placement = place(recording(seconds=10.0, tier=Tier.PRO), pro, ledger, NOW)
        ledger = placement.ledger
        lanes.append(placement.lane)
    later = NOW + timedelta(seconds=BURST_WINDOW_S)
    again = place(recording(seconds=10.0), pro, ledger, later)

    assert lanes == [Lane.HIGH] * 30 + [Lane.LOW]
    assert again.lane is Lane.HIGH


def test_enterprise_has_no_daily_quota():
    ledger = Ledger(day=TODAY, files=10**6, seconds=1e9)

    assert place(recording(), tenant(Tier.ENTERPRISE), ledger, NOW).deferred_until is None


def test_next_midnight_is_tomorrows_even_at_midnight():
    assert next_midnight(datetime(2026, 12, 31, tzinfo=UTC)) == datetime(2027, 1, 1, tzinfo=UTC)
