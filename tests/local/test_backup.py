"""Everything that cannot be made again, there and back; nothing else comes in."""

import io
import json
import stat
import tarfile
from dataclasses import replace

import pytest

from local import backup as archive
from local.push_keys import PushKeys
from shared import wiring
from shared.adapters.embedded.schema import MIGRATIONS
from shared.errors import BackupRefused, NotFound, StoreUnavailable
from shared.settings import load
from shared.wiring import clock
from tests.builders import NOW


@pytest.fixture
def backed(world, home, tmp_path):
    """A HOME with a recording, an upload and a key, and its backup."""
    world.done("talk.wav", "hello there")
    world.upload("uploads/demo/größe.wav", b"sound")
    PushKeys(home / "keys", clock)
    return archive.backup(home, tmp_path / "b.tar", NOW)


def test_what_was_there_is_there_again(world, home, tmp_path, backed):
    new = tmp_path / "new" / "home"

    report = archive.restore(new, backed.file)
    parts = wiring.parts(load(home=new))
    [made] = parts.recordings.page()

    assert report.files == backed.files
    assert made == world.parts.recordings.page()[0]
    assert b"hello there" in parts.results.load(made.result, "transcript.txt")
    with parts.uploads.fetch("uploads/demo/größe.wav", 1) as fetched:
        assert fetched.file.read() == b"sound"
    assert [e.event.name for e in parts.uploads.events()] == ["uploads/demo/größe.wav"]
    assert (new / "keys/push.pem").read_bytes() == (home / "keys/push.pem").read_bytes()
    assert stat.S_IMODE((new / "keys/push.pem").stat().st_mode) == 0o600


class Unnoting:
    """Bookmarks of a process that is killed before it writes the next note."""

    def __init__(self, bookmarks):
        self.get = bookmarks.get

    def move(self, *_):
        raise StoreUnavailable


def test_a_backup_takes_the_seals_that_its_copy_of_the_store_notes(world, home, tmp_path):
    world.done("talk.wav", "hello there")
    sealing = wiring.sealing(world.parts)
    sealing.round(NOW)
    world.done("more.wav", "and so on")
    with pytest.raises(StoreUnavailable):
        replace(sealing, bookmarks=Unnoting(world.parts.bookmarks)).round(NOW)

    archive.restore(tmp_path / "new", archive.backup(home, tmp_path / "b.tar", NOW).file)
    parts = wiring.parts(load(home=tmp_path / "new"))

    assert (world.parts.seals.numbers("demo"), parts.seals.numbers("demo")) == ([1, 2], [1])
    assert wiring.verify(parts)("demo").findings == ()
    assert stat.S_IMODE((tmp_path / "new/audit/demo/0000000001.json").stat().st_mode) == 0o400


def test_backup_is_ours_alone_and_leaves_nothing_else(backed, home, tmp_path):
    assert stat.S_IMODE(backed.file.stat().st_mode) == 0o600
    assert {p.name for p in tmp_path.iterdir()} == {"home", "b.tar"}
    assert list((home / "tmp").iterdir()) == []


def test_folder_gets_a_dated_file_and_gives_its_newest(backed, home, tmp_path):
    folder = tmp_path / "backups"
    folder.mkdir()
    older = archive.backup(home, folder, NOW.replace(year=2025))
    newer = archive.backup(home, folder, NOW)

    assert newer.file.name == "earwitness-20260301T120000Z.tar"
    assert archive.restore(tmp_path / "new", folder).file == newer.file != older.file


def test_existing_file_is_not_overwritten(backed, home):
    with pytest.raises(BackupRefused, match="exists already"):
        archive.backup(home, backed.file, NOW)


def test_nothing_to_back_up_is_said(tmp_path):
    with pytest.raises(NotFound, match="nothing to back up"):
        archive.backup(tmp_path / "none", tmp_path / "b.tar", NOW)


@pytest.mark.parametrize("source", ["none.tar", "."], ids=["no file", "no backup in the folder"])
def test_missing_backup_is_said(tmp_path, source):
    with pytest.raises(NotFound):
        archive.restore(tmp_path / "new", tmp_path / source)


