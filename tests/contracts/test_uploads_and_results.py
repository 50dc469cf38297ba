"""Sounds in, results out: on one machine, and in buckets of the storage emulator."""

import gzip
import hashlib
import io
from dataclasses import dataclass
from uuid import uuid4

import pytest
from google.cloud.storage import Client

from local.emulated.emulators import PROJECT
from shared.adapters.gcp.storage_results import StorageResults
from shared.adapters.gcp.storage_uploads import CHUNK, StorageUploads
from shared.errors import AudioTooLarge, InvalidRequest, NotFound
from shared.ports import Inlet, Results, Uploads
from tests.builders import NOW
from tests.contracts.conftest import SQLITE
from tests.contracts.patience import at_once
from tests.emulators import reached

NAME = "uploads/acme/talk.wav"


@dataclass(frozen=True)
class Files:
    uploads: Uploads
    inlet: Inlet
    results: Results


@pytest.fixture
def bucket(storage_emulator, monkeypatch):
    """A bucket of its own a test: nothing to clear."""
    reached(storage_emulator, monkeypatch)
    return Client(PROJECT).create_bucket(f"test-{uuid4().hex[:12]}")


@pytest.fixture
def in_bucket(bucket, tmp_path):
    (tmp_path / "tmp").mkdir()
    archive = bucket.client.create_bucket(f"{bucket.name}-archive")
    uploads = StorageUploads(bucket.client, bucket.name, archive.name, spool=tmp_path / "tmp")
    return Files(uploads, uploads, StorageResults(bucket.client, bucket.name))


@pytest.fixture(params=SQLITE)
def on_one_machine(request, tmp_path):
    return SQLITE[request.param](tmp_path)


@pytest.fixture(params=[*SQLITE, "in_bucket"])
def store(request, tmp_path):
    if request.param == "in_bucket":
        return request.getfixturevalue("in_bucket")
    return SQLITE[request.param](tmp_path)


def put(store, content=b"0123456789", name=NAME, **extra):
    return store.inlet.put(
        name, io.BytesIO(content), content_type="audio/wav", metadata={"b": "2", "a": "1"}, at=NOW
    )


def test_an_upload_can_be_looked_at_read_in_ranges_and_fetched(store):
    made = put(store)

    assert store.uploads.stat(NAME, made.generation) == made
    assert made.metadata == (("a", "1"), ("b", "2"))
    assert (made.size_bytes, made.content_type) == (10, "audio/wav")
    assert made.created_at.tzinfo
    assert store.uploads.read(NAME, made.generation, 2, 3) == b"234"
    assert store.uploads.read(NAME, made.generation, 8, 99) == b"89"
    with store.uploads.fetch(NAME, made.generation) as fetched:
        assert fetched.file.read() == b"0123456789"
        assert fetched.sha256 == hashlib.sha256(b"0123456789").hexdigest()


def test_metadata_comes_back_as_it_was_whatever_headers_carry(store):
    metadata = {"name": "Gr\u00fc\u00dfe  2 \u20ac", "looks": "=?utf-8?B?w7w=?=", "plain": "a b"}

    made = store.inlet.put(
        NAME, io.BytesIO(b"x"), content_type="audio/wav", metadata=metadata, at=NOW
    )

    assert dict(made.metadata) == metadata
    assert store.uploads.stat(NAME, made.generation) == made
    assert store.uploads.page() == [made]


def test_each_put_is_the_next_generation(store):
    first, second = put(store, b"old"), put(store, b"new")

    assert second.generation > first.generation
    assert store.uploads.read(NAME, second.generation, 0, 9) == b"new"
    assert store.uploads.stat(NAME, second.generation) == second


def test_on_one_machine_the_old_generation_stays_and_the_time_is_the_callers(on_one_machine):
    first, _ = put(on_one_machine, b"old"), put(on_one_machine, b"new")

    assert first.created_at == NOW
    assert on_one_machine.uploads.read(NAME, first.generation, 0, 9) == b"old"


