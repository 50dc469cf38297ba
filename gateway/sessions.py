"""Uploads that have begun: the bytes held of each, and which request may write them now.

The protocol is Cloud Storage's for resumable uploads, so that one client serves both.
Source: Cloud Storage, "Perform resumable uploads" and "Resumable uploads".
"""

import errno
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO
from weakref import WeakValueDictionary

from shared.errors import DiskFull, InvalidRequest, WrongState

#: Bytes taken from a request at a time.
BLOCK = 1 << 20
#: How long a begun upload can be gone on with, as long as temporary things are kept.
KEPT = timedelta(hours=24)
#: Longer than any address is good for: what is swept nobody could have gone on with.
SWEPT = KEPT + timedelta(hours=1)
#: `bytes 0-9/20`, and the question `bytes */20` or `bytes */*`. Source: RFC 9110 section 14.4.
_CONTENT_RANGE = re.compile(r"bytes (?:(\d{1,15})-(\d{1,15})|\*)/(\d{1,15}|\*)")
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes from `start` up to, not including, `end`. None for both asks how far it came."""

    start: int | None
    end: int | None


def piece_of(content_range: str, size_bytes: int) -> Piece | None:
    """What a Content-Range header announces; None where there is no header: the whole.

    Raises:
        InvalidRequest: it is none, or one of another file.
    """
    if not content_range:
        return None
    match = _CONTENT_RANGE.fullmatch(content_range)
    if match is None or match[3] not in ("*", str(size_bytes)):
        raise InvalidRequest("The Content-Range is not one of this upload.")
    if match[1] is None:
        return Piece(None, None)
    start, end = int(match[1]), int(match[2]) + 1
    if not start < end <= size_bytes:
        raise InvalidRequest("The Content-Range is not one of this upload.")
    return Piece(start, end)


@dataclass(slots=True, weakref_slot=True, eq=False)
class Session:
    """One upload on its way. Whoever begins to write last, writes; an older request is told."""

    path: Path
    lock: threading.RLock = field(default_factory=threading.RLock)
    _writer: int = 0

    def held_bytes(self) -> int | None:
        """Bytes that need not be sent again; None if nothing was ever sent."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return None

    def receive(self, start: int, end: int, content: BufferedReader) -> int:
        """Write what `content` gives as the bytes from `start` to `end`; the writer's number.

        What came before a failure is held.

        Raises:
            InvalidRequest: bytes before `start` are missing, or there are more than announced.
            WrongState: another request goes on with this upload.
            DiskFull: some more of it was written, or nothing.
        """
        with _full_disk_said():
            writer = self._take_over(start)
            # One chunk at a time: what came before the sender broke off is kept.
            while block := content.read1(BLOCK):
                start += len(block)
                if start > end:
                    raise InvalidRequest("The size is not the one this address was made for.")
                self._append(writer, block)
        return writer

    def finish(self, writer: int, store: Callable[[BinaryIO], None]) -> None:
        """Hand the whole to `store` and forget it; what fails can be finished again.

        Raises:
            WrongState: another request goes on with this upload.
        """
        with self.lock:
            self._check(writer)
            with self.path.open("rb") as file:
                store(file)
            self.path.unlink()

    def take_over(self) -> int:
        """Be the one that writes or finishes, from now on."""
        with self.lock:
            self._writer += 1
            return self._writer

    def _take_over(self, start: int) -> int:
        with self.lock, self.path.open("ab") as file:
            if start > file.tell():
                raise InvalidRequest("Bytes before these are missing. Ask how far the upload came.")
            file.truncate(start)
            return self.take_over()

    def _append(self, writer: int, block: bytes) -> None:
        with self.lock:
            self._check(writer)
            with self.path.open("ab") as file:
                file.write(block)

    def _check(self, writer: int) -> None:
        if writer != self._writer:
            raise WrongState("Another request goes on with this upload.")


class Sessions:
    """Every upload on its way, by key; the bytes outlive the process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        # A session lives as long as a request holds it, and while it lives it is the only one.
        self._open: WeakValueDictionary[str, Session] = WeakValueDictionary()

    def session(self, key: str, now: datetime) -> Session:
        """The session of this key, begun or not."""
        with self._lock:
            known = self._open.get(key)
            if known is None:
                self._sweep(now)
                known = self._open[key] = Session(self._folder / f"resumable-{key}")
            return known

    def _sweep(self, now: datetime) -> None:
        """Remove what nobody went on with."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in self._folder.glob("resumable-*"):
            with suppress(FileNotFoundError):  # just finished
                if path.stat().st_mtime < (now - SWEPT).timestamp():
                    path.unlink()


@contextmanager
def _full_disk_said() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise DiskFull from error
        raise
