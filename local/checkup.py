"""What `earwitness doctor` looks at. Each check is one line: fine, or what to do."""

import os
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass

from gpu_service.decoding.sandbox import seccomp_filter
from gpu_service.weights import pinned
from local.claim import NOTE, is_claimed, read_note
from local.ports import is_free
from local.stack import PAGE_PORT
from shared.adapters.embedded.schema import MIGRATIONS
from shared.adapters.embedded.sqlite_database import schema_version
from shared.errors import EarwitnessError, WeightsRefused
from shared.settings import Settings
from shared.wiring import STORE

MIN_PYTHON = (3, 11)
#: STRICT tables came with 3.37.0, RETURNING with 3.35.0. Source: SQLite's release history.
MIN_SQLITE = (3, 37, 0)
#: Bytes. Weights take 146 MB; the rest is room for a day of recordings.
MIN_FREE_BYTES = 2 << 30


@dataclass(frozen=True, slots=True)
class Finding:
    what: str
    ok: bool
    said: str  #: what was found; for a problem, what to do about it


Check = Callable[[Settings], Finding]


def python_version(_: Settings) -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    ok = sys.version_info >= MIN_PYTHON
    return Finding("python", ok, found if ok else f"{found}; install Python 3.11 or newer")


def sqlite(_: Settings) -> Finding:
    found = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info < MIN_SQLITE:
        return Finding("sqlite", False, f"{found}; use a Python built with SQLite 3.37 or newer")
    with closing(sqlite3.connect(":memory:")) as db:
        try:
            db.execute("CREATE VIRTUAL TABLE t USING fts5 (text)")
        except sqlite3.OperationalError:
            return Finding("sqlite", False, f"{found} without FTS5; use a Python built with it")
    return Finding("sqlite", True, f"{found} with FTS5")


def sandbox(settings: Settings) -> Finding:
    if seccomp_filter() is not None:
        return Finding("sandbox", True, "seccomp")
    if settings.allow_unsandboxed:
        return Finding("sandbox", True, "none, as EARWITNESS_ALLOW_UNSANDBOXED says")
    return Finding(
        "sandbox",
        False,
        "none can be had; install libseccomp, or set EARWITNESS_ALLOW_UNSANDBOXED=1 for files"
        " you trust",
    )


def model_weights(settings: Settings) -> Finding:
    """Looks, and assembles nothing."""
    folder = pinned.folder(settings) / f"whisper-base-{pinned.BASE_REVISION[:8]}"
    if "whisper" not in settings.cascade.transcribe:
        return Finding("weights", True, "the cascade names no whisper")
    if not folder.is_dir():
        if pinned.packaged() is not None:
            return Finding("weights", True, "packaged; assembled at the first start")
        return Finding("weights", False, "missing; run `make env`, or connect to the network once")
    try:
        pinned.verify(folder, pinned.BASE_DIGESTS)
    except WeightsRefused as error:
        return Finding("weights", False, f"{error} Remove {folder} to have it made anew.")
    return Finding("weights", True, f"{folder.name}, digests as pinned")


def engines(settings: Settings) -> Finding:
    """Whether every engine could be built, and has a Python that its libraries are in."""
    # numpy comes along; the other checks must not wait for it.
    from gpu_service.engines.registry import parse
    from gpu_service.hosting.interpreters import python_of

    configured = parse(settings.engines)
    for engine in configured.values():
        python_of(engine, settings.models_python)
    return Finding("engines", True, ", ".join(configured))


def disk(settings: Settings) -> Finding:
    there = next(p for p in (settings.home, *settings.home.parents) if p.exists())
    free = shutil.disk_usage(there).free
    ok = free >= MIN_FREE_BYTES
    said = f"{free / 1e9:.1f} GB free"
    return Finding("disk", ok, said if ok else f"{said}; free some space")


def home(settings: Settings) -> Finding:
    there = next(p for p in (settings.home, *settings.home.parents) if p.exists())
    ok = os.access(there, os.W_OK | os.X_OK)
    said = f"{settings.home}"
    return Finding("home", ok, said if ok else f"{said} cannot be written; set EARWITNESS_HOME")


def store(settings: Settings) -> Finding:
    path = settings.home / STORE
    if not path.exists():
        return Finding("store", True, "none yet; made at the first start")
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as db:
            version = schema_version(db)
            sound = db.execute("PRAGMA quick_check").fetchone()[0]
    except sqlite3.Error as error:
        return Finding("store", False, f"cannot be read ({error}); restore a backup")
    if version > len(MIGRATIONS):
        return Finding("store", False, "is a newer Earwitness's; start that version again")
    if sound != "ok":
        return Finding("store", False, "is damaged; restore a backup")
    return Finding("store", True, f"schema {version}, sound")


def page_port(settings: Settings) -> Finding:
    if is_free(PAGE_PORT) or is_claimed(settings.home):
        return Finding("port", True, f"{PAGE_PORT}")
    return Finding("port", True, f"{PAGE_PORT} is taken; the page takes the next free one")


def lock(settings: Settings) -> Finding:
    if is_claimed(settings.home):
        note = read_note(settings.home)
        where = f"{note.url or 'without a page'} (process {note.pid})" if note else "starting"
        return Finding("running", True, where)
    if (settings.home / NOTE).exists():
        return Finding("running", True, "no; the last one was killed, the next start tidies up")
    return Finding("running", True, "no")


CHECKS: tuple[Check, ...] = (
    python_version,
    sqlite,
    sandbox,
    model_weights,
    engines,
    disk,
    home,
    store,
    page_port,
    lock,
)


def findings(settings: Settings) -> Iterator[Finding]:
    """Every check's finding, in order; a check that fails for a known reason is a problem."""
    for check in CHECKS:
        try:
            yield check(settings)
        except EarwitnessError as error:
            yield Finding(check.__name__, False, str(error))