def test_in_the_bucket_what_was_replaced_is_gone_never_another_sound(in_bucket):
    first, _ = put(in_bucket, b"old"), put(in_bucket, b"new")

    assert in_bucket.uploads.stat(NAME, first.generation) is None
    with pytest.raises(NotFound):
        in_bucket.uploads.read(NAME, first.generation, 0, 9)
    with pytest.raises(NotFound), in_bucket.uploads.fetch(NAME, first.generation):
        pass


def test_reading_from_behind_the_end_is_nothing(store):
    made = put(store)

    assert store.uploads.read(NAME, made.generation, 10, 5) == b""
    assert store.uploads.read(NAME, made.generation, 99, 5) == b""
    assert store.uploads.read(NAME, made.generation, 3, 0) == b""


def test_a_generation_that_is_gone(store):
    assert store.uploads.stat(NAME, 7) is None
    with pytest.raises(NotFound):
        store.uploads.read(NAME, 7, 0, 1)
    with pytest.raises(NotFound), store.uploads.fetch(NAME, 7):
        pass


def test_an_upload_of_several_chunks_comes_in_whole(store):
    content = bytes(range(256)) * (CHUNK // 128) + b"end"

    made = put(store, content)

    assert made.size_bytes == len(content)
    with store.uploads.fetch(NAME, made.generation) as fetched:
        assert fetched.sha256 == hashlib.sha256(content).hexdigest()
        assert hashlib.sha256(fetched.file.read()).hexdigest() == fetched.sha256


def test_what_calls_itself_packed_is_read_as_it_is_stored(bucket, in_bucket):
    """The server would unpack it, and its size would be a lie."""
    packed = gzip.compress(b"0" * 1000)
    blob = bucket.blob(NAME)
    blob.content_encoding = "gzip"
    blob.upload_from_string(packed)

    with in_bucket.uploads.fetch(NAME, blob.generation) as fetched:
        assert fetched.file.read() == packed
    assert in_bucket.uploads.read(NAME, blob.generation, 0, 9999) == packed


@pytest.mark.parametrize("name", ["", "a\nb", "a\rb", "x" * 1025, "\udc80"])
def test_a_name_no_object_can_have_is_refused_and_nothing_is_kept(in_bucket, name):
    with pytest.raises(InvalidRequest):
        put(in_bucket, name=name)

    assert in_bucket.uploads.page() == []


@pytest.mark.parametrize("name", ["uploads/acme/line\nbreak\r.wav", "uploads/acme/" + "x" * 1025])
def test_on_one_machine_any_name_will_do(on_one_machine, name):
    made = put(on_one_machine, b"content", name)

    assert on_one_machine.uploads.read(name, made.generation, 0, 9) == b"content"


@pytest.mark.parametrize(
    "name",
    [
        "uploads/acme/../../etc/passwd",
        "uploads/acme/\u202egnp.wav",
        "uploads/acme/" + "ü" * 500,
        "uploads/acme/a#b[*?].wav",
        "uploads/acme/e\u0301.wav",
        "uploads/acme/\u00e9.wav",
    ],
)
def test_no_name_becomes_a_path_and_no_two_meet(store, tmp_path, name):
    made = put(store, name.encode(), name)

    assert store.uploads.read(name, made.generation, 0, 2000) == name.encode()
    files = [p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file()]
    assert all(part.isascii() for path in files for part in path.parts)


def test_too_large_keeps_nothing(store, tmp_path):
    with pytest.raises(AudioTooLarge):
        store.inlet.put(
            NAME, io.BytesIO(b"x" * 11), content_type="", metadata={}, at=NOW, max_bytes=10
        )

    assert store.uploads.page() == []
    assert list((tmp_path / "tmp").iterdir()) == []


def test_exactly_the_most_is_kept(store):
    made = store.inlet.put(
        NAME, io.BytesIO(b"x" * 10), content_type="", metadata={}, at=NOW, max_bytes=10
    )

    assert store.uploads.stat(NAME, made.generation).size_bytes == 10


FOLDER = "results/acme/rec1/1"


def test_results_appear_together_and_are_create_only(store):
    store.results.save(FOLDER, {"result.json": b"{}", "transcript.txt": b"one"})
    store.results.save(FOLDER, {"result.json": b"other", "transcript.txt": b"two"})

    assert store.results.load(FOLDER, "result.json") == b"{}"
    assert store.results.load(FOLDER, "transcript.txt") == b"one"


def test_of_concurrent_writers_of_one_file_one_is_kept(store):
    at_once(8, lambda n: store.results.save(FOLDER, {"result.json": b"%d" % n}), range(8))

    kept = store.results.load(FOLDER, "result.json")
    assert kept in {b"%d" % n for n in range(8)}
    store.results.save(FOLDER, {"result.json": b"late"})
    assert store.results.load(FOLDER, "result.json") == kept


def test_a_result_that_is_not_there(store):
    with pytest.raises(NotFound):
        store.results.load(FOLDER, "result.json")


def test_uploads_are_paged_by_the_bytes_of_their_name_then_generation(store):
    names = ["b", "\u00e9", "a", "B", "c"]
    made = [put(store, name=f"uploads/acme/{name}") for name in names]

    pages, after = [], None
    while page := store.uploads.page(after, limit=2):
        pages.append(page)
        after = (page[-1].name, page[-1].generation)

    assert [len(page) for page in pages] == [2, 2, 1]
    wanted = sorted(made, key=lambda o: (o.name.encode(), o.generation))
    assert [upload for page in pages for upload in page] == wanted


def test_on_one_machine_each_generation_is_met(on_one_machine):
    first, second = put(on_one_machine), put(on_one_machine)

    assert on_one_machine.uploads.page(limit=1) == [first]
    assert on_one_machine.uploads.page((NAME, first.generation), limit=1) == [second]


def test_in_the_bucket_a_newer_generation_of_the_last_one_seen_is_met(in_bucket):
    first, second = put(in_bucket), put(in_bucket)

    assert in_bucket.uploads.page((NAME, first.generation)) == [second]
    assert in_bucket.uploads.page((NAME, second.generation)) == []


def test_an_empty_bucket_has_no_page(store):
    assert store.uploads.page() == []


def test_folders_of_results_are_paged_and_each_is_met_once(store):
    """`a-b` sorts before `a` here, because their slashes are compared."""
    wanted = [
        *("results/a-b/rec1/1", "results/a/rec1/1", "results/a/rec1/10"),
        *("results/a/rec1/2", "results/a/rec2/1"),
    ]
    for folder in reversed(wanted):
        store.results.save(folder, {"result.json": b"{}", "transcript.txt": b""})

    seen, after = [], None
    while page := store.results.folders(after, limit=2):
        seen += [kept.folder for kept in page]
        after = page[-1].folder

    assert seen == wanted
    assert all(kept.saved_at.tzinfo for kept in store.results.folders())


def test_a_folder_is_removed_with_its_files_and_twice_is_once(store):
    store.results.save(FOLDER, {"result.json": b"{}", "transcript.txt": b""})
    store.results.save("results/acme/rec1/2", {"result.json": b"{}"})

    store.results.remove(FOLDER)
    store.results.remove(FOLDER)

    assert [kept.folder for kept in store.results.folders()] == ["results/acme/rec1/2"]
    with pytest.raises(NotFound):
        store.results.load(FOLDER, "result.json")


def test_files_below_a_folder_are_named_and_none_of_its_neighbours(store):
    for folder in ("plans/acme/1", "plans/acme/1/a", "plans/acme/10", "plans/acme2/1"):
        store.results.save(folder, {"b.json": b"{}", "a.json": b"{}"})

    assert store.results.names("plans/acme2/1") == ["a.json", "b.json"]
    assert store.results.names("plans/acme") == [
        *("1/a.json", "1/a/a.json", "1/a/b.json", "1/b.json", "10/a.json", "10/b.json")
    ]
    assert store.results.names("plans/nobody") == []


def test_a_folder_is_removed_with_all_below_it(store):
    for folder in ("plans/acme/1", "plans/acme/2", "plans/acme2/1"):
        store.results.save(folder, {"a.json": b"{}"})

    store.results.remove("plans/acme")

    assert store.results.names("plans") == ["acme2/1/a.json"]


def test_no_results_no_folders(store):
    assert store.results.folders() == []


def test_a_hold_can_be_set_and_ended_twice(store):
    made = put(store)

    for _ in range(2):
        store.uploads.hold(NAME, made.generation)
    for _ in range(2):
        store.uploads.unhold(NAME, made.generation)
    store.uploads.delete(NAME, made.generation)

    assert store.uploads.stat(NAME, made.generation) is None


def test_what_is_gone_cannot_be_held_and_need_not_be_released(store):
    made = put(store)
    store.uploads.delete(NAME, made.generation)

    store.uploads.unhold(NAME, made.generation)
    with pytest.raises(NotFound):
        store.uploads.hold(NAME, made.generation)


SHELF = f"archive/acme/{'a' * 32}/"
FLACS = [f"{SHELF}{n * 32}.flac" for n in "012"]


def shelve(store, name, content=b"fLaC and more"):
    return store.uploads.shelve(name, io.BytesIO(content), "audio/flac", NOW)


def test_what_is_shelved_is_read_like_an_upload_and_told_to_nobody(store):
    made = shelve(store, FLACS[0])

    place = made.name, made.generation
    assert (made.name, made.size_bytes, made.content_type) == (FLACS[0], 13, "audio/flac")
    assert store.uploads.stat(*place) == made
    assert store.uploads.read(*place, 5, 3) == b"and"
    with store.uploads.fetch(*place) as fetched:
        assert fetched.file.read() == b"fLaC and more"
    assert store.uploads.generations(FLACS[0]) == [made]
    assert store.uploads.page() == []


def test_on_one_machine_nobody_hears_of_what_is_shelved(on_one_machine):
    shelve(on_one_machine, FLACS[0])

    assert on_one_machine.uploads.events() == []


def test_content_is_shelved_from_its_beginning(store):
    file = io.BytesIO(b"0123456789")
    file.seek(5)

    made = store.uploads.shelve(FLACS[0], file, "audio/flac", NOW)

    assert store.uploads.read(made.name, made.generation, 0, 99) == b"0123456789"


def test_what_is_shelved_under_a_name_that_is_taken_leaves_what_is_there(on_one_machine):
    """fake-gcs-server forgets the condition of a resumable upload: see test_storage_holds.py."""
    first = shelve(on_one_machine, FLACS[0], b"first")

    again = shelve(on_one_machine, FLACS[0], b"again")

    assert again == first
    assert on_one_machine.uploads.read(again.name, again.generation, 0, 99) == b"first"


def test_a_folder_of_the_archive_is_listed_by_name_page_by_page(store):
    made = [shelve(store, name) for name in reversed(FLACS)][::-1]
    shelve(store, f"archive/acme/{'b' * 32}/{'0' * 32}.flac")
    put(store)

    first = store.uploads.shelved(SHELF, limit=2)
    rest = store.uploads.shelved(SHELF, first[-1].name, limit=2)

    assert (first, rest) == (made[:2], made[2:])
    assert store.uploads.shelved(SHELF, FLACS[2]) == []
    assert len(store.uploads.shelved("archive/")) == 4


def test_what_is_shelved_is_deleted_for_good(store):
    made, other = shelve(store, FLACS[0]), shelve(store, FLACS[1])

    for _ in range(2):
        store.uploads.delete(made.name, made.generation)

    assert store.uploads.stat(made.name, made.generation) is None
    assert store.uploads.shelved(SHELF) == [other]


def test_what_is_there_is_intact_and_what_is_gone_is_not(store):
    made = shelve(store, FLACS[0])
    place = made.name, made.generation

    before = store.uploads.intact(*place)
    store.uploads.delete(*place)

    assert (before, store.uploads.intact(*place)) == (True, False)


def test_the_same_bytes_in_both_places_are_two_objects(store):
    made, kept = put(store, b"the same"), shelve(store, FLACS[0], b"the same")

    store.uploads.delete(made.name, made.generation)

    assert store.uploads.read(kept.name, kept.generation, 0, 99) == b"the same"
    assert store.uploads.page() == []


def test_an_upload_that_calls_itself_archived_is_no_object_of_the_archive(in_bucket):
    made = put(in_bucket, name="archive/acme/talk.flac")

    assert in_bucket.uploads.stat(made.name, made.generation) == made
    assert in_bucket.uploads.shelved("archive/") == []
