import hashlib
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.domain.audit import (
    Kind,
    Last,
    Leaf,
    acted,
    commitment_of,
    digest_of,
    drafted,
    head_of,
    linked,
    newest,
    promise,
    read,
    root,
    statement,
    written,
)
from shared.domain.recording import Failure, Moved
from shared.domain.states import State
from shared.errors import InvalidSeal
from tests.builders import NOW

SALT = bytes(16)
LINE = Moved(State.DONE, NOW, "worker", "heard")


def leaves(n):
    return [Leaf(Kind.HISTORY, f"rec{i}", i, f"{i:064x}") for i in range(n)]


def sealed(n=3):
    draft = drafted("acme", Last(4, "ab"), NOW, leaves(n), "key")
    return replace(draft, signature="00ff")


OTHER = {
    "actor": replace(LINE, actor="page"),
    "reason": replace(LINE, reason="heard "),
    "attempt": replace(LINE, attempt=1),
    "error": replace(LINE, error=Failure("a", "b")),
    "engine": replace(LINE, error=Failure("a", "b", "c")),
}


@pytest.mark.parametrize("other", OTHER.values(), ids=OTHER)
def test_a_commitment_binds_all_that_an_erasure_takes(other):
    assert commitment_of(other, "00") != commitment_of(LINE, "00")


def test_a_commitment_tells_nothing_without_its_salt():
    assert commitment_of(LINE, "00") != commitment_of(LINE, "01")


def test_a_head_binds_the_place_and_what_an_erasure_leaves():
    later = replace(LINE, at=NOW + timedelta(microseconds=1))
    heads = [
        head_of("a", 1, LINE, None, "c"),
        head_of("b", 1, LINE, None, "c"),
        head_of("a", 2, LINE, None, "c"),
        head_of("a", 1, replace(LINE, state=State.DEAD), None, "c"),
        head_of("a", 1, later, None, "c"),
        head_of("a", 1, LINE, "h", "c"),
        head_of("a", 1, LINE, None, "d"),
    ]

    assert len(set(heads)) == len(heads)


def test_a_head_does_not_need_what_an_erasure_takes():
    link = linked("a", 1, LINE, None, SALT)
    blank = Moved(LINE.state, LINE.at, "", "")

    assert link.head == head_of("a", 1, blank, None, link.commitment)


def test_an_action_binds_everything_in_it():
    one = acted("acme", NOW, "cli", ("CLI", "show"), "rec", 0, bytes(range(32)))
    others = [
        replace(one, id="x"),
        replace(one, tenant="other"),
        replace(one, at=NOW + timedelta(microseconds=1)),
        replace(one, actor="page"),
        replace(one, method="GET"),
        replace(one, route="find"),
        replace(one, recording_id=None),
        replace(one, status=1),
    ]

    assert (one.id, one.salt) == (bytes(range(16)).hex(), bytes(range(16, 32)).hex())
    assert one.commitment == promise(one, one.salt)
    assert one.commitment not in {promise(other, one.salt) for other in others}


def test_of_a_history_the_last_line_is_sealed_and_every_action():
    early, late = Leaf(Kind.HISTORY, "r", 2, "a"), Leaf(Kind.HISTORY, "r", 10, "b")
    actions = [Leaf(Kind.ACTION, one, 0, one) for one in ("r", "s")]

    assert newest([late, *actions, early]) == [*actions, late]


def test_the_tree_is_that_of_rfc_6962():
    """Section 2.1.3's drawing of seven leaves, written out."""

    def leaf(one):
        said = f'["{one.kind}","{one.id}",{one.seq},"{one.digest}"]'
        return hashlib.sha256(b"\0" + said.encode()).digest()

    def node(left, right):
        return hashlib.sha256(b"\1" + left + right).digest()

    a, b, c, d, e, f, j = map(leaf, leaves(7))
    left, right = node(node(a, b), node(c, d)), node(node(e, f), j)

    assert root(leaves(7)) == node(left, right).hex()
    assert root(leaves(1)) == a.hex()
    assert root([]) == hashlib.sha256(b"").hexdigest()


def test_a_seal_is_read_as_it_was_written():
    assert read(written(sealed())) == sealed()
    assert sealed().number == 5
    assert sealed().before == "ab"


def test_what_is_signed_says_everything_but_the_leaves_which_the_root_holds():
    said = statement(sealed())
    for other in (
        replace(sealed(), tenant="x"),
        replace(sealed(), number=6),
        replace(sealed(), before=None),
        replace(sealed(), at=NOW + timedelta(seconds=1)),
        replace(sealed(), root="00"),
        replace(sealed(), key_id="other"),
        replace(sealed(), leaves=()),
    ):
        assert statement(other) != said
    assert statement(replace(sealed(), signature="11")) == said


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[]", b"\xff", b"[" * 100_000, written(sealed()) + b" "],
    ids=["empty", "object", "list", "bytes", "deep", "one more"],
)
def test_what_is_no_seal_is_refused(content):
    with pytest.raises(InvalidSeal):
        read(content)


def test_every_changed_byte_changes_the_digest_or_is_refused():
    content = written(sealed(1))
    for n in range(len(content)):
        changed = content[:n] + bytes([content[n] ^ 1]) + content[n + 1 :]
        assert digest_of(changed) != digest_of(content)
        try:
            assert read(changed) != sealed(1)
        except InvalidSeal:
            continue
