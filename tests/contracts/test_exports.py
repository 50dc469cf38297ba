"""Exports over every store: what one says holds, whatever it is kept in."""

import io
import json
import random
import zipfile
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from google.cloud.storage import Client

from local.emulated.emulators import PROJECT
from shared.adapters.embedded.file_seals import FileSeals
from shared.adapters.gcp.storage_results import StorageResults
from shared.adapters.gcp.storage_uploads import StorageUploads
from shared.domain.corrections import Author, Correction, Said
from shared.domain.exports import CHAPTER_RECORDINGS, dossier_of
from shared.domain.lanes import Lane
from shared.domain.recording import Failure, Outcome, Passage
from shared.domain.tenants import Tier
from shared.errors import ExportOver
from tests.builders import NOW, placed, recording
from tests.contracts.conftest import SQLITE
from tests.emulators import reached
from tests.exported import Exports, exports


@pytest.fixture
def exported(store, tmp_path):
    return exports(store, tmp_path / "exports")


def opened(content):
    return zipfile.ZipFile(io.BytesIO(content))


def dossier(archive, known):
    return dossier_of(archive.read(f"recordings/{known.id}/recording.json"))


def done(store, number=1, **changes):
    """Heard, with two files of results."""
    draft = recording(number, received_at=NOW + timedelta(seconds=number), **changes)
    store.recordings.create_or_get(draft, lambda _: placed(start_tag=-number))
    lease = store.jobs.lease_next([Lane.LOW], "w", NOW, 60)
    assert lease.recording.id == draft.id
    folder = f"results/{draft.tenant}/{draft.id}/{lease.token}"
    store.results.save(folder, {"result.json": b'{"n": %d}' % number, "transcript.txt": b"said"})
    passages = (Passage(0.0, 1.0, "what was said"),)
    outcome = Outcome(folder, 10.0, "en", 0.9, False, passages)
    return store.jobs.complete(lease, outcome, [], NOW)


def test_a_recording_is_in_it_as_it_is_known(store, exported):
    known = done(store, subject="somebody")
    correction = Correction(
        known.id, "acme", 1, known.result, Author("Ann"), NOW, (Said(0.0, 1.0, "what I said"),)
    )
    store.corrections.add(correction)

    archive = opened(exported.whole())

    found = dossier(archive, known)
    assert found.recording == store.recordings.get(known.id)
    assert list(found.history) == store.recordings.history(known.id)
    assert found.corrections == (correction,)
    assert archive.read(f"recordings/{known.id}/results/result.json") == b'{"n": 1}'
    assert archive.read(f"recordings/{known.id}/results/transcript.txt") == b"said"


def test_sound_is_in_it_where_it_was_asked_for(store, exported):
    upload = store.inlet.put(
        "uploads/acme/1.wav", io.BytesIO(b"sound"), content_type="audio/wav", metadata={}, at=NOW
    )
    known = done(store, generation=upload.generation)

    with_sound, without = opened(exported.whole()), opened(exported.whole(originals=False))

    assert with_sound.read(f"recordings/{known.id}/original.wav") == b"sound"
    assert dossier(with_sound, known).upload == upload
    assert f"recordings/{known.id}/original.wav" not in without.namelist()
    assert dossier(without, known).original is None


def test_sound_that_is_gone_is_left_out(store, exported):
    known = done(store)

    assert dossier(opened(exported.whole()), known).original is None


