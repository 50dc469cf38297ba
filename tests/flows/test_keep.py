"""Extending, holding and releasing: what is set first, and what a repetition does."""

from datetime import timedelta

import pytest

from shared.adapters.embedded.sqlite_database import Database
from shared.domain.states import State
from shared.domain.tenants import Tier
from shared.errors import ExtensionRefused, StoreUnavailable, UnderHold
from tests.builders import NOW, tenant
from tests.flows.retiring import Retiring

DAY = timedelta(days=1)


class Refusing:
    """A bucket that does not answer."""

    def hold(self, *given: object) -> None:
        raise StoreUnavailable

    unhold = shelved = hold


@pytest.fixture
def house(tmp_path):
    return Retiring(Database(":memory:"), tmp_path)


def broken(house):
    """The same, with a bucket that does not answer."""
    keep = house.keep
    return type(keep)(keep.tenants, keep.retention, Refusing(), keep.now)


def delete(house, known):
    stored = house.stored(known)
    house.uploads.delete(stored.name, stored.generation)


def test_a_hold_is_on_the_object_before_it_is_answered(house):
    known = house.hears()

    house.holds(known)

    with pytest.raises(UnderHold):
        delete(house, known)
    assert house.is_there(known)


def test_a_hold_whose_object_did_not_answer_holds_already_and_is_finished_by_asking_again(house):
    known = house.hears()

    with pytest.raises(StoreUnavailable):
        broken(house).hold(house.stored(known), "a lawsuit", "cli")
    assert house.stored(known).hold.reason == "a lawsuit"
    house.holds(known)

    with pytest.raises(UnderHold):
        delete(house, known)
    lines = [line.reason for line in house.recordings.history(known)]
    assert lines.count("held: a lawsuit") == 1


def test_a_release_whose_object_did_not_answer_still_holds(house):
    known = house.hears()
    house.holds(known)

    with pytest.raises(StoreUnavailable):
        broken(house).release(house.stored(known), "cli")
    assert house.stored(known).hold is not None
    house.releases(known)

    delete(house, known)
    assert not house.is_there(known)


def test_what_has_no_object_any_more_can_be_held_all_the_same(house):
    known = house.hears()
    delete(house, known)

    house.holds(known)

    assert house.stored(known).hold is not None


def test_an_erasure_that_was_asked_for_under_hold_runs_at_the_release(house):
    known = house.hears()
    house.holds(known)
    house.erase.ask(known, "cli", NOW)
    house.ticks(NOW + DAY)
    assert house.is_there(known)

    house.releases(known)
    house.ticks(NOW + DAY)

    assert not house.is_there(known)
    assert house.stored(known).state is State.ERASED


def test_the_tenants_own_tier_decides_about_an_extension(house):
    known = house.hears()
    with pytest.raises(ExtensionRefused):
        house.keep.extend(house.stored(known), NOW + 60 * DAY, "cli")

    house.keeps(tenant(Tier.ENTERPRISE))
    kept = house.keep.extend(house.stored(known), NOW + 6_000 * DAY, "cli")

    assert kept.kept_until == NOW + 6_000 * DAY


def test_a_recording_of_nobody_known_is_extended_as_the_free_tier_allows(house):
    known = house.hears(tenant="-")

    with pytest.raises(ExtensionRefused):
        house.keep.extend(house.stored(known), NOW + 60 * DAY, "cli")
