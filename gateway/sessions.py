"""Uploads that have begun: the bytes held of each, and which request may write them now.

The protocol is Cloud Storage's for resumable uploads, so that one client serves both. In the cloud
the bucket keeps them, and none of this is used.
Source: Cloud Storage, "Perform resumable uploads" and "Resumable uploads".
"""

import errno
import re
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, TypeVar
from weakref import WeakValueDictionary

from pydantic import TypeAdapter

from shared.domain.permits import Permit
from shared.errors import DiskFull, InvalidRequest, NotFound, WrongState

#: Bytes taken from a request at a time.
BLOCK = 1 << 20
#: How long a begun upload can be gone on with, as long as temporary things are kept. Cloud Storage
#: keeps its own for a week.
KEPT = timedelta(hours=24)
#: What is swept nobody could have gone on with.
SWEPT = KEPT + timedelta(hours=1)
#: Bytes of randomness in a session's key: who knows it may write, as with Cloud Storage.
KEY_BYTES = 16
PATTERN = r"^[0-9a-f]{32}$"
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


@dataclass(frozen=True, slots=True)
class Begun:
    """What was allowed when a session began; its key stands for it from then on."""

    permit: Permit
    at: datetime
    generation: int | None = None  #: of the object it became


_BEGUN = TypeAdapter(Begun)
T = TypeVar("T")


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

    def finish(self, writer: int, store: Callable[[BinaryIO], T]) -> T:
        """Hand the whole to `store` and forget it; what fails can be finished again.

        Raises:
            WrongState: another request goes on with this upload.
        """
        with self.lock:
            self._check(writer)
            with self.path.open("rb") as file:
                stored = store(file)
            self.path.unlink()
            return stored

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
        self._names: WeakValueDictionary[str, _Lock] = WeakValueDictionary()

    def begin(self, permit: Permit, now: datetime) -> str:
        """A new session of this upload; its key.

        Raises:
            DiskFull: there is no room for its note.
        """
        key = secrets.token_hex(KEY_BYTES)
        self._sweep(now)
        self.note(key, Begun(permit, now))
        return key

    def note(self, key: str, begun: Begun) -> None:
        """Write down what this session is, whole or not at all."""
        aside = self._folder / f"resumable-{key}.part"
        with _full_disk_said():
            aside.write_bytes(_BEGUN.dump_json(begun))
            aside.replace(self._note(key))

    def begun(self, key: str, now: datetime) -> Begun:
        """What this session may bring.

        Raises:
            NotFound: there is none, or none any more.
        """
        try:
            found = _BEGUN.validate_json(self._note(key).read_bytes())
        except FileNotFoundError as error:
            raise NotFound("There is no such upload. Begin it anew.") from error
        if now >= found.at + KEPT:
            raise NotFound("This upload began too long ago. Begin it anew.")
        return found

    def session(self, key: str) -> Session:
        """The bytes of the session with this key, held or not."""
        with self._lock:
            known = self._open.get(key)
            if known is None:
                known = self._open[key] = Session(self._folder / f"resumable-{key}")
            return known

    @contextmanager
    def once(self, now: datetime) -> Iterator[Session]:
        """A session that one request begins and ends; nothing is held of it afterwards."""
        self._sweep(now)
        session = Session(self._folder / f"resumable-{secrets.token_hex(KEY_BYTES)}")
        try:
            yield session
        finally:
            session.path.unlink(missing_ok=True)

    @contextmanager
    def alone(self, name: str) -> Iterator[None]:
        """One at a time for each object's name: of two uploads of it, one is the second."""
        with self._lock:
            lock = self._names.get(name)
            if lock is None:
                lock = self._names[name] = _Lock()
        with lock.held:
            yield

    def _note(self, key: str) -> Path:
        return self._folder / f"resumable-{key}.json"

    def _sweep(self, now: datetime) -> None:
        """Remove what nobody went on with."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in self._folder.glob("resumable-*"):
            with suppress(FileNotFoundError):  # just finished
                if path.stat().st_mtime < (now - SWEPT).timestamp():
                    path.unlink()


@dataclass(slots=True, weakref_slot=True, eq=False)
class _Lock:
    """A lock that can be forgotten."""

    held: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def _full_disk_said() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise DiskFull from error
        raise
