import re
from datetime import UTC, datetime, timedelta

import pytest

from shared.domain.lanes import Lane
from shared.domain.placement import check_limits, heard_now, next_midnight, place
from shared.domain.recording import Ledger
from shared.domain.sound import Limits
from shared.domain.tenants import BURST_WINDOW_S, Tier
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
    ("ledger", "seconds", "after"),
    [
        pytest.param(Ledger(day=TODAY, seconds=17_990), 10.0, 18_000.0, id="exactly 5 h"),
        pytest.param(Ledger(day=TODAY, seconds=17_990), 10.1, None, id="over 5 h"),
        pytest.param(Ledger(day="2026-02-28", seconds=18_000), 10.0, 10.0, id="yesterday's"),
        pytest.param(Ledger(day=TODAY, files=50), 10.0, 10.0, id="no file"),
    ],
)
def test_sound_that_is_waited_for_has_the_same_seconds_a_day(ledger, seconds, after):
    if after is None:
        with pytest.raises(OverQuota, match=r"10\.0 s are left") as refused:
            heard_now(seconds, tenant(), ledger, NOW)
        midnight = datetime(2026, 3, 2, tzinfo=UTC)
        assert refused.value.context["retry_after_s"] == (midnight - NOW).total_seconds()
    else:
        charged = heard_now(seconds, tenant(), ledger, NOW)
        assert (charged.seconds, charged.day) == (after, TODAY)
        assert charged.files == (ledger.files if ledger.day == TODAY else 0)


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
