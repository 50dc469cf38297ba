"""Free gives way before pro before enterprise, and the promise grows with what waits."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.lanes import Lane
from shared.domain.overload import BEARABLE_S, FARTHEST_S, Backlog, shed
from shared.domain.placement import place
from shared.domain.quotas import next_midnight
from shared.domain.recording import Ledger
from shared.domain.tenants import Tier
from tests.builders import NOW, recording, tenant

waiting = st.floats(0.0, 1e7)
rates = st.floats(0.01, 1e3)
backlogs = st.builds(
    lambda high, low, rate: Backlog({Lane.HIGH: high, Lane.LOW: low}, rate), waiting, waiting, rates
)


@settings(deadline=None)
@given(backlogs, st.sampled_from(Lane))
def test_pro_is_never_put_off_while_free_is_taken_in(backlog: Backlog, pro_lane: Lane) -> None:
    free, pro = shed(Tier.FREE, Lane.LOW, backlog, NOW), shed(Tier.PRO, pro_lane, backlog, NOW)

    assert pro is None or free is not None
    assert pro is None or free is None or pro.until <= free.until


@settings(deadline=None)
@given(backlogs, st.sampled_from(Lane))
def test_enterprise_is_never_put_off(backlog: Backlog, lane: Lane) -> None:
    assert shed(Tier.ENTERPRISE, lane, backlog, NOW) is None


@settings(deadline=None)
@given(backlogs, waiting, st.floats(1.0, 100.0), st.sampled_from([Tier.FREE, Tier.PRO]))
def test_more_that_waits_or_a_slower_pace_never_promises_sooner(
    backlog: Backlog, more_s: float, slower: float, tier: Tier
) -> None:
    worse = Backlog(
        {**backlog.waiting_s, Lane.LOW: backlog.waiting_s[Lane.LOW] + more_s}, backlog.rate / slower
    )
    before, after = shed(tier, Lane.LOW, backlog, NOW), shed(tier, Lane.LOW, worse, NOW)

    assert before is None or (after is not None and after.until >= before.until)


@settings(deadline=None)
@given(backlogs, st.sampled_from([Tier.FREE, Tier.PRO]), st.sampled_from(Lane))
def test_a_promise_is_when_what_waits_is_worked_off_and_at_most_a_day_ahead(
    backlog: Backlog, tier: Tier, lane: Lane
) -> None:
    put_off = shed(tier, lane, backlog, NOW)

    delay_s = backlog.delay_s(lane)
    assert (put_off is None) is (delay_s <= BEARABLE_S[tier])
    if put_off is not None:
        ahead_s = (put_off.until - NOW).total_seconds()
        assert ahead_s == pytest.approx(min(delay_s, FARTHEST_S), abs=1e-3)
        assert put_off.rule == f"overload_{tier}"


@pytest.mark.parametrize(("extra_s", "put_off"), [(0.0, False), (1.0, True)], ids=["at", "above"])
def test_the_bound_itself_is_bearable(extra_s: float, put_off: bool) -> None:
    backlog = Backlog({Lane.LOW: BEARABLE_S[Tier.FREE] * 2.0 + extra_s}, 2.0)

    assert (shed(Tier.FREE, Lane.LOW, backlog, NOW) is not None) is put_off


def test_a_short_pro_clip_waits_only_behind_the_high_lane() -> None:
    backlog = Backlog({Lane.HIGH: 10.0, Lane.LOW: 1e6}, 1.0)

    assert shed(Tier.PRO, Lane.HIGH, backlog, NOW) is None
    assert shed(Tier.PRO, Lane.LOW, backlog, NOW) is not None


def test_what_is_shed_is_charged_when_it_is_heard_and_says_by_which_rule() -> None:
    backlog = Backlog({Lane.LOW: 3_600.0}, 1.0)

    placed = place(recording(), tenant(), Ledger(), NOW, backlog)

    assert placed.deferred_until == NOW + timedelta(hours=1)
    assert placed.reason == "deferred by rule overload_free"
    assert (placed.ledger.files, placed.ledger.seconds) == (0, 0.0)


def test_over_quota_and_overloaded_it_waits_for_its_quota() -> None:
    backlog = Backlog({Lane.LOW: 3_600.0}, 1.0)

    used = Ledger(day=NOW.date().isoformat(), files=1)

    placed = place(recording(), tenant(files_a_day=1), used, NOW, backlog)

    assert placed.deferred_until == next_midnight(NOW)
    assert placed.reason.startswith("deferred: Of the tenant's 1 files a day 1 are used.")
