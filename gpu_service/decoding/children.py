"""The master's side: the nursery, its children, and which tenant may use which child."""

import json
import mmap
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpu_service.decoding.sandbox import mapped_bytes, resident_bytes
from gpu_service.decoding.trays import BYTES, Emptying, shared_memory
from gpu_service.decoding.wire import (
    MAX_ORDER_BYTES,
    SAMPLE_BYTES,
    Broken,
    patient,
    receive,
    send_order,
)
from shared.errors import DecoderDied, DecoderLimit

#: Seconds between two looks at a child that says nothing.
LOOK_S = 0.25
#: Seconds a child may take to be born and enclosed; measured 5 ms.
BIRTH_PATIENCE_S = 30.0
#: Files one child decodes before it is replaced: bounds what leaks in FFmpeg can add up to.
MAX_FILES = 64
ROOT = Path(__file__).parents[2]
BOOT = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); "
    "from gpu_service.decoding.nursery import main; main(int(sys.argv[2]), sys.argv[3])"
)
WORKER = "gpu_service.decoding.worker:serve"


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one recording may cost its child."""

    cpu_s: float
    per_decoded_s: float  #: CPU seconds more for each second of sound that came out
    memory_bytes: int  #: beyond what the warm process holds
    patience_s: float  #: without a word
    max_seconds: float


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended, and what it had used in its life."""

    signal: int  #: 0 where it left by itself
    cpu_s: float
    peak_bytes: int

    def figures(self) -> dict[str, float | int]:
        return {"cpu_s": round(self.cpu_s, 3), "peak_bytes": self.peak_bytes}


