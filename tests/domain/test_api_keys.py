"""Keys: what they look like, and what they open."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.api_keys import ENTROPY_BYTES, Scope, id_of, looks_like_one, minted, opens
from tests.builders import NOW


def made(entropy=bytes(range(ENTROPY_BYTES)), scope=Scope.WRITE):
    return minted("acme", scope, "laptop", NOW, entropy)


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


@pytest.mark.parametrize(
    ("scope", "may"),
    [
        (Scope.READ, [Scope.READ]),
        (Scope.WRITE, [Scope.READ, Scope.WRITE]),
        (Scope.OPERATOR, [Scope.READ, Scope.WRITE, Scope.OPERATOR]),
    ],
)
def test_a_scope_may_what_those_below_it_may(scope, may):
    key = made(scope=scope)[1]

    assert [wanted for wanted in Scope if key.may(wanted)] == may
