"""Recordings heard elsewhere, as a HOME takes them in."""

import io
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.adapters.embedded.sqlite_database import Database
from shared.adapters.embedded.sqlite_imports import SqliteImports
from shared.adapters.embedded.sqlite_uploads import SqliteUploads
from shared.domain.carried import Carried
from shared.domain.corrections import Author, Correction, Said
from shared.domain.lanes import Lane
from shared.domain.recording import Failure, Moved, Passage
from shared.domain.states import State
from shared.domain.tenants import Tier
from shared.errors import UnderHold
from tests.builders import NOW, recording, upload
from tests.contracts.conftest import _sqlite

SAID = Correction("rec00001", "acme", 1, "r", Author("Ann"), NOW, (Said(0.0, 1.0, "I said"),))
DONE = recording(
    state=State.DONE, lane=Lane.LOW, result="results/acme/rec00001/3", language="en", attempts=1
)
HISTORY = (
    Moved(State.RECEIVED, NOW, "intake", "lane low by rule x"),
    Moved(State.PROCESSING, NOW, "w", "attempt 1", attempt=1),
    Moved(State.DONE, NOW + timedelta(seconds=1), "w", "heard"),
)
CARRIED = Carried(DONE, HISTORY, (SAID,), (Passage(0.0, 1.0, "a dog barked"),), "over", 3)


@pytest.fixture(params=["in memory", "on disk"])
def db(request, tmp_path):
    return Database(":memory:" if request.param == "in memory" else tmp_path / "store.db")


@pytest.fixture
def store(db, tmp_path):
    made = _sqlite(db, tmp_path)
    made.tenants.ensure("acme", Tier.FREE, NOW)
    return made


@pytest.fixture
def imports(db, tmp_path):
    return SqliteImports(db, SqliteUploads(db, tmp_path))


def test_a_recording_is_kept_as_it_was(store, imports):
    assert imports.bring(CARRIED)

    assert store.recordings.get(DONE.id) == DONE
    assert store.recordings.history(DONE.id) == list(HISTORY)
    assert store.corrections.of(DONE.id) == [SAID]
    assert [hit.recording.id for hit in store.recordings.find("acme", "dog")] == [DONE.id]
    assert store.recordings.find("other", "dog") == []


def test_nothing_is_announced_or_put_out(store, imports):
    imports.bring(CARRIED)

    assert store.outbox.pending() == []
    assert set(store.jobs.waiting(NOW + timedelta(days=365)).values()) == {0}


def test_one_that_is_there_stays_as_it_is(store, imports):
    imports.bring(CARRIED)

    other = replace(CARRIED, recording=replace(DONE, language="de"), history=())

    assert not imports.bring(other)
    assert store.recordings.get(DONE.id) == DONE
    assert len(store.recordings.find("acme", "dog")) == 1
    assert len(store.recordings.history(DONE.id)) == len(HISTORY)


def test_its_history_is_a_chain(store, imports):
    imports.bring(CARRIED)

    [chain] = store.chains.page("acme")

    assert [link.line for link in chain.links] == list(HISTORY)
    assert (chain.moves, chain.head) == (len(HISTORY), chain.links[-1].head)
    assert all(link.salt and link.commitment for link in chain.links)


def test_a_dead_one_is_a_letter_and_a_discarded_one_is_none(store, imports):
    line = Moved(State.DEAD, NOW, "w", "decoder_died", Failure("decoder_died", "It died."))
    for number, job in ((1, "dead"), (2, "discarded")):
        known = recording(number, state=State.DEAD, lane=Lane.LOW, attempts=4)
        imports.bring(Carried(known, (line,), (), (), job))

    assert [one.id for one in store.jobs.dead("acme")] == ["rec00001"]
    assert store.jobs.replay("rec00001", "somebody", NOW).state is State.QUEUED


def test_one_that_is_ready_is_rung_for_and_leased(store, imports):
    known = recording(state=State.QUEUED, lane=Lane.LOW)
    imports.bring(Carried(known, HISTORY[:1], (), (), "ready"))

    assert store.jobs.unrung(1.0, NOW)[Lane.LOW] == 1
    lease = store.jobs.lease_next([Lane.LOW], "w", NOW + timedelta(seconds=1), 60)
    assert (lease.recording.id, lease.attempt) == (known.id, 1)


def test_an_object_is_put_in_under_its_own_generation(store, imports):
    sound = upload(generation=1_772_366_400_000_000, size_bytes=5, metadata=(("a", "1"),))

    assert imports.lay(sound, io.BytesIO(b"sound"), held=False)

    found = store.uploads.stat(sound.name, sound.generation)
    assert replace(found, digests=()) == sound
    assert store.uploads.read(sound.name, sound.generation, 0, 9) == b"sound"
    assert store.arrivals.pull(NOW + timedelta(days=1)) == []
    later = store.inlet.put(
        sound.name, io.BytesIO(b"new"), content_type="audio/wav", metadata={}, at=NOW
    )
    assert later.generation == sound.generation + 1


def test_another_upload_under_the_name_of_a_recording_that_came_alone_is_another(store, imports):
    imports.bring(CARRIED)

    made = store.inlet.put(
        DONE.name, io.BytesIO(b"new"), content_type="audio/wav", metadata={}, at=NOW
    )

    assert made.generation > DONE.generation


def test_an_object_that_is_there_is_left_and_held_all_the_same(store, imports):
    sound = upload(size_bytes=5)
    imports.lay(sound, io.BytesIO(b"sound"), held=False)

    assert not imports.lay(sound, io.BytesIO(b"other"), held=True)

    assert store.uploads.read(sound.name, sound.generation, 0, 9) == b"sound"
    with pytest.raises(UnderHold):
        store.uploads.delete(sound.name, sound.generation)
