"""Which files are meant, and what their names become."""

import os
import re
from pathlib import Path

import pytest

from local.drops import MAX_DEPTH, Drop, Link, content_type, is_ignored, look, object_path

IGNORED = {
    ".hidden.wav": True,
    "talk.wav.part": True,
    "talk.CRDOWNLOAD": True,
    "talk.tmp": True,
    "Thumbs.db": True,
    "desktop.ini": True,
    "talk.wav": False,
    "part.wav": False,
    "tmp": False,
    "noending": False,
}


@pytest.mark.parametrize(("name", "ignored"), IGNORED.items(), ids=IGNORED)
def test_unfinished_and_clutter_are_ignored(name, ignored):
    assert is_ignored(name) is ignored


def test_everything_below_is_found_by_name_and_nothing_else(tmp_path):
    (tmp_path / "b" / "deep").mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    for name in ("a.wav", "b/c.wav", "b/deep/d.wav", ".git/x.wav", "b/.e.wav"):
        (tmp_path / name).write_bytes(b"x")
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "link.wav").symlink_to("a.wav")
    (tmp_path / "away").symlink_to("/")

    found = list(look(tmp_path))

    assert [d.inside for d in found if isinstance(d, Drop)] == ["a.wav", "b/c.wav", "b/deep/d.wav"]
    assert [d.inside for d in found if isinstance(d, Link)] == ["away", "link.wav"]


def test_folder_that_is_gone_is_empty(tmp_path):
    assert list(look(tmp_path / "gone")) == []


@pytest.mark.parametrize(("depth", "found"), [(MAX_DEPTH, 1), (MAX_DEPTH + 1, 0)])
def test_folders_are_entered_so_deep_and_no_deeper(tmp_path, monkeypatch, depth, found):
    (tmp_path / "box").mkdir()
    monkeypatch.chdir(tmp_path / "box")
    for _ in range(depth):
        Path("d").mkdir()
        os.chdir("d")
    Path("talk.wav").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)

    assert len(list(look(tmp_path / "box"))) == found


NAMES = {
    "plain": b"talk.wav",
    "blank": b"my talk.wav",
    "newline": b"a\nb.wav",
    "right to left": "\u202egnp.wav".encode(),
    "globs": b"#[]*?.wav",
    "composed": "gr\u00f6\u00dfe.wav".encode(),
    "decomposed": "gro\u0308\u00dfe.wav".encode(),
    "255 bytes": b"x" * 251 + b".wav",
    "latin-1": b"gr\xf6\xdfe.wav",
    "latin-1, another": b"gr\xf6\xdee.wav",
    "as if escaped": b"gr\\xf6\\xdfe.wav",
    "percent": b"gr%F6%DFe.wav",
    "no ending": b"\xff",
}


def test_every_name_becomes_its_own_utf8_text():
    names = [object_path(os.fsdecode(raw)) for raw in NAMES.values()]

    assert len(set(names)) == len(NAMES)
    for name in names:
        name.encode("utf-8")


@pytest.mark.parametrize("raw", NAMES.values(), ids=NAMES)
def test_name_that_is_utf8_stays_as_it_is(raw):
    name = object_path(os.fsdecode(raw))

    try:
        assert name == raw.decode()
    except UnicodeDecodeError:
        assert "\\xf" in name
        assert name.endswith(".wav") or raw == b"\xff"


def test_replacement_keeps_folders_and_ending():
    name = object_path(os.fsdecode(b"calls/gr\xf6.wav"))

    assert re.fullmatch(r"calls/gr\\xf6~[0-9a-f]{8}\.wav", name)


def test_keys_of_different_paths_differ(tmp_path):
    keys = {Drop(tmp_path, os.fsdecode(raw), 1, 1).key for raw in NAMES.values()}

    assert len(keys) == len(NAMES)
    assert all(key.isascii() for key in keys)


@pytest.mark.parametrize(
    ("name", "kind"), [("a.wav", "audio/"), ("a.mp3", "audio/mpeg"), ("a", "application/octet-")]
)
def test_content_type_is_guessed_from_the_ending(name, kind):
    assert content_type(name).startswith(kind)