def test_home_that_is_not_empty_is_left_alone(backed, home):
    before = (home / "earwitness.db").read_bytes()

    with pytest.raises(BackupRefused, match="not empty"):
        archive.restore(home, backed.file)

    assert (home / "earwitness.db").read_bytes() == before


def test_empty_folder_counts_as_an_empty_home(backed, tmp_path):
    (tmp_path / "new").mkdir()

    archive.restore(tmp_path / "new", backed.file)

    assert (tmp_path / "new" / "earwitness.db").exists()


def manifest(**changes):
    known = {"format": 1, "schema": len(MIGRATIONS), "version": "9.9.9", "made_at": "x"}
    return json.dumps(known | changes).encode()


def tar_of(path, *members):
    with tarfile.open(path, "w") as tar:
        for name, content, *kind in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            if kind:
                member.type, member.linkname, member.size = kind[0], "/etc/passwd", 0
            tar.addfile(member, io.BytesIO(content))
    return path


GOOD = ("manifest.json", manifest())
BAD = {
    "newer schema": (("manifest.json", manifest(schema=len(MIGRATIONS) + 1)),),
    "newer format": (("manifest.json", manifest(format=2)),),
    "no manifest": (("earwitness.db", b""),),
    "manifest is no JSON": (("manifest.json", b"{"),),
    "manifest lacks a key": (("manifest.json", b'{"format": 1}'),),
    "manifest is a list": (("manifest.json", b"[]"),),
    "manifest is huge": (("manifest.json", b" " * (archive.MAX_DOCUMENT + 1)),),
    "manifest is a link": (("manifest.json", b"", tarfile.SYMTYPE),),
    "climbs out": (GOOD, ("uploads/../../evil", b"x")),
    "absolute": (GOOD, ("/etc/evil", b"x")),
    "elsewhere": (GOOD, ("logs/x", b"x")),
    "folder's own name": (GOOD, ("uploads", b"x")),
    "symlink": (GOOD, ("uploads/ab/x", b"", tarfile.SYMTYPE)),
    "device": (GOOD, ("uploads/ab/x", b"", tarfile.CHRTYPE)),
    "damaged upload": (GOOD, ("uploads/ab/x", b"x")),
    "more files than promised": (GOOD, ("results/a/b", b"x"), ("complete.json", b'{"files": 0}')),
    "no end": (GOOD, ("results/a/b", b"x")),
    "no store": (GOOD, ("results/a/b", b"x"), ("complete.json", b'{"files": 1}')),
    "store is none": (
        GOOD,
        ("earwitness.db", b"no database, but long enough" * 100),
        ("complete.json", b'{"files": 1}'),
    ),
}


@pytest.mark.parametrize("members", BAD.values(), ids=BAD)
def test_what_is_no_backup_of_ours_changes_nothing(tmp_path, members):
    file = tar_of(tmp_path / "b.tar", *members)

    with pytest.raises(BackupRefused):
        archive.restore(tmp_path / "new", file)

    assert {p.name for p in tmp_path.iterdir()} == {"b.tar"}


def test_newer_backup_says_which_version_to_install(tmp_path):
    file = tar_of(tmp_path / "b.tar", ("manifest.json", manifest(schema=99)))

    with pytest.raises(BackupRefused, match=r"9\.9\.9.*newer"):
        archive.restore(tmp_path / "new", file)


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9, 0.93], ids=str)
def test_backup_that_is_cut_short_is_refused(backed, tmp_path, keep):
    content = backed.file.read_bytes()
    short = tmp_path / "short.tar"
    short.write_bytes(content[: int(len(content) * keep)])

    with pytest.raises(BackupRefused):
        archive.restore(tmp_path / "new", short)


def test_text_is_no_backup(tmp_path):
    (tmp_path / "b.tar").write_text("hello" * 1000)

    with pytest.raises(BackupRefused, match="no backup"):
        archive.restore(tmp_path / "new", tmp_path / "b.tar")
