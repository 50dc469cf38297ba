"""Erasing a recording: every store, every step, and the receipt."""

import hashlib
import json
from datetime import timedelta
from io import BytesIO

import pytest

from shared.adapters.embedded.file_leftovers import FileLeftovers
from shared.adapters.embedded.file_results import FileResults
from shared.adapters.embedded.home_signer import HomeSigner
from shared.adapters.signatures import holds
from shared.domain import erasures
from shared.domain.erasures import Cause, Step
from shared.domain.lanes import Lane
from shared.domain.names import recording_id
from shared.domain.recording import Checkpoint, Hold, Outcome, Passage
from shared.domain.result import written
from shared.domain.states import State
from shared.domain.tenants import Tier
from shared.domain.testimony import summary
from shared.errors import NotFound, StaleLease
from shared.flows.erase import Erase
from tests.builders import NOW, placed, recording
from tests.contracts.conftest import sqlite_on_disk

NAME = "uploads/acme/talk.wav"
SOUND_SHA256 = hashlib.sha256(b"sound").hexdigest()


@pytest.fixture
def store(tmp_path):
    made = sqlite_on_disk(tmp_path)
    made.tenants.ensure("acme", Tier.FREE, NOW)
    return made


@pytest.fixture
def erase(store, tmp_path):
    return Erase(
        recordings=store.recordings,
        uploads=store.uploads,
        results=store.results,
        temporary=FileResults(tmp_path / "tmp"),
        leftovers=FileLeftovers(tmp_path, store.uploads.clear),
        erasures=store.erasures,
        retention=store.retention,
        signer=HomeSigner(tmp_path / "keys"),
        processors={"openai": "OpenAI"},
        outer_bound_days=30,
    )


def brought(store, content=b"sound", name=NAME, **changes):
    """An upload and its recording, received."""
    upload = store.inlet.put(name, BytesIO(content), content_type="audio/wav", metadata={}, at=NOW)
    id = recording_id(upload.bucket, upload.name, upload.generation)
    fields = {"id": id, "name": name, "path": "talk.wav", "generation": upload.generation}
    return store.recordings.create_or_get(recording(**fields | changes), lambda _: placed())


def heard(store, known):
    """Leased, checkpointed, saved and complete."""
    lease = store.jobs.lease_next([Lane.LOW], "w", NOW, 60)
    assert lease.recording.id == known.id
    folder = f"results/acme/{known.id}/{lease.token}"
    store.results.save(folder, {"result.json": written(summary(known))})
    outcome = Outcome(folder, 1.0, "en", 0.9, False, (Passage(0, 1, "hello there"),), "key")
    return store.jobs.complete(lease, outcome, [], NOW)


def test_a_recording_is_erased_from_every_store(store, erase):
    known = heard(store, brought(store))

    done = erase.run(erase.ask(known.id, "cli", NOW), NOW)

    assert done.step is Step.DONE
    assert store.uploads.generations(NAME) == []
    assert store.results.all_of("acme", known.id) == []
    assert done.after.empty
    assert [m.body["type"] for m in store.outbox.pending()] == ["recording.erased"]
    blank = store.recordings.get(known.id)
    assert (blank.state, blank.name, blank.path) == (State.ERASED, "", "")
    assert store.recordings.find("acme", "hello") == []
    assert store.recordings.page("acme") == []


def test_the_receipt_names_what_was_deleted_and_is_signed(store, erase):
    known = heard(store, brought(store))

    done = erase.run(erase.ask(known.id, "cli", NOW), NOW)

    said = json.loads(done.receipt)
    signature = bytes.fromhex(said["signature"]["hex"])
    stores = {one["store"]: one for one in said["stores"]}
    assert holds(said["public_key"].encode(), erasures.statement(said), signature)
    assert stores["uploads"] == {"store": "uploads", "deleted": [1], "found": []}
    assert stores["passages"] == {"store": "passages", "deleted": 1, "found": 0}
    assert len(stores["results"]["deleted"]) == 1
    assert "talk" not in done.receipt
    assert said["outer_bound"]["days"] == 30


def test_the_history_keeps_that_it_was_erased_and_loses_who_did_what(store, erase):
    known = heard(store, brought(store))

    erase.run(erase.ask(known.id, "cli", NOW), NOW)

    *before, last = store.recordings.history(known.id)
    assert (last.state, last.actor) == (State.ERASED, "cli")
    assert {(line.actor, line.reason, line.error) for line in before} == {("", "", None)}


def test_asked_twice_it_is_erased_once(store, erase):
    known = heard(store, brought(store))
    first = erase.run(erase.ask(known.id, "cli", NOW), NOW)

    again = erase.run(erase.ask(known.id, "page", NOW + timedelta(days=1)), NOW)

    assert again == first


def rows_of(store, known):
    """The recording as a backup has it."""
    with store.recordings._db.write() as db:
        tables = {"recordings": "id", "jobs": "recording_id"}
        found = {t: f"SELECT * FROM {t} WHERE {key} = ?" for t, key in tables.items()}
        return {t: tuple(db.execute(q, (known.id,)).fetchone()) for t, q in found.items()}


def put_back(store, rows):
    """As docs/operate.md restores: what is younger than the backup goes, but for erasures."""
    with store.recordings._db.write() as db:
        for younger in ("history", "unsealed"):
            db.execute(f"DELETE FROM {younger}")
        for table, row in rows.items():
            db.execute(f"REPLACE INTO {table} VALUES ({', '.join('?' * len(row))})", row)


