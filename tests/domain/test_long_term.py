"""Which originals are compressed, when, and when what was uploaded goes."""

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.domain import long_term
from shared.domain.names import ARCHIVED
from shared.domain.recording import Archived, Hold
from shared.domain.states import State
from tests.builders import NOW, recording, upload

DAY, MOMENT = timedelta(days=1), timedelta(microseconds=1)
AT = NOW + 30 * DAY
FLAC = upload(name="archive/acme/x/y.flac", size_bytes=600)
KEPT = Archived(FLAC.name, FLAC.generation, 600, NOW)
HELD = Hold("a lawsuit", "cli", NOW)


def known(**changes):
    fields = {"state": State.DONE, "uploaded_at": NOW, "kept_until": NOW + 365 * DAY}
    return recording(**fields | {"compress_at": AT} | changes)


@pytest.mark.parametrize("codec", ["pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be"])
def test_pcm_that_is_kept_long_is_compressed_from_a_week_before_so_many_days_on(codec):
    assert long_term.planned(known(), codec, 37) == AT


@pytest.mark.parametrize(("days", "at"), [(1, NOW), (7, NOW), (8, NOW + DAY)])
def test_that_is_at_once_where_it_is_a_week_at_most(days, at):
    assert long_term.planned(known(), "pcm_s16le", days) == at


@pytest.mark.parametrize(
    "codec", ["pcm_u8", "pcm_s32le", "pcm_f32le", "pcm_mulaw", "flac", "mp3", ""]
)
def test_what_flac_does_not_hold_bit_for_bit_stays(codec):
    assert long_term.planned(known(), codec, 30) is None


def test_nothing_is_planned_where_it_is_switched_off():
    assert long_term.planned(known(), "pcm_s16le", None) is None


@pytest.mark.parametrize(("left", "planned"), [(90 * DAY, True), (90 * DAY - MOMENT, False)])
def test_what_is_not_kept_long_enough_stays_as_it_came(left, planned):
    found = long_term.planned(known(kept_until=AT + left), "pcm_s16le", 37)

    assert (found == AT) is planned
    assert (found is None) is not planned


def test_whoever_claims_it_has_it_for_a_day():
    assert long_term.claimed(known(), AT) == known(compress_at=AT + DAY)


@pytest.mark.parametrize(
    "changes",
    [
        {"compress_at": AT + MOMENT},
        {"compress_at": None},
        {"hold": HELD},
        *({"state": state} for state in State if state is not State.DONE),
    ],
)
def test_what_may_not_be_compressed_is_nobodys(changes):
    assert long_term.claimed(known(**changes), AT) == known(**changes)


@pytest.mark.parametrize(("left", "asked_again"), [(90 * DAY, True), (90 * DAY - MOMENT, False)])
def test_a_tier_that_changed_is_looked_at_when_its_time_comes(left, asked_again):
    after = long_term.claimed(known(kept_until=AT + left), AT)

    assert (after.compress_at is not None) is asked_again


def test_its_flac_is_the_original_and_what_was_uploaded_goes_two_days_later():
    after = long_term.archived(known(), FLAC, AT)

    assert after.archived == replace(KEPT, at=AT)
    assert (after.compress_at, after.clear_at) == (None, AT + 2 * DAY)
    assert after.original.name == FLAC.name
    assert (after.original.size_bytes, after.original.content_type) == (600, "audio/flac")


@pytest.mark.parametrize(
    "changes",
    [{"hold": HELD}, {"state": State.ERASED}, {"archived": KEPT}, {"compress_at": None}],
)
def test_what_was_held_erased_or_archived_meanwhile_is_as_it_was(changes):
    assert long_term.archived(known(**changes), FLAC, AT) == known(**changes)


def cleared_at(at, **changes):
    return known(compress_at=None, archived=KEPT, clear_at=at, **changes)


def test_its_upload_is_taken_away_by_whoever_claims_that():
    assert long_term.clearing(cleared_at(AT), AT).clear_at == AT + DAY
    assert long_term.cleared(cleared_at(AT)).clear_at is None


@pytest.mark.parametrize(
    ("at", "changes"),
    [(AT + MOMENT, {}), (None, {}), (AT, {"hold": HELD}), (AT, {"state": State.ERASED})],
)
def test_nothing_is_taken_away_before_its_time_or_under_hold(at, changes):
    assert long_term.clearing(cleared_at(at, **changes), AT) == cleared_at(at, **changes)


def test_where_the_flac_is_damaged_the_upload_is_the_original_again():
    after = long_term.lost(cleared_at(AT), AT)

    assert after == known(compress_at=AT)
    assert after.original.name == after.name


def test_what_is_archived_is_not_asked_about_again():
    assert long_term.claimed(known(archived=KEPT), AT) == known(archived=KEPT, compress_at=None)


@pytest.mark.parametrize("changes", [{"hold": HELD}, {"state": State.ERASED}])
def test_of_what_is_held_or_erased_no_flac_is_forgotten(changes):
    assert long_term.lost(cleared_at(AT, **changes), AT) == cleared_at(AT, **changes)


def test_an_erasure_has_its_own_last_word():
    erased = cleared_at(AT, state=State.ERASED)

    assert long_term.cleared(erased) == erased


@pytest.mark.parametrize(("days", "waits"), [(1, DAY), (7, 7 * DAY), (30, 7 * DAY)])
def test_what_waited_for_a_week_or_all_its_days_is_called_for(days, waits):
    assert long_term.called_for(AT, days) == AT - waits


def test_names_of_the_archive_say_whose_it_is_and_nobody_can_upload_one():
    made = known(id="a" * 32)
    name = long_term.name_of(made, "0" * 32)

    assert name == f"archive/acme/{'a' * 32}/{'0' * 32}.flac"
    assert name.startswith(long_term.folder_of("acme", made.id))
    assert long_term.folder_of("acme", made.id).startswith(long_term.folder_of("acme"))
    assert ARCHIVED.fullmatch(name)
    assert not ARCHIVED.fullmatch(f"uploads/acme/{name}")
