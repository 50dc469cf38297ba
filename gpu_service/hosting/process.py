"""A process of one engine's own: started under the Python its libraries are in, ended with us."""

import json
import signal
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

from gpu_service.engines.registry import EngineSettings
from shared.errors import LibraryMissing

#: Seconds an idle child gets to leave by itself before it is killed.
LEAVE_S = 2.0
#: Run by the child: where our modules are, then its life. Not `-m`: that needs a checkout as the
#: working directory or an installation.
BOOT = (
    "import sys, json; sys.path[:0] = json.loads(sys.argv[1]); "
    "from gpu_service.hosting.child import main; main(int(sys.argv[2]))"
)


class EngineProcess:
    """One child and the pipe to it.

    Started anew, never forked: a fork would copy locks and threads of a running service, and
    CUDA does not survive one. It inherits its end of the pipe and nothing else, so the end of
    this process, however it comes, is the end of the child's pipe, at which it leaves.
    """

    def __init__(self, python: Path, name: str, settings: EngineSettings, cache: Path) -> None:
        """Raises LibraryMissing: this Python cannot be started."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = _started(python, theirs.fileno())
            except OSError as error:
                ours.close()
                raise LibraryMissing(
                    f"The Python for this kind of engine cannot be started ({error.strerror})."
                    " Correct EARWITNESS_MODELS_PYTHON, or run `make env-models`.",
                    kind=settings.kind,
                ) from error
        self.pipe = Connection(ours.detach())
        said = {"name": name, "settings": settings.model_dump(mode="json"), "cache": str(cache)}
        with suppress(OSError):  # dead already: the first exchange sees it and says how
            self.pipe.send_bytes(json.dumps(said).encode())

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """End it at once; a dead one stays dead."""
        self._process.kill()

    def cause(self) -> str:
        """How it ended, for a person; waits a moment, as a closed pipe is seen before the end."""
        try:
            code = self._process.wait(LEAVE_S)
        except subprocess.TimeoutExpired:
            return "it closed its pipe"
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"

    def end(self) -> None:
        """Close the pipe, wait for it to leave, kill it where it does not."""
        self.pipe.close()
        try:
            self._process.wait(LEAVE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _started(python: Path, pipe: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [str(python), "-c", BOOT, json.dumps(module_path(python)), str(pipe)],
        pass_fds=[pipe],
        stdin=subprocess.DEVNULL,
        # What a library prints must not stand in the payload of a command.
        stdout=2,
    )


def module_path(python: Path) -> Sequence[str]:
    """Our `sys.path` for a child: all of it under our own Python, else without its libraries."""
    here = [str(Path(entry).resolve()) for entry in sys.path if Path(entry).exists()]
    if python == Path(sys.executable):
        return here
    standard = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib")}
    foreign = {"site-packages", "dist-packages", "lib-dynload"}
    return [
        entry
        for entry in here
        if not foreign & set(Path(entry).parts) and entry not in standard and Path(entry).is_dir()
    ]