def test_what_a_backup_brought_back_is_erased_again(store, erase):
    known, other = heard(store, brought(store)), brought(store, name="uploads/acme/other.wav")
    backup = rows_of(store, known)
    first = erase.run(erase.ask(known.id, "cli", NOW), NOW)
    put_back(store, backup)
    assert {one.id for one in store.recordings.page("acme")} == {known.id, other.id}

    [again] = erase.ask_restored("operator", NOW)
    done = erase.run(again, NOW)

    assert (done.step, done.id, done.actor) == (Step.DONE, first.id, "operator")
    assert [one.id for one in store.recordings.page("acme")] == [other.id]
    assert erase.ask_restored("operator", NOW) == []


def test_a_tenant_that_a_backup_brought_back_is_erased_again(store, erase):
    known = heard(store, brought(store))
    backup = rows_of(store, known)
    erase.run(erase.ask_tenant("acme", "cli", NOW), NOW)
    store.tenants.ensure("acme", Tier.FREE, NOW)
    put_back(store, backup)

    for one in erase.ask_restored("operator", NOW + timedelta(days=1)):
        erase.run(one, NOW + timedelta(days=1))

    assert store.tenants.get("acme") is None
    assert store.recordings.page("acme") == []


def test_of_nothing_there_is_nothing_to_erase(erase):
    with pytest.raises(NotFound):
        erase.ask("0" * 32, "cli", NOW)


def test_a_worker_that_was_hearing_it_writes_nothing_more(store, erase):
    known = brought(store)
    lease = store.jobs.lease_next([Lane.LOW], "w", NOW, 60)

    erase.run(erase.ask(known.id, "cli", NOW), NOW)

    for write in (
        lambda: store.jobs.complete(lease, Outcome("results/x", 1, None, None, False), [], NOW),
        lambda: store.jobs.checkpoint(lease, [Checkpoint("p", "t", 0, "{}")], 0.5, NOW),
        lambda: store.jobs.extend(lease, NOW, 60),
    ):
        with pytest.raises(StaleLease):
            write()


def test_under_hold_it_waits_and_runs_at_the_release(store, erase):
    known = heard(store, brought(store))
    store.retention.hold(known.id, Hold("litigation", "cli", NOW))

    waits = erase.run(erase.ask(known.id, "key:1", NOW), NOW)
    nothing = erase.resume(NOW)
    kept = store.uploads.generations(NAME)
    store.retention.release(known.id, "cli", NOW)
    erase.resume(NOW)

    done = store.erasures.get(waits.id)
    assert (waits.step, nothing, len(kept)) == (Step.WAITING, 0, 1)
    assert (done.step, done.actor) == (Step.DONE, "key:1")


def test_all_about_a_subject_goes_and_nothing_else(store, erase):
    about = [heard(store, brought(store, name=f"uploads/acme/{n}.wav", subject="x")) for n in "ab"]
    other = heard(store, brought(store, name="uploads/acme/c.wav", subject="xy"))

    erase.ask_subject("acme", "x", "cli", NOW)
    erase.resume(NOW)

    assert {store.erasures.of(one.id).step for one in about} == {Step.DONE}
    assert [one.id for one in store.recordings.page("acme")] == [other.id]


def test_a_tenant_goes_with_all_that_is_its(store, erase):
    known = [heard(store, brought(store, name=f"uploads/acme/{n}.wav")) for n in "ab"]
    store.inlet.put(
        "uploads/acme/nobody.wav", BytesIO(b"x"), content_type="a/b", metadata={}, at=NOW
    )
    store.results.save("results/acme/nobody/1", {"result.json": b"{}"})
    others = store.tenants.ensure("other", Tier.FREE, NOW)

    done = erase.run(erase.ask_tenant("acme", "cli", NOW), NOW)

    assert others
    assert done.step is Step.DONE
    assert {store.erasures.of(one.id).step for one in known} == {Step.DONE}
    assert store.tenants.get("acme") is None
    assert store.uploads.page() == store.results.folders() == []
    assert json.loads(done.receipt)["recording_id"] is None


def test_what_is_held_of_a_tenant_makes_it_wait_and_only_that_stays(store, erase):
    gone, held = (heard(store, brought(store, name=f"uploads/acme/{n}.wav")) for n in "ab")
    store.retention.hold(held.id, Hold("court", "cli", NOW))

    begun = erase.run(erase.ask_tenant("acme", "cli", NOW), NOW)
    kept = [one.id for one in store.recordings.page("acme")]
    store.retention.release(held.id, "cli", NOW)
    erase.resume(NOW)

    assert (begun.state, kept) == (erasures.State.RUNNING, [held.id])
    assert store.erasures.of(gone.id).step is Step.DONE
    assert store.erasures.get(begun.id).step is Step.DONE


def test_erased_content_is_refused_when_it_comes_again_and_expired_is_not(store, erase):
    known = heard(store, brought(store))
    erase.run(erase.ask(known.id, "cli", NOW), NOW)

    def refused(at):
        return store.erasures.erased_before("acme", [f"sha256:{SOUND_SHA256}"], at)

    bound = timedelta(days=30 + erasures.TOMBSTONE_DAYS)
    assert refused(NOW + bound - timedelta(seconds=1))
    assert not refused(NOW + bound)


def test_expiry_leaves_no_tombstone_of_the_content(store, erase):
    known = heard(store, brought(store))
    begun = store.erasures.ask(
        known.id, lambda k: erasures.of_recording(k, Cause.EXPIRY, "retention", NOW)
    )

    erase.run(begun, NOW)

    assert not store.erasures.erased_before("acme", [f"sha256:{SOUND_SHA256}"], NOW)
