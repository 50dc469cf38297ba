import hashlib
import io

import pytest

from shared.errors import AudioTooLarge, NotFound
from tests.builders import NOW

NAME = "uploads/acme/talk.wav"


def put(store, content=b"0123456789", name=NAME, **extra):
    return store.inlet.put(
        name, io.BytesIO(content), content_type="audio/wav", metadata={"b": "2", "a": "1"}, at=NOW
    )


def test_an_upload_can_be_looked_at_read_in_ranges_and_fetched(store):
    made = put(store)

    assert store.uploads.stat(NAME, made.generation) == made
    assert made.metadata == (("a", "1"), ("b", "2"))
    assert (made.size_bytes, made.content_type, made.created_at) == (10, "audio/wav", NOW)
    assert store.uploads.read(NAME, made.generation, 2, 3) == b"234"
    assert store.uploads.read(NAME, made.generation, 8, 99) == b"89"
    with store.uploads.fetch(NAME, made.generation) as fetched:
        assert fetched.file.read() == b"0123456789"
        assert fetched.sha256 == hashlib.sha256(b"0123456789").hexdigest()


def test_each_put_is_the_next_generation_and_the_old_one_stays(store):
    first, second = put(store, b"old"), put(store, b"new")

    assert second.generation > first.generation
    assert store.uploads.read(NAME, first.generation, 0, 9) == b"old"
    assert store.uploads.read(NAME, second.generation, 0, 9) == b"new"


def test_a_generation_that_is_gone(store):
    assert store.uploads.stat(NAME, 7) is None
    with pytest.raises(NotFound):
        store.uploads.read(NAME, 7, 0, 1)
    with pytest.raises(NotFound), store.uploads.fetch(NAME, 7):
        pass


@pytest.mark.parametrize(
    "name",
    [
        "uploads/acme/../../etc/passwd",
        "uploads/acme/line\nbreak\r.wav",
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

    assert store.uploads.stat(NAME, 1) is None
    assert list((tmp_path / "tmp").iterdir()) == []


def test_exactly_the_most_is_kept(store):
    store.inlet.put(NAME, io.BytesIO(b"x" * 10), content_type="", metadata={}, at=NOW, max_bytes=10)

    assert store.uploads.stat(NAME, 1).size_bytes == 10


FOLDER = "results/acme/rec1/1"


def test_results_appear_together_and_are_create_only(store):
    store.results.save(FOLDER, {"result.json": b"{}", "transcript.txt": b"one"})
    store.results.save(FOLDER, {"result.json": b"other", "transcript.txt": b"two"})

    assert store.results.load(FOLDER, "result.json") == b"{}"
    assert store.results.load(FOLDER, "transcript.txt") == b"one"


def test_a_result_that_is_not_there(store):
    with pytest.raises(NotFound):
        store.results.load(FOLDER, "result.json")