class Nursery:
    """The process children are born from; started once, and again should it ever die."""

    def __init__(self, serve_at: str = WORKER) -> None:
        self._serve_at = serve_at
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._closed = False

    def start(self) -> None:
        with self._lock:
            self._closed = False
            self._start()

    def stop(self) -> None:
        """End the nursery and all its children; none is born until `start`."""
        with self._lock:
            self._closed = True
            self._stop()

    def birth(self) -> "Child":
        """A new child, which may still be enclosing itself."""
        ours, theirs = socket.socketpair()
        fd = shared_memory()
        try:
            memory = mmap.mmap(fd, BYTES, prot=mmap.PROT_READ)
            with theirs:
                pid = self._ask({"do": "fork"}, theirs.fileno(), fd)["pid"]
        finally:
            os.close(fd)
        patient(ours, LOOK_S)
        return Child(self, int(pid), ours, memory)

    def end(self, pid: int) -> Ended:
        """Kill this child of ours and say what it had used; ending twice does nothing."""
        told = self._ask({"do": "end", "pid": pid})
        return Ended(int(told["signal"]), float(told["cpu_s"]), int(told["peak_bytes"]))

    def _ask(self, order: dict[str, object], *fds: int) -> dict[str, Any]:
        """Raises DecoderDied: the nursery had died (the next call finds a new one) or is closed."""
        with self._lock:
            if self._closed:
                raise DecoderDied("The decoder was stopped.")
            self._start()
            assert self._control is not None
            try:
                send_order(self._control, order, *fds)
                told = self._control.recv(MAX_ORDER_BYTES)
            except OSError:
                told = b""
            if not told:
                self._stop()
                raise DecoderDied
            answer: dict[str, Any] = json.loads(told)
            return answer

    def _start(self) -> None:
        if self._process is not None:
            return
        ours, theirs = socket.socketpair()
        path = json.dumps([str(ROOT), *(p for p in sys.path if p)])
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-c", BOOT, path, str(theirs.fileno()), self._serve_at],
                env={k: v for k, v in os.environ.items() if k == "LD_LIBRARY_PATH"},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,  # Ctrl-C is for the master, which then stops us
            )
        self._control = ours

    def _stop(self) -> None:
        if self._process is None or self._control is None:
            return
        self._control.close()
        # It ends when its channel ends; if it hangs, its children still die with it.
        try:
            self._process.wait(BIRTH_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = self._control = None


class Child:
    """One decoder process, the channel to it, and the trays it lays its samples in."""

    def __init__(
        self, nursery: Nursery, pid: int, channel: socket.socket, memory: mmap.mmap
    ) -> None:
        self.pid = pid
        self.files = 0
        self._nursery = nursery
        self._channel, self._memory = channel, memory
        self._trays = Emptying(channel, memory)
        self._ready: bool | None = None
        self._ended: Ended | None = None
        self._cpu_before_s = 0.0
        self._memory_before = 0

    def sandboxed(self) -> bool:
        """Waits until the child has enclosed itself; True where a filter holds it.

        Raises:
            DecoderDied: it died before it was ready.
        """
        if self._ready is None:
            patience = _Patience(BIRTH_PATIENCE_S)
            try:
                self._ready = receive(self._channel, patience.look).get("sandboxed") is True
            except Broken:
                self.end()
                raise DecoderDied("A decoder could not be started.") from None
            self._memory_before = resident_bytes(str(self.pid))
        return self._ready

    def is_idle(self) -> bool:
        """Alive and silent, as a child without a recording must be."""
        watch = select.poll()
        watch.register(self._channel, select.POLLIN)
        return not watch.poll(0)

    def begin(self, fd: int, size: int, separate: bool, allowance: Allowance) -> None:
        """Hand over a recording; what is heard is asked with `hear`."""
        self.files += 1
        self._trays = Emptying(self._channel, self._memory)
        self._cpu_before_s = cpu_s(self.pid)
        self._limit(allowance)
        with suppress(OSError):  # a dead child is noticed by the first `hear`
            send_order(self._channel, {"size": size, "separate": separate}, fd)

    def hear(
        self, allowance: Allowance, decoded_s: float, alive: Callable[[], None]
    ) -> dict[str, Any]:
        """The next thing the child says.

        Raises:
            DecoderDied: it died, stands still, or says what no decoder says.
            DecoderLimit: it used more than it may.
            Whatever `alive` raises; it is called about once a second.
        """
        patience = _Patience(allowance.patience_s)

        def look() -> None:
            patience.look()
            self.check(allowance, decoded_s)
            alive()

        try:
            return receive(self._channel, look)
        except Broken:
            raise self._cause() from None

    def pieces(self, n_bytes: object, n_channels: int) -> Iterator[memoryview]:
        """The samples of the tray it handed over, a second at a time; copy, then check them.

        Raises:
            DecoderDied: it is no tray that a decoder hands over.
        """
        try:
            yield from self._trays.pieces(n_bytes, n_channels * SAMPLE_BYTES)
        except Broken:
            raise DecoderDied("The decoder answered nonsense.") from None

    def check(self, allowance: Allowance, decoded_s: float) -> None:
        """Raises DecoderLimit where the child has used more than it may."""
        used_s = cpu_s(self.pid) - self._cpu_before_s
        if used_s > allowance.cpu_s + allowance.per_decoded_s * decoded_s:
            raise DecoderLimit("", **self.end().figures())
        if resident_bytes(str(self.pid)) > self._memory_before + allowance.memory_bytes:
            raise DecoderLimit("", **self.end().figures())

    @property
    def ended(self) -> bool:
        return self._ended is not None

    def end(self) -> Ended:
        """Kill it. Ending twice is ending once."""
        if self._ended is None:
            self._channel.close()
            try:
                self._ended = self._nursery.end(self.pid)
            except DecoderDied:  # the nursery went first and took it along
                self._ended = Ended(signal.SIGKILL, 0.0, 0)
        return self._ended

    def _limit(self, allowance: Allowance) -> None:
        """The kernel holds the same limits should we not look: memory now, CPU in whole seconds."""
        if not hasattr(resource, "prlimit"):
            return
        longest = allowance.cpu_s + allowance.per_decoded_s * allowance.max_seconds
        cpu = int(self._cpu_before_s + longest) + 2
        _, data = mapped_bytes(str(self.pid))
        with suppress(OSError):  # dead already
            for what, soft in (
                (resource.RLIMIT_CPU, cpu),
                (resource.RLIMIT_DATA, data + allowance.memory_bytes),
            ):
                _, hard = resource.prlimit(self.pid, what)
                # A tier of more than 60 hours would ask for more than any child may have.
                most = soft if hard == resource.RLIM_INFINITY else min(soft, hard)
                resource.prlimit(self.pid, what, (most, hard))

    def _cause(self) -> DecoderDied | DecoderLimit:
        ended = self.end()
        if ended.signal == signal.SIGXCPU:
            return DecoderLimit("", **ended.figures())
        return DecoderDied("", signal=ended.signal, **ended.figures())


class _Patience:
    """Raises DecoderDied once nothing was said for too long."""

    def __init__(self, patience_s: float) -> None:
        self._until = time.monotonic() + patience_s

    def look(self) -> None:
        if time.monotonic() > self._until:
            raise DecoderDied("The decoder stood still and was stopped.")


#: Clock ticks a second, the unit of /proc/PID/stat.
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """CPU seconds a process has used; 0 where the system does not say.

    Source: proc_pid_stat(5): fields 14 and 15; the name in field 2 may hold anything but ")".
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return 0.0
    fields = stat.rpartition(b")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


class Pool:
    """At most `processes` children at once; each belongs to the first tenant that used it.

    A child that meets a hostile file could remember, or be conquered; it never meets the sound
    of another tenant, and after any error not even the next of the same one.
    """

    def __init__(self, nursery: Nursery, processes: int) -> None:
        self._nursery = nursery
        self._processes = processes
        self._changed = threading.Condition()
        self._busy = 0
        self._virgins: list[Child] = []
        self._settled: list[tuple[str, Child]] = []  # the longest idle first

    def fill(self) -> None:
        """Have a warm child ready for every place.

        Raises:
            DecoderDied: children cannot be started.
        """
        with self._changed:
            while len(self._virgins) + len(self._settled) + self._busy < self._processes:
                self._virgins.append(self._nursery.birth())

    def sandboxed(self) -> bool:
        """Whether a filter could be installed in a child born now."""
        return self._virgins[0].sandboxed()

    def take(self, tenant: str, alive: Callable[[], None]) -> Child:
        """A child for this tenant; waits until a place is free and calls `alive` meanwhile."""
        with self._changed:
            while self._busy >= self._processes:
                self._changed.wait(1.0)
                alive()
            child = self._of(tenant)
            self._busy += 1
            return child

    def give(self, tenant: str, child: Child, *, clean: bool) -> None:
        """Back from work; a child that is not `clean`, or old, is thrown away."""
        keep = clean and not child.ended and child.files < MAX_FILES
        if not keep:
            child.end()
        with self._changed:
            self._busy -= 1
            if keep:
                self._settled.append((tenant, child))
            self._changed.notify()
        if not keep:
            with suppress(DecoderDied):  # the next `take` tries again and says so
                self.fill()

    def empty(self) -> None:
        """End every idle child."""
        with self._changed:
            for child in [*self._virgins, *(child for _, child in self._settled)]:
                child.end()
            self._virgins, self._settled = [], []

    def _of(self, tenant: str) -> Child:
        for place in [p for p in self._settled if p[0] == tenant]:
            self._settled.remove(place)
            if place[1].is_idle():
                return place[1]
            place[1].end()
        while self._virgins:
            child = self._virgins.pop()
            with suppress(DecoderDied):
                child.sandboxed()
                return child
        # Somebody else's child makes room; it is never reused across tenants.
        if len(self._settled) + self._busy >= self._processes:
            self._settled.pop(0)[1].end()
        child = self._nursery.birth()
        child.sandboxed()
        return child
