"""What a process may hear at once: from its slice without the store, never over the day."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from shared.adapters.embedded.sqlite_database import Database
from shared.adapters.embedded.sqlite_quotas import SqliteQuotas
from shared.adapters.embedded.sqlite_tenants import SqliteTenants
from shared.domain.quotas import DayOfSound, next_midnight
from shared.domain.slices import SOUND
from shared.domain.tenants import OverQuotaPolicy, Tenant, Tier
from shared.errors import OverQuota, StoreUnavailable
from shared.flows.allowance import Allowance
from tests.builders import NOW

LIMIT_S = 18_000.0  #: of tier free; the first slice is of SOUND.slice, 600 s


class Counted(SqliteQuotas):
    """Counts how often the store is asked for seconds, and may be out."""

    def __init__(self, db):
        super().__init__(db)
        self.takings, self.out = 0, False

    def take(self, *args):
        self.takings += 1
        if self.out:
            raise StoreUnavailable
        return super().take(*args)


class World:
    def __init__(self):
        db = Database(":memory:")
        self.tenants, self.quotas, self.now = SqliteTenants(db), Counted(db), NOW
        self.tenant = self.given()

    def given(self, over_quota=OverQuotaPolicy.DEFER, **rules):
        made = Tenant("acme", Tier.FREE, NOW, tuple(rules.items()), over_quota=over_quota)
        self.tenants.put(made)
        self.tenant = made
        return made

    def process(self, name="w1"):
        return Allowance(self.quotas, lambda: self.now, name)

    def day(self):
        return self.quotas.day("acme", self.now)


@pytest.fixture
def world():
    return World()


def hear_all(allowance, tenant, seconds):
    """How often so much is heard until the day is over."""
    for n in range(200_000):
        try:
            allowance.charge(tenant, seconds)
        except OverQuota:
            return n
    raise AssertionError("the day never ended")


def test_a_slice_is_heard_without_the_store(world):
    process = world.process()

    for _ in range(60):
        process.charge(world.tenant, 10.0)
    one = world.quotas.takings
    process.charge(world.tenant, 10.0)

    assert (one, world.quotas.takings) == (1, 2)


@pytest.mark.parametrize("seconds", [0.1, 7.0, 59.9, 18_000.0])
def test_one_process_hears_the_whole_day_and_not_a_clip_more(world, seconds):
    assert hear_all(world.process(), world.tenant, seconds) == int(LIMIT_S / seconds + 1e-9)
    assert world.day().used_s + world.day().reserved_s <= LIMIT_S


def test_the_last_of_a_day_costs_the_store_few_commits(world):
    """Slices shrink with what is left, but not to nothing before the end."""
    heard = hear_all(world.process(), world.tenant, 1.0)

    assert heard == LIMIT_S
    assert world.quotas.takings < 200


@pytest.mark.parametrize(
    ("over_quota", "follows"),
    [
        (OverQuotaPolicy.DEFER, "Uploads are taken and heard then"),
        (OverQuotaPolicy.REFUSE, "Come again then"),
    ],
)
def test_over_the_day_it_is_said_how_much_is_left_and_when_the_next_begins(
    world, over_quota, follows
):
    tenant, process = world.given(over_quota, seconds_a_day=100.0), world.process()
    process.charge(tenant, 99.0)

    with pytest.raises(OverQuota, match=follows) as refused:
        process.charge(tenant, 1.1)

    said = "The sound has 1.1 s; of the tenant's 100 s a day 1.0 s are left. The next day begins at"
    assert str(refused.value).startswith(f"{said} 2026-03-02 00:00 UTC.")
    assert refused.value.context["retry_after_s"] == 12 * 3600


def test_what_no_day_has_room_for_is_not_sent_to_the_next_one(world):
    with pytest.raises(OverQuota, match="no day has room for it"):
        world.process().charge(world.given(seconds_a_day=10.0), 10.1)


def test_a_store_that_is_out_counts_nothing(world):
    process = world.process()
    process.charge(world.tenant, 1.0)
    world.quotas.out = True

    process.charge(world.tenant, 599.0)  # from its slice
    with pytest.raises(StoreUnavailable):
        process.charge(world.tenant, 1.0)
    world.quotas.out = False
    process.report()

    assert world.day().used_s == 600.0


def test_reporting_tells_what_was_used_and_keeps_the_rest(world):
    process = world.process()
    process.charge(world.tenant, 5.0)

    process.report()

    assert world.day() == DayOfSound(0, 5.0, 595.0, 0.0)


def test_reporting_returns_what_nobody_asked_for_in_a_slices_time(world):
    process = world.process()
    process.charge(world.tenant, 5.0)
    world.now = NOW + timedelta(seconds=SOUND.lasts_s)

    process.report()
    process.report()
    process.charge(world.tenant, 1.0)

    assert world.quotas.takings == 2
    assert world.day().stranded_s == 0.0


def test_a_process_that_stops_strands_nothing(world):
    process = world.process()
    process.charge(world.tenant, 5.0)

    process.give_back()

    assert world.day() == DayOfSound(0, 5.0, 0.0, 0.0)


def test_a_process_that_is_killed_strands_one_slice(world):
    world.process().charge(world.tenant, 5.0)
    world.now = NOW + timedelta(seconds=SOUND.lasts_s)

    heard = hear_all(world.process("w2"), world.tenant, 60.0)

    assert world.day().stranded_s == SOUND.slice / 1_000
    assert heard * 60.0 == LIMIT_S - SOUND.slice / 1_000


def test_each_day_is_its_own(world):
    process, midnight = world.process(), next_midnight(NOW)
    world.now = midnight - timedelta(seconds=1)
    process.charge(world.tenant, LIMIT_S)

    world.now = midnight
    process.charge(world.tenant, LIMIT_S)

    with pytest.raises(OverQuota):
        process.charge(world.tenant, 1.0)


def test_a_clock_set_back_over_midnight_begins_no_day(world):
    process, midnight = world.process(), next_midnight(NOW)
    world.now = midnight
    process.charge(world.tenant, LIMIT_S)
    world.now = midnight - timedelta(seconds=1)

    with pytest.raises(OverQuota):
        process.charge(world.tenant, 1.0)


def test_a_limit_lowered_below_what_was_taken_holds_at_once(world):
    process = world.process()
    process.charge(world.tenant, 5.0)

    with pytest.raises(OverQuota):
        process.charge(world.given(seconds_a_day=5.0), 1.0)


def test_threads_of_one_process_never_hear_the_same_second(world):
    process = world.process()

    def hear(_):
        return hear_all(process, world.tenant, 50.0)

    with ThreadPoolExecutor(8) as pool:
        heard = sum(pool.map(hear, range(8)))

    assert heard == LIMIT_S / 50.0


def test_tenants_have_days_of_their_own(world):
    other = replace(world.tenant, id="other")
    world.tenants.put(other)
    process = world.process()
    process.charge(world.tenant, LIMIT_S)

    process.charge(other, LIMIT_S)

    assert world.quotas.day("other", datetime(2026, 3, 1, 13, tzinfo=NOW.tzinfo)).reserved_s == 0.0
