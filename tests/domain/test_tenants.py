from datetime import UTC, datetime, timedelta, timezone

import pytest

from shared.domain.tenants import TIERS, Tier, add_months, keeping, kept_for, kept_until
from tests.builders import tenant


@pytest.mark.parametrize(
    ("start", "months", "expected"),
    [
        ("2026-08-31", 6, "2027-02-28"),
        ("2027-08-31", 6, "2028-02-29"),
        ("2026-08-28", 6, "2027-02-28"),
        ("2026-12-31", 6, "2027-06-30"),
        ("2026-01-15", 6, "2026-07-15"),
        ("2026-06-30", 6, "2026-12-30"),
    ],
)
def test_calendar_months(start, months, expected):
    at = datetime.fromisoformat(start).replace(tzinfo=UTC)

    assert add_months(at, months).date().isoformat() == expected


def test_kept_until_is_counted_in_utc():
    at = datetime(2026, 3, 1, 1, 30, tzinfo=timezone(timedelta(hours=14)))

    assert kept_until(at, TIERS[Tier.FREE]) == datetime(2026, 3, 30, 11, 30, tzinfo=UTC)


def test_an_override_replaces_one_rule_and_days_replace_months():
    rules = tenant(Tier.PRO, keep_days=400, max_seconds=10).rules

    assert (rules.keep_days, rules.keep_months, rules.max_seconds) == (400, None, 10)
    assert rules.max_bytes == TIERS[Tier.PRO].max_bytes
    assert isinstance(rules.keep_days, int)


@pytest.mark.parametrize(("tier", "usd"), [("free", 0.0), ("pro", 5.0), ("enterprise", None)])
def test_what_a_tier_may_spend_a_day_once_its_tenant_agrees(tier, usd):
    assert TIERS[Tier(tier)].fallback_usd_a_day == usd
    assert tenant(Tier(tier)).fallback is False
    assert tenant(Tier(tier), fallback_usd_a_day=2.5).rules.fallback_usd_a_day == 2.5


def test_each_tier_keeps_by_days_or_by_months():
    assert all((r.keep_days is None) != (r.keep_months is None) for r in TIERS.values())


def test_months_replace_days_too():
    rules = tenant(Tier.FREE, keep_months=6).rules

    assert (rules.keep_days, rules.keep_months) == (None, 6)
    assert isinstance(rules.keep_months, int)


@pytest.mark.parametrize(
    ("said", "rule"),
    [
        ("400d", ("keep_days", 400)),
        ("6mo", ("keep_months", 6)),
        ("2y", ("keep_months", 24)),
        ("1d", ("keep_days", 1)),
        ("36525d", ("keep_days", 36_525)),
        ("100y", ("keep_months", 1_200)),
    ],
)
def test_a_time_to_keep_is_said_in_days_months_or_years(said, rule):
    assert keeping(said) == rule


@pytest.mark.parametrize(
    "said", ["0d", "36526d", "101y", "1201mo", "400", "6m", "-1d", "1.5y", "", "6 mo", "９d"]
)
def test_what_is_no_time_to_keep(said):
    with pytest.raises(ValueError, match=r"400d|100y"):
        keeping(said)


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ({"keep_days": 400}, "400 days"),
        ({"keep_months": 6}, "6 months"),
        ({"keep_months": 12}, "1 year"),
        ({"keep_months": 18}, "18 months"),
        ({"keep_months": 24}, "2 years"),
    ],
)
def test_how_long_is_told_in_words(rule, told):
    assert kept_for(tenant(**rule).rules) == told


def test_the_longest_promise_is_a_date():
    at = datetime(2026, 2, 28, tzinfo=UTC)

    assert kept_until(at, tenant(keep_months=1_200).rules).year == 2126
    assert kept_until(at, tenant(keep_days=36_525).rules).year == 2126
