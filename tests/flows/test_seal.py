"""Crashes, rivals and lost calls of the sealing round: no seal lost, none doubled, no gap."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from shared.domain.audit import Kind, read
from shared.errors import StoreUnavailable
from shared.flows.seal import EVERY, Sealing
from tests.audited import action, world
from tests.builders import NOW


@dataclass
class Fuse:
    """Counts calls of every port; the one it was set to dies before or after its effect."""

    at: int
    after: bool
    calls: int = 0

    def call(self, method: Any, *args: Any, **more: Any) -> Any:
        self.calls += 1
        if self.calls != self.at:
            return method(*args, **more)
        if self.after:
            method(*args, **more)
        raise StoreUnavailable


class Fused:
    """A port on a fuse."""

    def __init__(self, inner: Any, fuse: Fuse) -> None:
        self._inner, self._fuse = inner, fuse

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found):
            return found
        return lambda *args, **more: self._fuse.call(found, *args, **more)


def fused(sealing: Sealing, fuse: Fuse) -> Sealing:
    ports = ("chains", "seals", "signer", "bookmarks")
    return replace(sealing, **{name: Fused(getattr(sealing, name), fuse) for name in ports})


def seals_of(world, tenant="acme"):
    return [read(world.seals.get(tenant, n)) for n in world.seals.numbers(tenant)]


def once_each(world):
    """Every line's and action's leaf, in the seals of all."""
    found = [leaf for seal in seals_of(world) for leaf in seal.leaves]
    assert len(found) == len(set(found))
    return found


@pytest.fixture
def lived(tmp_path):
    """Two recordings with an action each; nothing is sealed."""
    made = world(tmp_path)
    for n in (1, 2):
        made.live(n)
        made.actions.append(action(n))
    return made


def test_a_round_seals_what_waits_and_only_once(lived):
    assert lived.sealing().round(NOW) == 1

    [seal] = seals_of(lived)
    assert (seal.number, seal.before, seal.at) == (1, None, NOW)
    assert (seal.count(Kind.HISTORY), seal.count(Kind.ACTION)) == (2, 2)
    assert {leaf.seq for leaf in seal.leaves if leaf.kind is Kind.HISTORY} == {5}
    assert lived.chains.waiting("acme") == []
    assert lived.verify().findings == ()
    assert lived.sealing().round(NOW) == 0


def test_the_next_seal_names_the_one_before_and_holds_only_what_is_new(lived):
    lived.sealing().round(NOW)
    lived.live(3)

    lived.sealing().round(NOW + timedelta(minutes=1))

    first, second = seals_of(lived)
    assert second.number == 2
    assert second.before is not None
    assert [leaf.id for leaf in second.leaves] == ["rec00003"]
    assert first.leaves != second.leaves
    assert lived.verify().findings == ()


def test_each_tenant_has_seals_of_its_own(lived):
    lived.actions.append(action(9, "other"))

    assert lived.sealing().round(NOW) == 2
    assert lived.verify("other").findings == lived.verify().findings == ()
    assert [leaf.kind for leaf in seals_of(lived, "other")[0].leaves] == [Kind.ACTION]


def test_more_than_a_seal_holds_goes_into_the_next(lived, monkeypatch):
    monkeypatch.setattr("shared.flows.seal.MOST_LEAVES", 3)

    made = lived.sealing().round(NOW)

    assert made == len(seals_of(lived)) > 1
    assert lived.chains.waiting("acme") == []
    assert lived.verify().findings == ()


def test_rounds_keep_their_distance(lived):
    moment = NOW
    sealing = replace(lived.sealing(), now=lambda: moment)

    made = []
    for moment in (NOW, NOW + EVERY / 2, NOW + EVERY):  # noqa: B007  # what `now` answers
        made.append(sealing())
        lived.live(3 + len(made))

    assert made == [1, 0, 1]


def test_where_nobody_did_anything_a_tick_is_one_look_however_much_is_stored(lived):
    lived.sealing().round(NOW)
    fuse = Fuse(0, after=False)

    assert replace(fused(lived.sealing(), fuse), now=lambda: NOW + EVERY)() == 0
    assert fuse.calls == 1


def _steps() -> int:
    """Calls of one round with two recordings and two actions, plus some."""
    return 16


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", range(1, _steps() + 1))
def test_killed_at_any_step_nothing_is_lost_or_doubled(lived, step, after):
    fuse = Fuse(step, after)
    try:
        fused(lived.sealing(), fuse).round(NOW)
    except StoreUnavailable:
        assert fuse.calls == step
    lived.live(3)

    lived.sealing().round(NOW + timedelta(minutes=1))

    heads = [leaf for leaf in once_each(lived) if leaf.kind is Kind.HISTORY]
    assert lived.seals.numbers("acme") == list(range(1, len(seals_of(lived)) + 1))
    assert sorted((one.id, one.seq) for one in heads) == [(f"rec0000{n}", 5) for n in (1, 2, 3)]
    assert lived.chains.waiting("acme") == []
    assert lived.verify().findings == ()


def test_the_fuse_reaches_every_step(lived):
    """A round has fewer calls than `_steps`, or the cases above would leave some out."""
    fuse = Fuse(0, after=False)
    fused(lived.sealing(), fuse).round(NOW)

    assert 8 < fuse.calls < _steps()


class Rival:
    """Seals of which another round writes one just before ours."""

    def __init__(self, inner: Any, other: Sealing) -> None:
        self._inner, self._other = inner, other

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def put(self, tenant: str, number: int, content: bytes) -> bool:
        self._other.round(NOW)
        wrote: bool = self._inner.put(tenant, number, content)
        return wrote


def test_of_two_rounds_at_once_one_writes(lived):
    late = replace(lived.sealing(), seals=Rival(lived.seals, lived.sealing()), now=lambda: NOW)

    late.round(NOW + timedelta(seconds=1))

    assert len(seals_of(lived)) == 1
    assert len(once_each(lived)) == 4
    assert lived.verify().findings == ()


def test_a_seal_that_was_taken_away_stays_missed(lived):
    lived.sealing().round(NOW)
    lived.live(3)
    (lived.home / "audit/acme/0000000001.json").unlink()

    lived.sealing().round(NOW + timedelta(minutes=1))

    assert lived.seals.numbers("acme") == [2]
    assert any(one.place == "seal 1" for one in lived.verify().findings)


def test_a_changed_last_seal_does_not_end_sealing(lived):
    lived.sealing().round(NOW)
    lived.live(3)
    place = lived.home / "audit/acme/0000000001.json"
    place.chmod(0o600)
    place.write_bytes(b"{}")

    assert lived.sealing().round(NOW + timedelta(minutes=1)) == 1
    assert lived.seals.numbers("acme") == [1, 2]
    assert {one.place for one in lived.verify().findings} >= {"seal 1"}
