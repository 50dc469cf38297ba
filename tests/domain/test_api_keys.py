"""Keys: what they look like, and what they open."""

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.api_keys import (
    ENTROPY_BYTES,
    OPERATOR,
    OWNER,
    READER,
    ROLES,
    SHORT,
    WRITER,
    Grant,
    Role,
    Scope,
    granted,
    id_of,
    looks_like_one,
    minted,
    opens,
)
from shared.errors import ScopeOutsideRole
from tests.builders import NOW


def made(entropy=bytes(range(ENTROPY_BYTES)), grant=WRITER):
    return minted("acme", grant, "laptop", NOW, entropy)


ENTROPY = st.binary(min_size=ENTROPY_BYTES, max_size=ENTROPY_BYTES)


@given(ENTROPY)
def test_every_key_opens_itself_and_is_kept_as_a_digest_only(entropy):
    text, key = made(entropy)

    assert re.fullmatch("ew_[0-9A-Za-z]{9}_[0-9A-Za-z]{49}", text)
    assert id_of(text) == key.id
    assert opens(key, text)
    assert text[13:] not in repr(key)


@given(ENTROPY, ENTROPY)
def test_two_entropies_make_two_keys(one, other):
    assert (made(one)[0] == made(other)[0]) is (one == other)


def test_the_largest_entropy_has_room():
    assert made(b"\xff" * ENTROPY_BYTES)[0] != made(b"\xff" * (ENTROPY_BYTES - 1) + b"\xfe")[0]


@given(st.integers(0, 60), st.sampled_from("0Zz_-é"))
def test_a_mistyped_key_is_none(at, character):
    text, key = made()
    wrong = text[:at] + character + text[at + 1 :]

    assert (id_of(wrong) is None) is (wrong != text)
    assert opens(key, wrong) is (wrong == text)


@pytest.mark.parametrize("text", ["", "ew_", "sk-abc", made()[0][:-1], made()[0] + "0", "\udcff"])
def test_what_is_no_key_has_no_id_and_opens_nothing(text):
    assert id_of(text) is None
    assert not opens(made()[1], text)


def test_a_revoked_key_opens_nothing():
    text, key = made()

    assert not opens(replace(key, revoked_at=NOW), text)


def test_a_key_looks_like_one():
    assert looks_like_one(made()[0])
    assert not looks_like_one("unused")


READS, WRITES = "recordings:read", "recordings:write"


@pytest.mark.parametrize(
    ("grant", "may"),
    [
        pytest.param(READER, [READS], id="reader"),
        pytest.param(WRITER, [READS, WRITES], id="writer"),
        pytest.param(OPERATOR, [READS, WRITES, "keys", "models", "everybody"], id="operator"),
        pytest.param(
            OWNER,
            [READS, WRITES, "hold", "erase", "export", "audit", "webhooks", "keys"],
            id="owner",
        ),
    ],
)
def test_a_role_may_what_its_scopes_say(grant, may):
    key = made(grant=grant)[1]

    assert [wanted.value for wanted in Scope if key.may(wanted)] == may
    assert [scope.value for scope in grant.scopes] == may


def test_every_scope_is_in_some_role():
    assert frozenset().union(*ROLES.values()) == frozenset(Scope)


def test_the_words_from_before_there_were_roles_may_what_they_could():
    assert {word: [s.value for s in grant.scopes] for word, grant in SHORT.items()} == {
        "read": [READS],
        "write": [READS, WRITES],
        "operator": [READS, WRITES, "keys", "models", "everybody"],
    }


@pytest.mark.parametrize(
    ("role", "narrowed"),
    [
        pytest.param(Role.READER, {Scope.WRITE}, id="more than the role"),
        pytest.param(Role.OWNER, {Scope.READ, Scope.MODELS}, id="partly more"),
        pytest.param(Role.OWNER, set(), id="nothing"),
    ],
)
def test_a_key_is_narrowed_and_never_widened(role, narrowed):
    with pytest.raises(ScopeOutsideRole):
        Grant(role, frozenset(narrowed))


@pytest.mark.parametrize(
    ("role", "scopes", "grant"),
    [
        (None, [], WRITER),
        (Role.OWNER, [], OWNER),
        (None, [Scope.READ], READER),
        (None, [Scope.ERASE], Grant(Role.OWNER, frozenset({Scope.ERASE}))),
        (None, [Scope.MODELS], Grant(Role.OPERATOR, frozenset({Scope.MODELS}))),
        (Role.READER, [Scope.READ, Scope.READ], READER),
    ],
)
def test_what_is_asked_for_is_the_least_role_that_has_it(role, scopes, grant):
    assert granted(role, scopes) == grant


def test_no_role_has_an_owners_and_an_operators_scopes():
    with pytest.raises(ScopeOutsideRole, match="has not: models"):
        granted(None, [Scope.ERASE, Scope.MODELS])


@pytest.mark.parametrize(
    ("one", "other", "covers"),
    [
        (OWNER, WRITER, True),
        (WRITER, OWNER, False),
        (OWNER, OPERATOR, False),
        (OPERATOR, OWNER, False),
        (OPERATOR, WRITER, True),
        (READER, READER, True),
    ],
)
def test_a_grant_covers_what_it_may_itself(one, other, covers):
    assert one.covers(other) is covers


@pytest.mark.parametrize(
    ("after", "over"), [(timedelta(microseconds=-1), False), (timedelta(0), True)]
)
def test_a_key_is_over_at_its_moment(after, over):
    assert replace(made()[1], expires_at=NOW).expired(NOW + after) is over
    assert not made()[1].expired(NOW + after)


def test_a_key_never_ends_later_than_it_would():
    soon, late = NOW + timedelta(hours=1), NOW + timedelta(days=1)
    key = made()[1]

    assert key.ends(late).expires_at == late
    assert key.ends(soon).ends(late).expires_at == soon
