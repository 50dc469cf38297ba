"""Bars on a terminal: each file, and all of them, in seconds of sound."""

from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from local.telling import clock_time
from shared.domain.names import display
from shared.domain.recording import Recording
from shared.domain.states import TERMINAL, State

#: Files shown at once; the line for all counts the others.
MOST_LINES = 8
SETTLED = TERMINAL | {State.DEFERRED}


def heard_s(recording: Recording) -> float:
    """Seconds of this recording that need no more work."""
    seconds = recording.seconds or 0.0
    return seconds if recording.state in SETTLED else seconds * recording.progress


class Bars:
    """Shows nothing unless stderr is a terminal."""

    def __init__(self, console: Console | None = None) -> None:
        console = console or Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[heard]}", markup=False),
            TimeRemainingColumn(compact=True),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._all = self._progress.add_task("all", total=None, heard="")
        self._lines: dict[str, TaskID] = {}

    def __enter__(self) -> "Bars":
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def update(self, recordings: Sequence[Recording | None]) -> None:
        if self._progress.disable:
            return
        known = [r for r in recordings if r is not None]
        self._update_all(known, len(recordings))
        busy = [r for r in known if r.state is State.PROCESSING][:MOST_LINES]
        for gone in set(self._lines) - {r.id for r in busy}:
            self._progress.remove_task(self._lines.pop(gone))
        for recording in busy:
            self._update_line(recording)

    def _update_all(self, known: Sequence[Recording], count: int) -> None:
        total, heard = sum(r.seconds or 0.0 for r in known), sum(map(heard_s, known))
        done = sum(r.state in SETTLED for r in known)
        self._progress.update(
            self._all,
            description=f"{done} of {count} files",
            total=total or None,
            completed=heard,
            heard=f"{clock_time(heard)} of {clock_time(total)} heard" if total else "waiting",
        )

    def _update_line(self, r: Recording) -> None:
        if r.id not in self._lines:
            self._lines[r.id] = self._progress.add_task(display(r.path), total=None, heard="")
        self._progress.update(
            self._lines[r.id],
            total=r.seconds or None,
            completed=heard_s(r),
            heard=f"{clock_time(heard_s(r))} of {clock_time(r.seconds or 0.0)}",
        )
