"""What is uploaded: a file that can be read again from any place; never held in memory."""

import io
import mimetypes
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, BinaryIO, TypeAlias

from anyio import to_thread

from earwitness.client.errors import SourceChanged
from shared.errors import InvalidRequest

#: A path, or a file opened for reading bytes.
Uploadable: TypeAlias = str | os.PathLike[str] | BinaryIO
#: Called with (bytes sent, bytes in all). After a break it begins again where the gateway stands.
Progress: TypeAlias = Callable[[int, int], object]

#: Bytes handed on at a time. Source: Cloud Storage, "Resumable uploads": a multiple of 256 KiB.
BLOCK = 256 << 10
UNKNOWN = "application/octet-stream"


class Source:
    """An open file, from where it stood to its end. A context manager: closes what it opened."""

    def __init__(self, what: Uploadable, name: str | None, content_type: str | None) -> None:
        """Raises OSError, and InvalidRequest where a name is missing."""
        self._opened = ExitStack()
        self._file = self._open(what)
        self._start = self._file.tell()
        self.size_bytes = self._file.seek(0, io.SEEK_END) - self._start
        self._stamp = _stamp(self._file)
        self.name = name or _name(what)
        self.content_type = content_type or mimetypes.guess_type(self.name)[0] or UNKNOWN

    def __enter__(self) -> "Source":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._opened.close()

    def read(self, start: int) -> bytes:
        """A block from `start`; nothing at the end.

        Raises:
            SourceChanged: the file is not the one it was.
        """
        if _stamp(self._file) != self._stamp:
            raise SourceChanged
        self._file.seek(self._start + start)
        return self._file.read(min(BLOCK, self.size_bytes - start))

    def _open(self, what: Uploadable) -> IO[bytes]:
        if isinstance(what, str | os.PathLike):
            return self._opened.enter_context(Path(what).open("rb"))
        if what.seekable():
            return what
        # What comes through a pipe can be sent again only from a copy.
        with ExitStack() as opened:
            copy = opened.enter_context(TemporaryFile())
            shutil.copyfileobj(what, copy)
            copy.seek(0)
            self._opened = opened.pop_all()
        return copy


@dataclass(frozen=True, slots=True)
class Body:
    """The source from `start` to its end, as the body of a request."""

    source: Source
    start: int
    progress: Progress

    @property
    def length(self) -> int:
        return self.source.size_bytes - self.start

    def __iter__(self) -> Iterator[bytes]:
        at = self.start
        while block := self.source.read(at):
            yield block
            at += len(block)
            self.progress(at, self.source.size_bytes)

    async def in_thread(self) -> AsyncIterator[bytes]:
        """The same, for an event loop that must not wait for a disk."""
        at = self.start
        while block := await to_thread.run_sync(self.source.read, at):
            yield block
            at += len(block)
            self.progress(at, self.source.size_bytes)


def _name(what: Any) -> str:
    given = what if isinstance(what, str | os.PathLike) else getattr(what, "name", None)
    if not isinstance(given, str | os.PathLike):
        raise InvalidRequest("The upload has no name. Give one as `name`.")
    return Path(given).name


def _stamp(file: IO[bytes]) -> tuple[int, int] | None:
    """What changes when somebody writes into the file; None for what is no file of a disk."""
    try:
        known = os.fstat(file.fileno())
    except (OSError, AttributeError):
        return None
    return known.st_size, known.st_mtime_ns
