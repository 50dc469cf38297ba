"""up: everything on this machine, until Ctrl-C."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType

import click

from local import first_run
from local.claim import claim, write_note
from local.cli.options import home_option, settings_of
from local.cli.output import say
from local.herald import Herald
from local.stack import PAGE_PORT, Stack
from shared.adapters.embedded.sqlite_announcements import SqliteAnnouncements
from shared.adapters.embedded.sqlite_database import Database
from shared.errors import DiskFull, StoreUnavailable
from shared.settings import Backend, Settings, default_home
from shared.wiring import STORE, Parts, parts

#: Seconds. The broker's threads answer within a millisecond of being woken, also while the
#: inbox digests a large file; Python's default of 5 ms would be felt on every ticket.
SWITCH_S = 0.001

#: Seconds between two looks at what was heard.
LOOK_EVERY_S = 0.5


@click.command()
@home_option
@click.option(
    "--port",
    type=click.IntRange(1, 65_535),
    default=PAGE_PORT,
    show_default=True,
    help="Of the page; taken means the next free one.",
)
@click.option(
    "--inbox",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="EARWITNESS_INBOX",
    help="Watched folder; ./inbox in a checkout, else HOME/inbox.",
)
@click.option("--backend", type=click.Choice([b.value for b in Backend]))
def up(home: Path | None, port: int, inbox: Path | None, backend: str | None) -> None:
    """Start everything on this machine, watch the inbox and serve the page, until Ctrl-C."""
    settings = settings_of(home, backend=backend)
    folder = inbox.resolve() if inbox else inbox_of(settings)
    sys.setswitchinterval(SWITCH_S)
    with claim(settings.home), suppress(KeyboardInterrupt):  # while it was starting
        _serve(settings, port, folder)
    say("Stopped.")


def _when_asked(then: Callable[[int, FrameType | None], object]) -> None:
    """What Ctrl-C and SIGTERM do from now on."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, then)


def inbox_of(settings: Settings) -> Path:
    """`./inbox` beside a checkout's own HOME; any other HOME has its inbox inside."""
    checkout = Path("pyproject.toml").exists() and settings.home == default_home()
    return Path("inbox").resolve() if checkout else settings.home / "inbox"


def _serve(settings: Settings, port: int, inbox: Path) -> None:
    say("Earwitness is starting ...")
    _when_asked(signal.default_int_handler)  # breaks off a start, however long it takes
    stack = Stack(settings, say=say, page=port, inbox=inbox)
    stopped = threading.Event()
    trouble = _fall_together(stopped)
    try:
        stack.start()
        _when_asked(lambda *_: stopped.set())
        note = stack.up(os.getpid())
        write_note(settings.home, note)
        opened = parts(settings)
        if first_run.is_first(opened) and not stopped.is_set():
            _hear_sample(opened, stopped)
        if stack.ports.gateway != port:
            say(f"Port {port} is taken, so the page is on {stack.ports.gateway}.")
        say(f"The page: {note.url}")
        say(f"The inbox: {inbox}  (drop a recording there; a folder in it is a tenant)")
        say("Ctrl-C stops everything; what waits goes on at the next start.")
        herald = _herald(settings, opened)
        while not stopped.wait(LOOK_EVERY_S):
            herald.look()
        say("Stopping ...")
    finally:
        stack.stop()
    if trouble:
        raise trouble[0]


def _hear_sample(opened: Parts, stopped: threading.Event) -> None:
    """The sample is a greeting: a disk or a store in trouble must not end the start."""
    try:
        first_run.hear_sample(opened, say=say, stopped=stopped)
    except (StoreUnavailable, DiskFull) as error:
        say(f"The sample was left out: {error}")


def _herald(settings: Settings, opened: Parts) -> Herald:
    announcements = SqliteAnnouncements(Database(settings.home / STORE))
    return Herald(announcements, opened.recordings, opened.results, say)


def _fall_together(stopped: threading.Event) -> list[BaseException]:
    """End everything when one of our threads dies of what nobody understands: half a stack
    would look alive and lose its way in silence. The list gets the exception."""
    trouble: list[BaseException] = []

    def note(died: threading.ExceptHookArgs) -> None:
        if died.exc_value is not None:
            trouble.append(died.exc_value)
        stopped.set()

    threading.excepthook = note
    return trouble
