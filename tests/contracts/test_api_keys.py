from dataclasses import replace
from datetime import date, timedelta

import pytest
from google.cloud.firestore_v1 import DELETE_FIELD

from shared.adapters.embedded.schema import MIGRATIONS
from shared.adapters.gcp.firestore_api_keys import FirestoreApiKeys
from shared.domain.api_keys import OWNER, SHORT, WRITER, ApiKey, Grant, Role, Scope
from shared.errors import NotFound
from tests.builders import NOW
from tests.contracts.patience import at_once


def key(n, tenant="acme", **changes):
    return replace(ApiKey(f"key{n:06}", tenant, WRITER, f"number {n}", f"{n:064x}", NOW), **changes)


def test_get_gives_the_key_as_it_was_added_or_none(store):
    assert store.api_keys.add(key(1)) is True

    assert store.api_keys.get("key000001") == key(1)
    assert store.api_keys.get("nobody") is None
    assert store.api_keys.get("") is None


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"grant": OWNER}, id="a whole role"),
        pytest.param({"grant": Grant(Role.OPERATOR, frozenset({Scope.MODELS}))}, id="narrowed"),
        pytest.param({"expires_at": NOW + timedelta(days=90)}, id="one that ends"),
        pytest.param({"rotated_to": "key000002"}, id="one with a successor"),
    ],
)
def test_what_is_said_of_a_key_is_kept(store, changes):
    store.api_keys.add(key(1, **changes))

    assert store.api_keys.get("key000001") == key(1, **changes)


@pytest.mark.parametrize("word", SHORT)
def test_a_key_from_before_there_were_roles_may_what_it_could(store, word):
    store.api_keys.add(key(1))

    as_it_was(store, word)

    assert store.api_keys.get("key000001") == key(1, grant=SHORT[word])


def as_it_was(store, word):
    """Rewrite the stored key to how it was kept then, and open the store as it is opened now."""
    if isinstance(store.api_keys, FirestoreApiKeys):
        at = store.api_keys._db.at("api_keys", "key000001")
        at.update(dict.fromkeys(("role", "scopes", "expires_us", "rotated_to"), DELETE_FIELD))
        at.update({"scope": word})
        return
    [keys] = [number for number, step in enumerate(MIGRATIONS) if "RENAME COLUMN scope" in step]
    with store.api_keys._db.write() as db:
        for column in ("scopes", "expires_us", "rotated_to"):
            db.execute(f"ALTER TABLE api_keys DROP COLUMN {column}")
        db.execute("ALTER TABLE api_keys RENAME COLUMN role TO scope")
        db.execute("UPDATE api_keys SET scope = ?", (word,))
        for statement in without_comments(MIGRATIONS[keys]).split(";"):
            db.execute(statement)


def without_comments(script):
    return "\n".join(line.partition("--")[0] for line in script.splitlines())


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


LATER = NOW + timedelta(hours=24)


def rotated(n=1, to=2):
    return key(n).ends(LATER), key(to)


def test_rotating_puts_the_new_key_beside_the_old_one_which_ends(store):
    store.api_keys.add(key(1))
    old, new = rotated()

    assert store.api_keys.rotate(old, new) is True

    assert store.api_keys.get("key000001") == key(1, expires_at=LATER, rotated_to="key000002")
    assert store.api_keys.get("key000002") == new


@pytest.mark.parametrize(
    "before",
    [
        pytest.param([], id="not there"),
        pytest.param([key(1, revoked_at=NOW)], id="revoked"),
        pytest.param([key(1, rotated_to="key000009")], id="rotated"),
        pytest.param([key(1), key(2, tenant="other")], id="the id is taken"),
    ],
)
def test_where_it_cannot_be_rotated_nothing_is_changed(store, before):
    for one in before:
        store.api_keys.add(one)

    assert store.api_keys.rotate(*rotated()) is False

    assert sorted(k.id for k in store.api_keys.all()) == [k.id for k in before]
    assert [store.api_keys.get(k.id) for k in before] == before


def test_of_concurrent_rotations_one_counts(store):
    store.api_keys.add(key(1))

    made = at_once(4, lambda n: store.api_keys.rotate(*rotated(to=n)), range(2, 6))

    assert made.count(True) == 1
    [new] = [k for k in store.api_keys.all() if k.id != "key000001"]
    assert store.api_keys.get("key000001").rotated_to == new.id
