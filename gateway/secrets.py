"""Secrets of one HOME: made once, readable by its owner only; in the cloud all instances share."""

import os
import secrets
from pathlib import Path
from uuid import uuid4

from shared.ports import Bookmarks

#: Bytes; 256 bit, as long as the digest of HMAC-SHA256 (RFC 2104 section 3).
SECRET_BYTES = 32


def secret(path: Path) -> str:
    """The secret in `path`, made at its first use: hexadecimal, mode 0600, one line.

    Of several processes that ask at once, all get the same one.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        _make(path)
    return path.read_text(encoding="ascii").strip()


def agreed(bookmarks: Bookmarks, name: str, proposed: str) -> str:
    """The secret that all instances share: what the first of them proposed, as long as the store.

    It opens nothing by itself; it shows that a request comes from a page of ours.
    """
    bookmarks.move(name, None, proposed)
    return bookmarks.get(name) or proposed


def _make(path: Path) -> None:
    aside = path.with_name(f".{path.name}-{uuid4().hex}")
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(SECRET_BYTES) + "\n")
        # A link appears whole and never replaces: whoever comes second keeps the first one's.
        os.link(aside, path)
    except FileExistsError:
        pass
    finally:
        aside.unlink()
