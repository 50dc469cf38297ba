"""Keeps processes running: starts them, restarts them, and leaves none behind."""

import contextlib
import os
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from local import ports
from local.child_log import ChildLog
from local.lifeline import GRACE_S, Lifeline
from shared.errors import PartNotStarted

#: Seconds before the first restart and at most; doubles with every death in a row.
FIRST_WAIT_S, LONGEST_WAIT_S = 0.2, 30.0
#: Seconds alive after which a death is the first in a row again.
HEALTHY_S = 10.0
#: Seconds a part may take until it answers: a first start assembles 145 MB of weights.
READY_S = 180.0
#: Deaths before its first answer after which a part is given up at the start.
FIRST_TRIES = 3
#: Seconds between two looks at a part that does not answer yet.
LOOK_EVERY_S = 0.05
#: Seconds a part may take to say how it is; a part that is busy is asked again.
LOOK_TIMEOUT_S = 1.0
#: Seconds to wait for the last lines of a process that has ended.
LAST_WORDS_S = 1.0
#: sysexits.h EX_CONFIG: the part itself knows that starting again will not help.
SETTLED = 78


@dataclass(frozen=True, slots=True)
class Part:
    """One process to keep running."""

    name: str
    command: Sequence[str]
    port: int
    health: str  #: path that answers once the part is ready
    environment: Mapping[str, str] = field(default_factory=dict)
    any_answer: bool = False  #: whether any status means ready, or only 200
    replaceable: bool = True  #: whether another one can go on where it ended

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def wait_s(deaths_in_a_row: int) -> float:
    """Seconds before a part is started again."""
    return min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(deaths_in_a_row - 1, 30))


class Kept:
    """One part, and the thread that keeps it running."""

    def __init__(
        self,
        part: Part,
        logs: Path,
        lifeline: Lifeline,
        *,
        say: Callable[[str], None],
        died: Callable[[str], None],
        back: Callable[[str], None],
    ) -> None:
        self.part, self._lifeline = part, lifeline
        self._say, self._died, self._back = say, died, back
        self.log = ChildLog(logs / f"{part.name}.log", lambda line: say(f"{part.name}: {line}"))
        self.ready = threading.Event()
        self.failed = threading.Event()
        self.stopping = threading.Event()
        self._deaths = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._keep, name=f"keep-{part.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def ask_to_stop(self) -> None:
        with self._lock:
            self.stopping.set()
            if self._process is not None:
                self._signal(signal.SIGTERM)

    def join(self, until_s: float) -> None:
        """Wait for the end; kill the whole group of whoever is late."""
        if self._thread.ident is None:  # never started
            return
        self._thread.join(max(0.0, until_s - time.monotonic()))
        if self._thread.is_alive() and self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._thread.join()
        self.log.close()

    def _keep(self) -> None:
        while not self.stopping.is_set():
            began_s = time.monotonic()
            process = self._spawn()
            if process is None:
                return
            self._await_ready(process)
            status = _ended(process)
            assert self._reader is not None
            self._reader.join(LAST_WORDS_S)
            if self.stopping.is_set() or not self._again(status, time.monotonic() - began_s):
                return

    def _spawn(self) -> subprocess.Popen[bytes] | None:
        with self._lock:
            if self.stopping.is_set():
                return None
            self._process = process = subprocess.Popen(
                self.part.command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=[self._lifeline.reader],
                env={**os.environ, **self.part.environment, **self._lifeline.environment()},
            )
        self._reader = threading.Thread(target=self.log.read, args=(process.stdout,), daemon=True)
        self._reader.start()
        return process

    def _await_ready(self, process: subprocess.Popen[bytes]) -> None:
        url = self.part.url + self.part.health
        while not _has_ended(process) and not self.stopping.is_set():
            if _answers(url, self.part.any_answer):
                first = not self.ready.is_set()
                self.ready.set()
                if not first:
                    self._say(f"{self.part.name} is back.")
                self._back(self.part.name)
                return
            self.stopping.wait(LOOK_EVERY_S)

    def _again(self, status: int, lived_s: float) -> bool:
        """Whether to start the part again; waits as long as is due."""
        self._died(self.part.name)
        if self.ready.is_set() and not self.part.replaceable:
            return False
        self._deaths = 1 if lived_s >= HEALTHY_S else self._deaths + 1
        if not self.ready.is_set() and self._is_hopeless(status):
            self.failed.set()
            return False
        pause_s = wait_s(self._deaths)
        self._say(
            f"{self.part.name} stopped ({_cause(status)}); starting it again in {pause_s:.1f} s."
        )
        self.stopping.wait(pause_s)
        return True

    def _is_hopeless(self, status: int) -> bool:
        """Whether a part that has never answered is not worth another try."""
        taken = not ports.is_free(self.part.port)
        return status == SETTLED or self._deaths >= FIRST_TRIES or taken

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            assert self._process is not None
            self._process.send_signal(number)


class Supervisor:
    """Starts parts together and ends them together.

    Each part leads its own process group, so that Ctrl-C reaches only the supervisor and
    that nothing a part has started outlives it.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        logs: Path,
        *,
        say: Callable[[str], None],
        died: Callable[[str], None] = lambda _: None,
        back: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`died` is called at once when a part has ended, `back` when it answers (again)."""
        self._lifeline = Lifeline()
        self.kept = [Kept(p, logs, self._lifeline, say=say, died=died, back=back) for p in parts]

    def start(self, patience_s: float = READY_S) -> None:
        """Start all parts; returns when every one of them answers.

        Raises:
            PartNotStarted: one does not; all are stopped. `port_taken` in its context tells
                that another program took the part's port first: choose other ports.
        """
        for kept in self.kept:
            kept.start()
        until_s = time.monotonic() + patience_s
        for kept in self.kept:
            while not kept.ready.wait(LOOK_EVERY_S):
                if kept.failed.is_set() or time.monotonic() > until_s:
                    raise self._not_started(kept)

    def stop(self, grace_s: float = GRACE_S) -> None:
        """SIGTERM to all at once; whoever is not gone after `grace_s` is killed.

        Stopping twice is once.
        """
        for kept in self.kept:
            kept.ask_to_stop()
        until_s = time.monotonic() + grace_s
        for kept in self.kept:
            kept.join(until_s)
        self._lifeline.cut()

    def pids(self) -> dict[str, int | None]:
        return {kept.part.name: kept.pid() for kept in self.kept}

    def _not_started(self, kept: Kept) -> PartNotStarted:
        self.stop()
        why = kept.log.last_important.rstrip(".") or "it gave no reason"
        return PartNotStarted(
            f"The {kept.part.name} process did not start: {why}. Its log is {kept.log.path}",
            part=kept.part.name,
            port_taken=not ports.is_free(kept.part.port),
        )


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Without reaping it: while a zombie holds the id, its group cannot become another's."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None


def _ended(process: subprocess.Popen[bytes]) -> int:
    """Wait for the end, end what the process has left behind, and return its status."""
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


def _answers(url: str, any_answer: bool) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=LOOK_TIMEOUT_S) as answer:  # noqa: S310  # http, ours
            return any_answer or answer.status == 200
    except urllib.error.HTTPError:
        return any_answer
    except OSError:
        return False


def _cause(status: int) -> str:
    if status < 0:
        return signal.Signals(-status).name
    return f"exit status {status}"
