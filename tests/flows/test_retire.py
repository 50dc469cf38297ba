"""A tick announces what ends and erases what is due; nothing early, held or unannounced."""

from datetime import UTC, datetime, timedelta

import pytest

from shared.adapters.embedded.sqlite_database import Database
from shared.domain.retention import ANNOUNCED_AHEAD
from shared.domain.states import State
from shared.domain.tenants import Tier
from shared.errors import StoreUnavailable
from tests.builders import NOW, tenant
from tests.flows.retiring import Retiring

DAY, HOUR, SECOND = timedelta(days=1), timedelta(hours=1), timedelta(seconds=1)
END = NOW + 30 * DAY
NEAR = END - ANNOUNCED_AHEAD


@pytest.fixture
def house(tmp_path):
    return Retiring(Database(":memory:"), tmp_path)


def test_an_end_is_announced_once_seven_days_ahead(house):
    known = house.hears()

    for moment in (NEAR - SECOND, NEAR, NEAR + DAY, END - SECOND):
        house.ticks(moment)

    assert house.announced(known) == [("recording.expiring", NEAR)]
    assert house.is_there(known)


def test_what_was_announced_is_erased_when_it_is_due(house):
    known = house.hears()

    house.ticks(NEAR)
    house.ticks(END - SECOND)
    assert house.is_there(known)
    house.ticks(END)

    assert not house.is_there(known)
    assert house.stored(known).state is State.ERASED


def test_a_tick_that_comes_late_announces_first_and_waits(house):
    known = house.hears()

    house.ticks(END + DAY)
    house.ticks(END + 8 * DAY - SECOND)
    assert house.is_there(known)
    house.ticks(END + 8 * DAY)

    assert not house.is_there(known)


def test_what_is_kept_for_a_day_is_kept_for_seven_from_its_announcement(house):
    house.keeps(tenant(keep_days=1))
    known = house.hears()

    house.ticks(NOW + SECOND)
    house.ticks(NOW + SECOND + ANNOUNCED_AHEAD - SECOND)
    assert house.is_there(known)
    house.ticks(NOW + SECOND + ANNOUNCED_AHEAD)

    assert not house.is_there(known)


def test_a_held_recording_outlives_its_time_and_goes_after_its_release(house):
    known = house.hears()
    house.ticks(NEAR)
    house.holds(known)
    house.ticks(END + 100 * DAY)
    assert house.is_there(known)

    house.releases(known)
    house.ticks(END + 100 * DAY + SECOND)

    assert not house.is_there(known)


def test_a_higher_tier_keeps_what_was_due_even_before_the_walk_comes_to_it(house):
    """The walk is one page behind; what is due is settled under the rules of this moment."""
    known = house.hears()
    house.ticks(NEAR)
    house.keeps(tenant(Tier.PRO))
    house.forgets_whose_rules_changed()

    house.ticks(END + DAY)

    assert house.is_there(known)
    assert house.stored(known).kept_until == datetime(2026, 9, 1, 12, tzinfo=UTC)


def test_a_lower_tier_moves_every_recording_page_by_page(house):
    house.keeps(tenant(Tier.PRO))
    known = [house.hears(n, received_at=NOW + n * SECOND) for n in range(250)]
    house.ticks(NOW + HOUR)
    house.keeps(tenant(Tier.FREE))

    house.ticks(NOW + 2 * HOUR)

    assert {house.stored(one).kept_until for one in known} == {END}


def test_a_walk_goes_on_where_it_was_killed(house):
    house.keeps(tenant(Tier.PRO))
    for n in range(250):
        house.hears(n, received_at=NOW + n * SECOND)
    house.ticks(NOW + HOUR)
    house.keeps(tenant(Tier.FREE))

    with pytest.raises(StoreUnavailable):
        house.ticks(NOW + 2 * HOUR, killed_after=150)
    before = house.settled
    house.ticks(NOW + 2 * HOUR)

    assert house.settled - before == 150, "the page that was killed comes again, no other"


def test_what_comes_in_under_the_old_rules_during_the_walk_is_settled_too(house):
    house.keeps(tenant(Tier.PRO))
    house.ticks(NOW)
    house.keeps(tenant(Tier.FREE))
    house.ticks(NOW + 60 * SECOND)
    late = house.hears(kept_until=NOW + 180 * DAY, received_at=NOW + 30 * SECOND)

    house.ticks(NOW + 120 * SECOND)

    assert house.stored(late).kept_until == END
    assert house.unsettled() == ["acme"]
    house.ticks(NOW + 12 * 60 * SECOND)
    assert house.unsettled() == []


def test_one_that_fails_holds_up_no_other(house):
    bad, good = house.hears(1), house.hears(2)
    house.ticks(NEAR)

    found = house.ticks(END, failing={bad})

    assert house.is_there(bad)
    assert not house.is_there(good)
    assert found["failed"] == 1
    house.ticks(END + SECOND)
    assert not house.is_there(bad)


def test_a_tick_is_bounded_and_the_next_goes_on(house):
    house.ticks(NOW)
    house.ticks(NOW + HOUR)
    known = [house.hears(n) for n in range(620)]
    house.ticks(NEAR)
    assert sum(house.stored(one).announced_at is not None for one in known) == 500

    house.ticks(NEAR + SECOND)

    assert all(house.stored(one).announced_at for one in known)


def test_a_clock_that_jumps_ahead_erases_nothing_and_announces_nothing(house):
    """Forty days in two seconds, as after a typing error in `date -s`."""
    known = house.hears()
    house.ticks(NOW)

    house.ticks(NOW + 40 * DAY, up=house.up + 2)

    assert house.is_there(known)
    assert house.stored(known).announced_at is None


def test_a_clock_behind_makes_it_later_only(house):
    known = house.hears()
    house.ticks(NEAR)
    house.ticks(END - HOUR)

    house.ticks(END - DAY, up=house.up + 3600)

    assert house.is_there(known)


def test_temporary_files_die_after_a_day(house, tmp_path):
    house.sweeps({"old": NOW - DAY - SECOND, "young": NOW - DAY + SECOND})

    found = house.ticks(NOW)

    assert [path.name for path in (tmp_path / "tmp").iterdir()] == ["young"]
    assert found["temporary_swept"] == 1


def test_a_plan_does_nothing(house):
    ending, due = house.hears(1), house.hears(2, uploaded_at=NOW - 8 * DAY)
    house.ticks(NEAR - 8 * DAY)

    plan = house.plans(NEAR)

    assert [one.id for one in plan.ending] == [ending]
    assert [one.id for one in plan.expiring] == [due]
    assert house.is_there(due)
    assert house.stored(ending).announced_at is None


def test_recordings_of_nobody_known_are_kept_as_the_free_tier_keeps_them(house):
    """Uploads refused outside every tenant's folder."""
    known = house.hears(tenant="-")
    house.ticks(NEAR)

    house.ticks(END)

    assert not house.is_there(known)


def test_rules_that_come_back_are_walked_for_from_the_first_recording_on(house):
    """What came in under the rules between, by a clock that was behind, lay before the mark."""
    house.keeps(tenant(Tier.PRO))
    house.hears(1)
    house.ticks(NOW + HOUR)
    house.keeps(tenant(keep_days=400))
    between = house.hears(2, received_at=NOW - DAY)
    house.keeps(tenant(Tier.PRO))

    house.ticks(NOW + 2 * HOUR)

    assert house.stored(between).kept_until == datetime(2026, 9, 1, 12, tzinfo=UTC)
