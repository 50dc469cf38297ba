"""Tenants that were declared are made, once, and are theirs to change from then on."""

import pytest

from shared.domain.tenants import Tenant, Tier
from shared.errors import StoreUnavailable
from shared.flows.welcome import Welcome
from tests.builders import NOW


class Counting:
    """Tenants that say how often they were asked for, and fail the first `broken` times."""

    def __init__(self, tenants, broken=0):
        self._tenants, self._broken, self.asked = tenants, broken, []

    def ensure(self, tenant, tier, at):
        self.asked.append(tenant)
        if len(self.asked) <= self._broken:
            raise StoreUnavailable(path="store")
        return self._tenants.ensure(tenant, tier, at)


def welcome(tenants, **declared):
    return Welcome(tenants, {name: Tier(tier) for name, tier in declared.items()}, lambda: NOW)


def test_a_declared_tenant_is_made_in_its_tier(store):
    made = welcome(store.tenants, newer="pro", quiet="free")()

    assert made == ["newer", "quiet"]
    assert store.tenants.get("newer") == Tenant("newer", Tier.PRO, NOW)
    assert store.tenants.get("quiet").tier is Tier.FREE


def test_a_tenant_that_is_there_stays_as_it_was_set(store):
    ours = Tenant("newer", Tier.ENTERPRISE, NOW, overrides=(("keep_days", 400),), fallback=True)
    store.tenants.put(ours)

    assert welcome(store.tenants, newer="free")() == []
    assert store.tenants.get("newer") == ours


def test_a_process_asks_the_store_once(store):
    tenants = Counting(store.tenants)
    tick = welcome(tenants, newer="pro")

    assert [tick(), tick(), tick()] == [["newer"], [], []]
    assert tenants.asked == ["newer"]


def test_what_an_outage_left_is_made_by_the_next_tick(store):
    tenants = Counting(store.tenants, broken=1)
    tick = welcome(tenants, newer="pro", quiet="free")

    with pytest.raises(StoreUnavailable):
        tick()

    assert tick() == ["newer", "quiet"]
