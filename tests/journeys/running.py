"""A real `earwitness up` in a temporary HOME, with everything a journey asks of it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from shared import wiring
from shared.domain.states import TERMINAL
from shared.settings import load

EARWITNESS = Path(sys.executable).parent / "earwitness"
ECHO = {
    "EARWITNESS_CASCADE__TRANSCRIBE": '["echo"]',
    "EARWITNESS_CASCADE__CLASSIFY": "[]",
    "EARWITNESS_RETRY_BASE_S": "0.2",
}
#: Seconds. Nothing is asserted on time; past this a journey is lost.
PATIENCE_S = 180


def until(what: Callable[[], Any], patience_s: float = PATIENCE_S, pause_s: float = 0.05) -> Any:
    """Look until it is true; events of other processes have no other sign."""
    give_up = time.monotonic() + patience_s
    while not (found := what()):
        if time.monotonic() > give_up:
            raise TimeoutError(f"it never came true: {what}")
        time.sleep(pause_s)
    return found


class Up:
    """`earwitness up` on `home`, with its inbox in HOME/inbox."""

    #: Further words of the command.
    words: tuple[str, ...] = ()

    def __init__(self, home: Path, **environment: str) -> None:
        self.home, self.inbox = home, home / "inbox"
        self.environment = os.environ | {"EARWITNESS_HOME": str(home)} | environment
        self.process: subprocess.Popen[str] | None = None
        self.said = home.parent / f"{home.name}.said"
        self.parts = wiring.parts(load(home=home))

    def start(self) -> "Up":
        self.inbox.mkdir(exist_ok=True)
        with self.said.open("a") as said:
            self.process = subprocess.Popen(
                [EARWITNESS, "up", "--port", "18080", *self.words],
                cwd=self.home,
                env=self.environment,
                stdout=said,
                stderr=said,
                text=True,
            )
        until(lambda: self._alive() and self.note())
        return self

    def _alive(self) -> bool:
        assert self.process
        if self.process.poll() is not None:
            raise RuntimeError(f"up ended: {self.said.read_text()}")
        return True

    def note(self) -> dict[str, Any] | None:
        """HOME/up.json of this very process."""
        try:
            note = json.loads((self.home / "up.json").read_text())
        except (FileNotFoundError, ValueError):
            return None
        return note if self.process and note["pid"] == self.process.pid else None

    def stop(self, how: signal.Signals = signal.SIGINT) -> int:
        assert self.process
        self.process.send_signal(how)
        self.process.wait(timeout=60)
        return self.process.returncode

    def end(self) -> None:
        """Whatever still runs is killed; nobody writes into HOME any more when this returns."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        until(self._all_gone)

    def _all_gone(self) -> bool:
        left = self.family()
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not left

    def child(self, name: str) -> int | None:
        """The pid of functions, service or gateway, if it runs now."""
        for pid in self._children():
            words = _command(pid)
            if "local.child" in words and name in words:
                return pid
        return None

    def family(self) -> list[int]:
        """Every process whose environment names this HOME."""
        wanted = f"EARWITNESS_HOME={self.home}".encode()
        return [pid for pid in _pids() if wanted in _environment(pid).split(b"\0")]

    def _children(self) -> list[int]:
        assert self.process
        return [pid for pid in _pids() if _parent(pid) == self.process.pid]

    def drop(self, name: str, content: bytes) -> None:
        """Put a file into the inbox as a copy tool does: written, then renamed."""
        target = self.inbox / name
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(target.name + ".part")
        part.write_bytes(content)
        part.rename(target)

    def recordings(self) -> dict[str, Any]:
        return {r.path: r for r in self.parts.recordings.page(limit=10_000)}

    def until_terminal(self, n: int, patience_s: float = PATIENCE_S) -> None:
        counts = self.parts.recordings.counts
        until(lambda: sum(counts()[s] for s in TERMINAL) >= n, patience_s)


def _pids() -> list[int]:
    return [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit()]


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def _command(pid: int) -> list[str]:
    return _read(pid, "cmdline").decode(errors="replace").split("\0")


def _environment(pid: int) -> bytes:
    return _read(pid, "environ")


def _parent(pid: int) -> int:
    stat = _read(pid, "stat").decode(errors="replace")
    return int(stat.rpartition(")")[2].split()[1]) if stat else 0
