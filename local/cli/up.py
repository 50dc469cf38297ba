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
from local.bell import Bell
from local.claim import claim, write_note
from local.cli.options import home_option, settings_of
from local.cli.output import say
from local.herald import Herald
from local.stack import PAGE_PORT, Stack
from shared.errors import DiskFull, EarwitnessError, StoreUnavailable
from shared.settings import NEEDED_IN_CLOUD, PREFIX, Backend, Settings, default_home
from shared.wiring import Parts

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
@click.option(
    "--backend",
    type=click.Choice([b.value for b in Backend]),
    envvar="EARWITNESS_BACKEND",
    help="gcp, with --emulators, runs Google's parts.",
)
@click.option("--emulators", is_flag=True, help="Google's emulators, with --backend gcp.")
def up(
    home: Path | None, port: int, inbox: Path | None, backend: str | None, emulators: bool
) -> None:
    """Start everything on this machine, watch the inbox and serve the page, until Ctrl-C."""
    settings = _chosen(home, backend, emulators)
    folder = inbox.resolve() if inbox else inbox_of(settings)
    sys.setswitchinterval(SWITCH_S)
    with claim(settings.home), suppress(KeyboardInterrupt):  # while it was starting
        _serve(settings, port, folder)
    say("Stopped.")


def _chosen(home: Path | None, backend: str | None, emulators: bool) -> Settings:
    on_google = backend == Backend.GCP
    if emulators and not on_google:
        raise click.UsageError("--emulators stands in for Google: say --backend gcp, too.")
    if on_google and not emulators:
        raise click.UsageError(
            "`up` starts nothing in a project of Google's: there, functions, service and gateway"
            " are deployed, and every other command finds them by EARWITNESS_BACKEND=gcp and"
            f" {', '.join(PREFIX + name.upper() for name in NEEDED_IN_CLOUD)}."
            " To run all of it on this machine, add --emulators."
        )
    if not emulators:
        return settings_of(home, backend=backend)
    from local.emulated.project import SETTINGS  # Google's clients weigh half a second

    return settings_of(home, **SETTINGS)


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
    stopped = Bell()
    trouble = _fall_together(stopped)

    def fell(error: BaseException) -> None:
        trouble.append(error)
        stopped.set()

    stack = Stack(settings, say=say, page=port, inbox=inbox, fell=fell)
    try:
        stack.start()
        _when_asked(lambda *_: stopped.set())
        _greet(stack, settings, port, inbox, stopped)
        herald = Herald(stack.news(), stack.parts.recordings, stack.parts.results, say)
        while not stopped.wait(LOOK_EVERY_S):
            herald.look()
        say("Stopping ...")
    except EarwitnessError:
        if not trouble:  # of which this may be what one sees first
            raise
    finally:
        stack.stop()
    if trouble:
        raise trouble[0]


def _greet(stack: Stack, settings: Settings, port: int, inbox: Path, stopped: Bell) -> None:
    note = stack.up(os.getpid())
    write_note(settings.home, note)
    _hear_sample(stack.parts, stopped)
    if stack.ports.gateway != port:
        say(f"Port {port} is taken, so the page is on {stack.ports.gateway}.")
    say(f"The page: {note.url}")
    say(f"The inbox: {inbox}  (drop a recording there; a folder in it is a tenant)")
    say(f"Ctrl-C stops everything; {_afterwards(settings)}")


def _afterwards(settings: Settings) -> str:
    if settings.backend is Backend.GCP:
        return "Google's emulators forget all of it then."
    return "what waits goes on at the next start."


def _hear_sample(opened: Parts, stopped: Bell) -> None:
    """The sample is a greeting: a disk or a store in trouble must not end the start."""
    try:
        if first_run.is_first(opened) and not stopped.is_set():
            first_run.hear_sample(opened, say=say, stopped=stopped)
    except (StoreUnavailable, DiskFull) as error:
        say(f"The sample was left out: {error}")


def _fall_together(stopped: Bell) -> list[BaseException]:
    """End everything when one of our threads dies of what nobody understands: half a stack
    would look alive and lose its way in silence. The list gets the exception."""
    trouble: list[BaseException] = []

    def note(died: threading.ExceptHookArgs) -> None:
        if died.exc_value is not None:
            trouble.append(died.exc_value)
        stopped.set()

    threading.excepthook = note
    return trouble
