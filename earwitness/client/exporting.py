"""ask -> plan until it is ready -> the archive -> (where it broke off: the rest)* -> one file."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, TypeAlias
from urllib.parse import quote

import httpx

from earwitness.client.calls import Door, understood
from earwitness.client.errors import CircuitOpen, ConnectionLost, NotUnderstood, failure
from earwitness.client.patience import Tries
from earwitness.client.sources import Progress
from earwitness.client.steps import Flow, Send
from shared.domain.api import Export, WantedExport
from shared.errors import EarwitnessError, InvalidRequest

#: A path, or a file opened for writing bytes.
Writable: TypeAlias = str | os.PathLike[str] | BinaryIO
#: Bytes that are handed on at a time.
BLOCK = 1 << 20


def make(door: Door, wanted: WantedExport) -> Flow[Export]:
    """An export whose plan is finished. A lost answer leaves one behind that ends by itself."""
    export = understood(Export, (yield from door.ask("POST", "/v1/exports", told=wanted)))
    while not export.ready:
        answer = yield from door.ask("POST", f"{_path(export.id)}/plan")
        export = understood(Export, answer)
    return export


def known(door: Door, export_id: str) -> Flow[Export]:
    return understood(Export, (yield from door.ask("GET", _path(export_id))))


def end(door: Door, export_id: str) -> Flow[None]:
    yield from door.ask("DELETE", _path(export_id))


def fetch(door: Door, export: Export, target: "Target", progress: Progress) -> Flow[None]:
    """Write what is missing of the archive, until nothing is.

    Raises:
        ExportOver: something in it was erased, or its day has passed.
    """
    size = size_of(export)

    def write(block: bytes) -> None:
        # Progress is worth all patience anew: hours of fetching outlast a bad line.
        target.write(block)
        tries.refresh()
        progress(target.size_bytes, size)

    def take(answer: httpx.Response) -> Callable[[bytes], None]:
        expected = f"bytes {target.size_bytes}-{size - 1}/{size}"
        if answer.headers.get("content-range") != expected:
            raise NotUnderstood(status=answer.status_code)
        return write

    def attempt() -> Flow[None]:
        if target.size_bytes < size:
            headers = door.headers() | _rest(export, target.size_bytes)
            address = f"{door.url}{_path(export.id)}/archive"
            answer = yield from door.send(Send("GET", address, headers=headers, take=take))
            if not answer.is_success:
                raise failure(answer)
        if target.size_bytes < size:
            raise ConnectionLost("The archive came in part.")

    tries = Tries(door.patience, door.clock, _helps)
    yield from tries.run(attempt)


def _rest(export: Export, start: int) -> dict[str, str]:
    """What asks for the archive from there on, as it is, and for no other archive."""
    return {
        "Range": f"bytes={start}-",
        "If-Range": f'"{export.manifest_sha256}"',
        "Accept": "*/*",
        "Accept-Encoding": "identity",
    }


def size_of(export: Export) -> int:
    """Raises InvalidRequest: its plan is not finished."""
    if export.size_bytes is None:
        raise InvalidRequest("The export is not ready. Take one that `make_export` returned.")
    return export.size_bytes


def _helps(error: BaseException) -> bool:
    # A fetch waits until the breaker lets it go on, as an upload does.
    return isinstance(error, EarwitnessError) and (
        error.retryable or isinstance(error, CircuitOpen)
    )


def _path(export_id: str) -> str:
    return f"/v1/exports/{quote(export_id, safe='')}"


class Target:
    """A file that grows."""

    def __init__(self, file: IO[bytes], size_bytes: int) -> None:
        self._file, self.size_bytes = file, size_bytes

    def write(self, block: bytes) -> None:
        self._file.write(block)
        self.size_bytes += len(block)


@contextmanager
def opened(to: Writable) -> Iterator[Target]:
    """What a path names already is gone on with: the beginning of the same export."""
    if isinstance(to, str | os.PathLike):
        with Path(to).open("ab") as file:
            yield Target(file, file.tell())
    else:
        yield Target(to, 0)
