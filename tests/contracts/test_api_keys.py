from dataclasses import replace
from datetime import date, timedelta

import pytest

from shared.domain.api_keys import ApiKey, Scope
from shared.errors import NotFound
from tests.builders import NOW


def key(n, tenant="acme", **changes):
    return replace(
        ApiKey(f"key{n:06}", tenant, Scope.WRITE, f"number {n}", f"{n:064x}", NOW), **changes
    )


def test_get_gives_the_key_as_it_was_added_or_none(store):
    assert store.api_keys.add(key(1)) is True

    assert store.api_keys.get("key000001") == key(1)
    assert store.api_keys.get("nobody") is None
    assert store.api_keys.get("") is None


def test_add_keeps_the_first_of_an_id(store):
    store.api_keys.add(key(1))

    assert store.api_keys.add(key(1, tenant="other")) is False
    assert store.api_keys.get("key000001") == key(1)


def test_all_are_the_newest_first_then_by_id_of_one_tenant_or_of_all(store):
    old, new = key(3, made_at=NOW - timedelta(days=1)), key(1)
    same, other = key(2), key(4, tenant="other")
    for one in (old, same, other, new):
        store.api_keys.add(one)

    assert store.api_keys.all() == [new, same, other, old]
    assert store.api_keys.all("acme") == [new, same, old]
    assert store.api_keys.all("nobody") == []


def test_revoking_twice_is_once(store):
    store.api_keys.add(key(1))
    later = NOW + timedelta(hours=1)

    first = store.api_keys.revoke("key000001", NOW)
    second = store.api_keys.revoke("key000001", later)

    assert first == second == store.api_keys.get("key000001") == key(1, revoked_at=NOW)
    assert store.api_keys.all() == [first]


def test_revoking_what_is_not_there_says_so(store):
    with pytest.raises(NotFound):
        store.api_keys.revoke("key000001", NOW)


def test_the_last_day_of_use_never_goes_back(store):
    store.api_keys.add(key(1))

    days = []
    for day in (2, 1, 3):
        store.api_keys.used("key000001", date(2026, 1, day))
        days.append(store.api_keys.get("key000001").used_on.day)

    assert days == [2, 2, 3]


def test_using_what_is_not_there_does_nothing(store):
    store.api_keys.used("key000001", date(2026, 1, 1))

    assert store.api_keys.all() == []
