"""Bytes and their row: whatever happens between them, none is left alone."""

import errno
import io
import os
from contextlib import contextmanager
from datetime import timedelta

import pytest

from shared.adapters.embedded.file_sweeper import FileSweeper
from shared.adapters.embedded.sqlite_database import Database
from shared.adapters.embedded.sqlite_uploads import SqliteUploads
from shared.errors import DiskFull, StoreUnavailable
from tests.builders import NOW

#: Later than any file of a test is old.
LATER = NOW + timedelta(days=365 * 20)


class Troubled(Database):
    """Is `busy` for so many writes, then fails `failing` commits; does `before` the next write."""

    busy = failing = 0
    error = StoreUnavailable
    before = None

    @contextmanager
    def write(self, *, durable=True):
        begin, self.before = self.before, None
        if begin is not None:
            begin()
        if self.busy:
            self.busy -= 1
            raise StoreUnavailable
        with super().write(durable=durable) as db:
            yield db
            if self.failing:
                self.failing -= 1
                raise self.error


@pytest.fixture
def db(tmp_path):
    return Troubled(tmp_path / "store.db")


@pytest.fixture
def uploads(db, tmp_path):
    return SqliteUploads(db, tmp_path)


def put(uploads, content=b"sound", name="uploads/acme/a.wav"):
    return uploads.put(name, io.BytesIO(content), content_type="audio/wav", metadata={}, at=NOW)


def heard(uploads, made):
    with uploads.fetch(made.name, made.generation) as fetched:
        return fetched.file.read()


def files(tmp_path, below):
    return [path for path in (tmp_path / below).rglob("*") if path.is_file()]


@pytest.mark.parametrize("error", [StoreUnavailable, DiskFull])
def test_of_an_upload_that_has_no_row_nothing_is_left(db, uploads, tmp_path, error):
    db.failing, db.error = 1, error

    with pytest.raises(error):
        put(uploads)

    assert files(tmp_path, "uploads") == files(tmp_path, "tmp") == []
    assert heard(uploads, put(uploads)) == b"sound"


def test_bytes_that_another_object_has_stay(db, uploads, tmp_path):
    first = put(uploads)
    db.failing = 1

    with pytest.raises(StoreUnavailable):
        put(uploads, name="uploads/acme/b.wav")

    assert heard(uploads, first) == b"sound"
    assert files(tmp_path, "tmp") == []


def test_what_cannot_be_cleared_now_is_swept_later(db, uploads, tmp_path):
    db.busy = 2  # for the upload, and for its clearing
    sweeper = FileSweeper(tmp_path, uploads.clear)
    with pytest.raises(StoreUnavailable):
        put(uploads)
    assert len(files(tmp_path, "uploads")) == len(files(tmp_path, "tmp")) == 1

    db.busy = 1
    assert sweeper.sweep(LATER) == 0
    assert len(files(tmp_path, "uploads")) == len(files(tmp_path, "tmp")) == 1

    assert sweeper.sweep(LATER) == 1
    assert files(tmp_path, "uploads") == files(tmp_path, "tmp") == []


def test_of_an_upload_killed_behind_its_row_only_the_copy_is_swept(uploads, tmp_path):
    made = put(uploads)
    [place] = files(tmp_path, "uploads")
    os.link(place, tmp_path / "tmp" / "upload-0123")

    assert FileSweeper(tmp_path, uploads.clear).sweep(LATER) == 1

    assert files(tmp_path, "tmp") == []
    assert heard(uploads, made) == b"sound"


def test_the_same_content_deleted_in_between_is_laid_again(db, uploads, tmp_path):
    first = put(uploads)
    db.before = lambda: SqliteUploads(Database(db.path), tmp_path).delete(first.name, 1)

    second = put(uploads, name="uploads/acme/b.wav")

    assert heard(uploads, second) == b"sound"
    assert files(tmp_path, "tmp") == []


def test_of_what_is_laid_second_under_a_name_nothing_is_left(db, uploads, tmp_path):
    upload = put(uploads)
    uploads.delete(upload.name, upload.generation)
    neighbour = SqliteUploads(Database(db.path), tmp_path)
    db.before = lambda: neighbour.lay(upload, io.BytesIO(b"first"))

    assert uploads.lay(upload, io.BytesIO(b"second")) is False

    assert heard(uploads, upload) == b"first"
    assert len(files(tmp_path, "uploads")) == 1
    assert files(tmp_path, "tmp") == []


def test_a_file_system_without_links_will_do(db, uploads, tmp_path, monkeypatch):
    def refused(*_):
        raise PermissionError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refused)

    db.failing = 1
    with pytest.raises(StoreUnavailable):
        put(uploads)
    assert files(tmp_path, "uploads") == files(tmp_path, "tmp") == []

    assert heard(uploads, put(uploads)) == b"sound"
    assert files(tmp_path, "tmp") == []


def test_an_event_delivered_late_does_not_take_another_ones_place(db, uploads):
    put(uploads, name="uploads/acme/a.wav")
    [first] = uploads.events()
    with db.write() as c:
        c.execute("DELETE FROM storage_events")  # as its erasure does
    put(uploads, b"another", name="uploads/acme/b.wav")
    [second] = uploads.events()
    assert second.id == first.id

    uploads.event_sent(first)

    assert uploads.events() == [second]
