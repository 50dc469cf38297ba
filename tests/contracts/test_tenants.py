from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.domain.tenants import Tenant, Tier
from tests.builders import NOW, placed, recording


def test_get_gives_the_tenant_or_none(store):
    assert store.tenants.get("acme") == Tenant("acme", Tier.FREE, NOW)
    assert store.tenants.get("nobody") is None


def test_put_replaces_tier_and_overrides_but_not_the_ledger(store):
    store.recordings.create_or_get(recording(1), lambda _: placed(start_tag=77.0))

    store.tenants.put(Tenant("acme", Tier.PRO, NOW, (("keep_days", 400),)))

    seen = []
    store.recordings.create_or_get(recording(2), lambda ledger: seen.append(ledger) or placed())
    assert store.tenants.get("acme").tier is Tier.PRO
    assert store.tenants.get("acme").rules.keep_days == 400
    assert seen[0].next_tag == 77.0


def test_nobody_pays_for_engines_elsewhere_before_saying_so(store):
    known = store.tenants.get("acme")

    store.tenants.put(replace(known, fallback=True))

    assert known.fallback is False
    assert store.tenants.get("acme").fallback is True


def test_data_that_may_not_leave_is_remembered(store):
    known = store.tenants.get("acme")

    store.tenants.put(replace(known, residency=True))

    assert (known.residency, store.tenants.get("acme").residency) == (False, True)


def test_a_profile_is_kept_and_given_up_again(store):
    before = store.tenants.get("acme")

    store.tenants.put(replace(before, profile='{"version":1}'))
    own = store.tenants.get("acme")
    store.tenants.charge("acme", spend(1.0))
    store.tenants.put(before)

    assert (before.profile, own.profile) == (None, '{"version":1}')
    assert store.tenants.get("acme") == before


def test_a_tenant_may_be_made_with_a_profile(store):
    made = Tenant("fresh", Tier.PRO, NOW, profile='{"version":1}')

    store.tenants.put(made)

    assert store.tenants.get("fresh") == made


def test_ensure_creates_once_and_changes_nothing_later(store):
    later = NOW + timedelta(days=1)

    assert store.tenants.ensure("fresh", Tier.FREE, NOW) is True
    assert store.tenants.ensure("fresh", Tier.ENTERPRISE, later) is False
    assert store.tenants.get("fresh") == Tenant("fresh", Tier.FREE, NOW)


def test_all_is_ordered_by_id(store):
    store.tenants.ensure("aaa", Tier.FREE, NOW)
    store.tenants.put(replace(store.tenants.get("aaa"), id="zzz"))

    assert [t.id for t in store.tenants.all()] == ["aaa", "acme", "zzz"]


def spend(seconds):
    return lambda ledger: replace(ledger, seconds=ledger.seconds + seconds)


def used(store, tenant="acme"):
    seen = []
    store.tenants.charge(tenant, lambda ledger: seen.append(ledger) or ledger)
    return seen[-1]


def test_concurrent_charges_all_count(store):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: store.tenants.charge("acme", spend(n)), range(1, 9)))

    assert used(store).seconds == 36.0


def test_intake_finds_what_was_charged_and_the_other_way_round(store):
    store.tenants.charge("acme", spend(7.5))
    seen = []

    store.recordings.create_or_get(
        recording(1), lambda ledger: seen.append(ledger) or placed(start_tag=77.0)
    )

    assert seen[-1].seconds == 7.5
    assert used(store).next_tag == 77.0


def test_a_charge_that_is_refused_changes_nothing(store):
    store.tenants.charge("acme", spend(7.5))

    def refuses(ledger):
        raise ValueError("too much")

    with pytest.raises(ValueError, match="too much"):
        store.tenants.charge("acme", refuses)
    assert used(store).seconds == 7.5


def test_nobody_is_charged_for_an_unknown_tenant(store):
    store.tenants.charge("nobody", spend(7.5))

    assert store.tenants.get("nobody") is None
    assert used(store, "nobody").seconds == 0.0
