"""Who serves one HOME: a lock that dies with its process, and a note where it answers."""

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from local.whole_files import write_whole
from shared.errors import AlreadyRunning

LOCK, NOTE = "up.lock", "up.json"
#: Seconds in which a lock held by somebody who only looks (below) is tried again.
PATIENCE_S = 0.5


@dataclass(frozen=True, slots=True)
class Up:
    """What HOME/up.json says of the stack that serves this HOME."""

    pid: int
    url: str  #: of the page; empty for a stack that only one command uses
    broker: str
    functions: str
    service: str
    started_at: str
    version: str
    #: What a command needs in its environment to find the same store; nothing for our own.
    environment: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def claim(home: Path) -> Iterator[None]:
    """Be the only one that serves this HOME, for one `with` block.

    Raises:
        AlreadyRunning: somebody does already; the message says where.
    """
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(home / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _locked(handle):
            raise AlreadyRunning(_where(read_note(home)))
        yield
    finally:
        # The note first: a note under a free lock is stale and says so, but is untidy.
        if _is_ours(home):
            (home / NOTE).unlink(missing_ok=True)
        os.close(handle)


def _locked(handle: int) -> bool:
    until_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > until_s:
                return False
            time.sleep(0.02)


def _where(up: Up | None) -> str:
    if up is None:
        return "Earwitness is just starting or stopping here. Try again in a moment."
    if not up.url:
        return f"`earwitness hear` (process {up.pid}) is at work here. Try again when it is done."
    return f"Earwitness is already running here, at {up.url} (process {up.pid})."


def write_note(home: Path, up: Up) -> None:
    """Say where the stack answers; only under the claim."""
    write_whole(home / NOTE, json.dumps(asdict(up), indent=2).encode() + b"\n")


def read_note(home: Path) -> Up | None:
    try:
        return Up(**json.loads((home / NOTE).read_bytes()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def running(home: Path) -> Up | None:
    """The stack that serves this HOME now, or None; a note left by a dead one does not count."""
    return read_note(home) if is_claimed(home) else None


def is_claimed(home: Path) -> bool:
    try:
        handle = os.open(home / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(handle)


def _is_ours(home: Path) -> bool:
    note = read_note(home)
    return note is not None and note.pid == os.getpid()
