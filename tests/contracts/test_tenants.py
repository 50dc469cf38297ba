from dataclasses import replace
from datetime import timedelta

import pytest

from shared.domain.tenants import OverQuotaPolicy, Tenant, Tier
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


@pytest.mark.parametrize("policy", OverQuotaPolicy)
def test_what_becomes_of_too_many_uploads_is_remembered(store, policy):
    known = store.tenants.get("acme")

    store.tenants.put(replace(known, over_quota=policy))

    assert known.over_quota is OverQuotaPolicy.DEFER
    assert store.tenants.get("acme").over_quota is policy
