"""Which files in a folder are meant to be heard, and what their names become."""

import hashlib
import mimetypes
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import quote_from_bytes

#: Endings of files that are still being written, by browsers and by us.
UNFINISHED = (".part", ".crdownload", ".tmp")
#: Files that systems leave in folders (compared in lower case).
CLUTTER = frozenset({"thumbs.db", "desktop.ini"})
#: Folders inside folders that are looked into; nobody sorts recordings deeper.
MAX_DEPTH = 64
#: Hexadecimal digits of a digest that keep two unreadable names apart.
APART_DIGITS = 8


def is_ignored(name: str) -> bool:
    """Dotfiles, unfinished downloads and what systems leave behind."""
    low = name.lower()
    return low.startswith(".") or low.endswith(UNFINISHED) or low in CLUTTER


@dataclass(frozen=True, slots=True)
class Drop:
    """One file, as a look at its folder found it."""

    path: Path
    inside: str  #: path below the folder, with "/", undecodable bytes as surrogates
    size_bytes: int
    mtime_ns: int

    @property
    def key(self) -> str:
        """Another text for every other path: its bytes, percent-encoded."""
        return quote_from_bytes(os.fsencode(self.inside))


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link, which is not followed."""

    inside: str


def look(folder: Path, inside: str = "") -> Iterator[Drop | Link]:
    """Every file below the folder, in the order of names.

    Neither links nor devices, pipes and sockets are opened or entered. A folder that cannot
    be read now (gone, forbidden, a network drive that is away) is empty now.
    """
    if inside.count("/") > MAX_DEPTH:
        return
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda e: e.name)
    except OSError:
        return
    for entry in entries:
        if not is_ignored(entry.name):
            yield from _entry(entry, f"{inside}{entry.name}")


def _entry(entry: os.DirEntry[str], inside: str) -> Iterator[Drop | Link]:
    if entry.is_symlink():
        yield Link(inside)
    elif entry.is_dir(follow_symlinks=False):
        yield from look(Path(entry.path), f"{inside}/")
    elif entry.is_file(follow_symlinks=False):
        try:
            stat = entry.stat(follow_symlinks=False)
        except OSError:
            return
        yield Drop(Path(entry.path), inside, stat.st_size, stat.st_mtime_ns)


def object_path(inside: str) -> str:
    r"""The path as an object's name: UTF-8 text.

    A name that is not UTF-8 gets `\xff` for each byte that is none, and a piece of its
    digest before the ending, so that no two names become one.
    """
    raw = os.fsencode(inside)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        shown = PurePosixPath(raw.decode("utf-8", "backslashreplace"))
        mark = hashlib.sha256(raw).hexdigest()[:APART_DIGITS]
        return str(shown.with_name(f"{shown.stem}~{mark}{shown.suffix}"))


def content_type(name: str) -> str:
    """A guess from the ending, as a browser makes it; only the sound itself is believed."""
    return mimetypes.guess_type(name)[0] or "application/octet-stream"