def test_all_of_them_are_in_it_however_many_and_none_twice(store, exported):
    """More than fit into one chapter."""
    drafts = [
        recording(n, received_at=NOW + timedelta(seconds=n // 3))
        for n in range(CHAPTER_RECORDINGS + 3)
    ]
    for draft in drafts:
        store.recordings.refuse(draft, Failure("not_audio", "No sound."))

    archive = opened(exported.whole())

    names = [name for name in archive.namelist() if name.endswith("recording.json")]
    assert sorted(names) == sorted(f"recordings/{one.id}/recording.json" for one in drafts)
    foot = json.loads(archive.read("manifest.jsonl").splitlines()[-1])
    assert foot["recordings"] == len(drafts)


def test_what_came_later_is_not_in_it(store, exported):
    early = recording(1, received_at=exported.at - timedelta(microseconds=1))
    late = recording(2, received_at=exported.at)
    for draft in (early, late):
        store.recordings.refuse(draft, Failure("not_audio", "No sound."))

    names = opened(exported.whole()).namelist()

    assert f"recordings/{early.id}/recording.json" in names
    assert f"recordings/{late.id}/recording.json" not in names


def test_others_are_not_in_it(store, exported):
    mine = done(store)
    theirs = recording(2, tenant="other", name="uploads/other/2.wav")
    store.recordings.refuse(theirs, Failure("not_audio", "No sound."))

    content = exported.whole()

    assert mine.id.encode() in content
    assert theirs.id.encode() not in content


def test_chains_are_in_it_as_they_prove_themselves(store, exported):
    known = done(store)
    [chain] = store.chains.page("acme")

    lines = opened(exported.whole()).read("audit/chains-000000.jsonl").splitlines()

    [found] = map(json.loads, lines)
    assert (found["recording_id"], found["head"]) == (known.id, chain.head)
    assert [one["salt"] for one in found["links"]] == [one.salt for one in chain.links]


def test_planning_goes_on_where_another_process_stopped(store, exported, tmp_path):
    done(store)
    whole = exported.whole()
    asked = exported.ask()
    for _ in range(3):
        assert exported.plan.go_on(asked) is None

    other = replace(exported)
    index = other.planned(asked)

    assert index == exported.planned(asked)
    assert len(b"".join(other.archive(asked, index).read(0, index.size_bytes))) == len(whole)


def test_what_is_withdrawn_is_over_for_who_plans_and_who_reads(store, exported):
    known = done(store)
    asked, other = exported.ask(), exported.ask()
    index = exported.planned(other)
    exported.plan.go_on(asked)

    exported.plan.plans.withdraw("acme")

    with pytest.raises(ExportOver):
        exported.plan.go_on(asked)
    with pytest.raises(ExportOver):
        list(exported.archive(other, index).read(0, index.size_bytes))
    assert exported.temporary.names("exports") == []
    assert store.recordings.get(known.id) == known


@pytest.fixture
def bucket(storage_emulator, monkeypatch):
    reached(storage_emulator, monkeypatch)
    return Client(PROJECT).create_bucket(f"test-{uuid4().hex[:12]}")


def test_what_lies_in_buckets_is_sent_alike(bucket, tmp_path):
    """Sound, results and plans on the storage emulator, metadata here."""
    here = SQLITE["sqlite_in_memory"](tmp_path)
    here.tenants.ensure("acme", Tier.FREE, NOW)
    uploads = StorageUploads(bucket.client, bucket.name, bucket.name)
    results = StorageResults(bucket.client, bucket.name)
    store = replace(here, uploads=uploads, inlet=uploads, results=results)
    sound = random.Random(7).randbytes(3 << 20)
    upload = store.inlet.put(
        "uploads/acme/1.wav", io.BytesIO(sound), content_type="audio/wav", metadata={}, at=NOW
    )
    known = done(store, generation=upload.generation)
    there = Exports(store, FileSeals(tmp_path / "sealed"), results)
    asked = there.ask()
    index = there.planned(asked)

    whole = b"".join(there.archive(asked, index).read(0, index.size_bytes))

    with opened(whole) as found:
        assert found.testzip() is None
        assert found.read(f"recordings/{known.id}/original.wav") == sound
        assert found.read(f"recordings/{known.id}/results/transcript.txt") == b"said"
    for begin in (1, len(whole) // 2, len(whole) - 7):
        assert b"".join(there.archive(asked, index).read(begin, len(whole))) == whole[begin:]
    there.plan.plans.withdraw("acme")
    assert results.names("exports/acme") == []
    with pytest.raises(ExportOver):
        there.plan.go_on(asked)
