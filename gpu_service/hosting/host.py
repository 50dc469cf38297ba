"""An engine in a process of its own, so that its death costs one call and nothing else."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Protocol

from gpu_service.engines.engine import Capabilities, Clip, check
from gpu_service.engines.registry import EngineSettings, build
from gpu_service.hosting import frames
from gpu_service.hosting.child import LOAD
from gpu_service.hosting.interpreters import python_of
from gpu_service.hosting.process import EngineProcess
from gpu_service.hosting.warming import Footprint, Loaded, resident_mb
from shared.domain.answers import Answer, Task
from shared.errors import (
    DeviceUnavailable,
    EarwitnessError,
    EngineDied,
    EngineUnavailable,
    OutOfMemory,
)
from shared.logs import say

log = logging.getLogger("earwitness.engines")

#: Seconds a call may take. Four windows of 28 s need about 10 s on two busy cores; thirty times
#: that means it hangs.
LIMIT_S = 300.0
#: Seconds loading may take: 16.8 GB of Qwen2-Audio from a bucket at 50 MB/s take 340.
LOAD_LIMIT_S = 900.0
#: On every answer of an engine that was set to a GPU and runs on the CPU.
CPU_FALLBACK = "cpu_fallback"
CPU = "cpu"
#: What a CPU computes in where the GPU's type is none of its own; others stay.
#: Source: CTranslate2, "Quantization", table of supported types.
CPU_DTYPES = {"float16": "float32", "int8_float16": "int8", "int8_bfloat16": "int8"}
#: Failures to load on a GPU after which the CPU is tried: it is absent, full, or killed us.
_OF_THE_DEVICE = (DeviceUnavailable, OutOfMemory, EngineDied)


class State(StrEnum):
    ABSENT = "absent"  #: no model in memory; the next call loads it
    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"  #: the last load failed; the next call tries again
    UNLOADING = "unloading"  #: its memory is being given back


@dataclass(frozen=True, slots=True)
class Status:
    """An engine as it is now, for people and machines."""

    state: State
    device: str  #: it runs on, or would
    fallback: str | None  #: why not on the device it is set to
    pid: int | None
    calls: int  #: running or waiting for their turn
    answered: int  #: calls that got answers, since the start of this process
    memory_mb: float  #: held on its device; 0.0 where nothing is loaded
    loaded: Loaded | None  #: what the last load took
    error: str | None  #: code of the last failure of a load or call; None after a success


class Admission(Protocol):
    """Who may take memory. Asked by the thread that is about to load, holding its engine."""

    def admit(self, name: str, device: str) -> None:
        """Make room for this engine on this device.

        Raises:
            EngineUnavailable: there is none: those that hold it are busy.
        """
        ...

    def settle(self, name: str, device: str, memory_mb: float) -> None:
        """It is loaded and holds this much. Raises as `admit`, where that is too much."""
        ...

    def release(self, name: str) -> None:
        """It is ready, or not loaded after all: nothing is reserved for it any more."""
        ...


class Unbounded:
    """Lets everybody in."""

    def admit(self, name: str, device: str) -> None:
        return

    def settle(self, name: str, device: str, memory_mb: float) -> None:
        return

    def release(self, name: str) -> None:
        return


class EngineHost:
    """One engine, one child process, one call at a time; any thread may call."""

    def __init__(
        self,
        name: str,
        settings: EngineSettings,
        *,
        cache: Path,
        limit_s: float = LIMIT_S,
        load_limit_s: float = LOAD_LIMIT_S,
        models_python: Path | None = None,
        admission: Admission | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.admission = admission or Unbounded()
        self._settings = settings
        self._cache = cache
        self._limit_s, self._load_limit_s = limit_s, load_limit_s
        self._models_python = models_python
        self._now = now
        self._turn = Lock()  # held for a whole call or load
        self._guard = Lock()  # held a moment, around `_child`, `_open` and `_calls`
        self._child: EngineProcess | None = None
        self._state = State.ABSENT
        self._open = False
        self._calls = self._answered = 0
        self._used_at = now()
        self._device = settings.device
        self._fallback: str | None = None
        self._loaded: Loaded | None = None
        self._error: str | None = None

    @property
    def state(self) -> State:
        return self._state

    @property
    def pid(self) -> int | None:
        """The child's process id; None while there is no child."""
        child = self._child
        return child.pid if child else None

    @property
    def concurrency(self) -> int:
        """Calls that are worked on at once; more of them wait."""
        return 1

    @property
    def calls(self) -> int:
        """Calls that run or wait for their turn."""
        return self._calls

    @property
    def used_at(self) -> float:
        """When the last call ended, or the engine was loaded, by the clock given."""
        return self._used_at

    @property
    def memory_mb(self) -> float:
        """What it holds on its device now; 0.0 where no model is in memory.

        On the CPU as it is now, on a GPU as it was after loading.
        """
        if self._state is not State.READY or self._loaded is None:
            return 0.0
        return self._loaded.memory_mb if self._device != CPU else resident_mb(self.pid or 0)

    @property
    def footprint(self) -> Footprint | None:
        """What a call takes at its peak on the device in use; None before a warm-up."""
        return self._loaded.footprint if self._loaded else None

    def status(self) -> Status:
        return Status(
            state=self._state,
            device=self._device,
            fallback=self._fallback,
            pid=self.pid,
            calls=self._calls,
            answered=self._answered,
            memory_mb=self.memory_mb,
            loaded=self._loaded,
            error=self._error,
        )

    def capabilities(self) -> Capabilities:
        """What the engine can do; needs no child."""
        return self._capabilities

    def start(self, *, preload: bool = False) -> None:
        """Allow calls. The child loads at the first one, or now and before returning.

        Raises:
            as `load`: preloading failed; calls try again.
        """
        self._open = True
        if preload:
            self.load()

    def load(self) -> None:
        """Have the model in memory when this returns. Loading twice is loading once.

        Raises:
            WeightsRefused, InvalidSettings, LibraryMissing: it cannot be loaded.
            EngineDied, EngineUnavailable: it was not; repeating may help.
        """
        with self._called():
            self._ready_child()

    def stop(self) -> None:
        """Refuse calls from now on and end the child; a call in hand gets EngineUnavailable."""
        with self._guard:
            self._open = False
            if self._child and self._turn.locked():
                self._child.kill()
        with self._turn:
            self._end()

    def unload(self) -> None:
        """Give all memory back by ending the child, after the call in hand; the next starts one."""
        with self._turn:
            self._end()

    def unload_if_idle(self, since: float | None = None) -> bool:
        """Unload unless a call runs or waits, or one ended after `since`.

        True if nothing is loaded now.
        """
        if not self._turn.acquire(blocking=False):
            return False
        try:
            if self._calls or (since is not None and self._used_at > since):
                return False
            self._end()
            return True
        finally:
            self._turn.release()

    def infer(
        self, task: Task, batch: Sequence[Clip], *, limit_s: float | None = None
    ) -> list[Answer]:
        """Answer every clip, in order, within `limit_s` (None: the host's own limit).

        Where no model is in memory it is loaded first, which does not count for the limit.

        Raises:
            ValueError: a clip is too long, or the engine has no such task; nothing was asked.
            EngineDied: the process died or hung in this call; the next call has a new one.
            EngineUnavailable: the engine is stopped, or said so itself.
            WeightsRefused, InvalidSettings, LibraryMissing: it cannot be loaded.
        """
        check(self.name, self.capabilities(), task, batch)
        with self._called():
            child = self._ready_child()
            asked = frames.request(task, batch)
            answers = frames.reply(self._exchange(child, asked, limit_s or self._limit_s))
            self._answered += 1
            return self._marked(answers)

    @cached_property
    def _capabilities(self) -> Capabilities:
        return build(self.name, self._settings, cache=self._cache).capabilities()

    @contextmanager
    def _called(self) -> Iterator[None]:
        """Wait for the turn and hold it, counted from before the wait; keep the last failure."""
        with self._guard:
            self._calls += 1
        try:
            with self._turn:
                if not self._open:
                    raise self._stopped()
                yield
            self._error = None
        except EarwitnessError as error:
            self._error = error.code
            raise
        finally:
            with self._guard:
                # Together: whoever sees no call must also see when the last one ended.
                self._calls, self._used_at = self._calls - 1, self._now()

    def _marked(self, answers: list[Answer]) -> list[Answer]:
        if self._fallback is None:
            return answers
        return [replace(a, cautions=(*a.cautions, CPU_FALLBACK)) for a in answers]

    def _ready_child(self) -> EngineProcess:
        """The child with its model; a new one where there is none or it died between calls."""
        if self._child and self._state is State.READY and self._child.is_alive():
            return self._child
        self._end()
        try:
            return self._load_on(self._settings)
        except _OF_THE_DEVICE as error:
            if self._settings.device == CPU or not self._settings.fallback or not self._open:
                raise
            say(log, error)
            return self._load_on(on_cpu(self._settings), fallback=f"{error}")

    def _load_on(self, settings: EngineSettings, *, fallback: str | None = None) -> EngineProcess:
        self._state = State.LOADING
        self._device, self._fallback = settings.device, fallback
        try:
            self.admission.admit(self.name, settings.device)
            began = self._now()
            child = self._born(settings)
            report = frames.load_report(self._exchange(child, [LOAD], self._load_limit_s))
            report = report.begun(self._now() - began)
            self.admission.settle(self.name, settings.device, report.memory_mb)
            self._loaded, self._state = report, State.READY
        except EarwitnessError:
            # A process that could not load may hold half a model, or a broken device.
            self._end()
            self._state = State.FAILED if self._open else State.ABSENT
            raise
        finally:
            self.admission.release(self.name)
        return child

    def _born(self, settings: EngineSettings) -> EngineProcess:
        python = python_of(settings, self._models_python)
        child = EngineProcess(python, self.name, settings, self._cache)
        with self._guard:
            if self._open:
                self._child, self._state = child, State.LOADING
                return child
        # Stopped while it was being started: `stop` could not see it yet.
        child.kill()
        child.end()
        raise self._stopped()

    def _exchange(self, child: EngineProcess, request: Sequence[bytes], limit_s: float) -> bytes:
        try:
            for frame in request:
                child.pipe.send_bytes(frame)
            if not child.pipe.poll(limit_s):
                raise self._buried(child, f"no answer within {limit_s:g} s")
            return child.pipe.recv_bytes()
        except (EOFError, OSError) as error:
            raise self._buried(child) from error

    def _buried(
        self, child: EngineProcess, hung: str | None = None
    ) -> EngineDied | EngineUnavailable:
        """Clear away a child that died, or hangs, in a call, and say why."""
        if hung:
            child.kill()
        cause = hung or child.cause()
        doing = "loaded" if self._state is State.LOADING else "listened"
        self._end()
        if not self._open:
            return self._stopped()
        return EngineDied(
            f"The process of the engine {self.name} ended ({cause}) while it {doing}.",
            engine=self.name,
            cause=cause,
        )

    def _stopped(self) -> EngineUnavailable:
        return EngineUnavailable(f"The engine {self.name} is stopped.", engine=self.name)

    def _end(self) -> None:
        with self._guard:
            child, self._child = self._child, None
        if child is not None:
            self._state = State.UNLOADING
            child.end()
        if child is not None or self._state is not State.FAILED:
            self._state = State.ABSENT


def on_cpu(settings: EngineSettings) -> EngineSettings:
    """The same engine on the CPU, in a type a CPU computes in."""
    dtype = CPU_DTYPES.get(settings.dtype, settings.dtype)
    return settings.model_copy(update={"device": CPU, "dtype": dtype})
