"""An engine in a process of its own, so that its death costs one call and nothing else."""

import multiprocessing
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from threading import Lock

from gpu_service.engines import frames
from gpu_service.engines.child import LOAD, live
from gpu_service.engines.engine import Capabilities, Clip
from gpu_service.engines.registry import EngineSettings, build
from shared.domain.answers import Answer, Task
from shared.errors import EarwitnessError, EngineDied, EngineUnavailable

#: Seconds a call may take. Four windows of 28 s need about 10 s on two busy cores and the first
#: call loads the model; thirty times that means it hangs.
LIMIT_S = 300.0
#: Seconds an idle child gets to leave by itself before it is killed.
LEAVE_S = 2.0


class State(StrEnum):
    ABSENT = "absent"  #: no model in memory; the next call loads it
    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"  #: the last load failed; the next call tries again


@dataclass(frozen=True, slots=True)
class _Child:
    process: SpawnProcess
    pipe: Connection


class EngineHost:
    """One engine, one child process, one call at a time; any thread may call.

    The child is spawned, never forked: a fork would copy locks and threads of a running
    service, and CUDA does not survive one.
    """

    def __init__(
        self, name: str, settings: EngineSettings, *, cache: Path, limit_s: float = LIMIT_S
    ) -> None:
        self.name = name
        self._settings = settings
        self._cache = cache
        self._limit_s = limit_s
        self._turn = Lock()  # held for a whole call
        self._guard = Lock()  # held a moment, around `_child` and `_open`
        self._child: _Child | None = None
        self._state = State.ABSENT
        self._open = False

    @property
    def state(self) -> State:
        return self._state

    @property
    def pid(self) -> int | None:
        """The child's process id; None while there is no child."""
        child = self._child
        return child.process.pid if child else None

    def capabilities(self) -> Capabilities:
        """What the engine can do; needs no child."""
        return self._capabilities

    def start(self, *, preload: bool = False) -> None:
        """Allow calls. The child loads at the first one, or now and before returning.

        Raises:
            WeightsRefused, InvalidSettings, EngineDied: preloading failed; calls try again.
        """
        self._open = True
        if preload:
            with self._turn:
                self._exchange(self._alive(), [LOAD])

    def stop(self) -> None:
        """Refuse calls from now on and end the child; a call in hand gets EngineUnavailable."""
        with self._guard:
            self._open = False
            if self._child and self._turn.locked():
                self._child.process.kill()
        with self._turn:
            self._end()

    def unload(self) -> None:
        """Give all memory back by ending the child, after the call in hand; the next starts one."""
        with self._turn:
            self._end()

    def infer(
        self, task: Task, batch: Sequence[Clip], *, limit_s: float | None = None
    ) -> list[Answer]:
        """Answer every clip, in order, within `limit_s` (None: the host's own limit).

        Raises:
            ValueError: a clip is too long, or the engine has no such task; nothing was asked.
            EngineDied: the process died or hung in this call; the next call has a new one.
            EngineUnavailable: the engine is stopped, or said so itself.
            WeightsRefused, InvalidSettings: it cannot be loaded.
        """
        check(self.capabilities(), task, batch)
        with self._turn:
            if not self._open:
                raise self._stopped()
            return self._exchange(self._alive(), frames.request(task, batch), limit_s)

    @cached_property
    def _capabilities(self) -> Capabilities:
        return build(self.name, self._settings, cache=self._cache).capabilities()

    def _alive(self) -> _Child:
        """The child, or a new one where there is none or it died between two calls."""
        if self._child and not self._child.process.is_alive():
            self._end()
        return self._child or self._born()

    def _born(self) -> _Child:
        child = self._spawned()
        with self._guard:
            if self._open:
                self._child, self._state = child, State.LOADING
                return child
        # Stopped while it was being spawned: `stop` could not see it yet.
        child.process.kill()
        child.process.join()
        raise self._stopped()

    def _spawned(self) -> _Child:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=live,
            args=(theirs, self.name, self._settings.model_dump_json(), self._cache),
            name=f"earwitness-engine-{self.name}",
            daemon=True,
        )
        process.start()
        # Our copy of its end must go, or its death would not be seen as the end of the pipe.
        theirs.close()
        return _Child(process, ours)

    def _exchange(
        self, child: _Child, request: Sequence[bytes], limit_s: float | None = None
    ) -> list[Answer]:
        limit_s = limit_s or self._limit_s
        try:
            for frame in request:
                child.pipe.send_bytes(frame)
            if not child.pipe.poll(limit_s):
                raise self._buried(child, f"no answer within {limit_s:g} s")
            answer = child.pipe.recv_bytes()
        except (EOFError, OSError) as error:
            raise self._buried(child) from error
        return self._reply(answer)

    def _reply(self, answer: bytes) -> list[Answer]:
        try:
            answers = frames.reply(answer)
        except EarwitnessError:
            if self._state is State.LOADING:
                self._state = State.FAILED
            raise
        self._state = State.READY
        return answers

    def _buried(self, child: _Child, hung: str | None = None) -> EngineDied | EngineUnavailable:
        """Clear away a child that died, or hangs, in a call, and say why."""
        if hung:
            child.process.kill()
        # A closed pipe can be seen a moment before the exit code.
        child.process.join(LEAVE_S)
        cause = hung or _cause(child.process.exitcode)
        loading = self._state is State.LOADING
        self._end()
        if not self._open:
            return self._stopped()
        self._state = State.FAILED if loading else State.ABSENT
        return EngineDied(
            f"The process of the engine {self.name} ended ({cause}) while it listened.",
            engine=self.name,
            cause=cause,
        )

    def _stopped(self) -> EngineUnavailable:
        return EngineUnavailable(f"The engine {self.name} is stopped.", engine=self.name)

    def _end(self) -> None:
        with self._guard:
            child, self._child = self._child, None
        self._state = State.ABSENT
        if child is None:
            return
        child.pipe.close()
        child.process.join(LEAVE_S)
        if child.process.is_alive():
            child.process.kill()
            child.process.join()
        child.process.close()


def _cause(exit_code: int | None) -> str:
    if exit_code is None:
        return "it closed its pipe"
    return signal.Signals(-exit_code).name if exit_code < 0 else f"exit code {exit_code}"


def check(capabilities: Capabilities, task: Task, batch: Sequence[Clip]) -> None:
    """Refuse what the engine cannot do, before it costs a call.

    Raises:
        ValueError: no such task, or a clip longer than the engine takes.
    """
    if task not in capabilities.tasks:
        raise ValueError(f"the engine has no task {task}")
    longest = max((clip.samples.size for clip in batch), default=0) / capabilities.rate_hz
    if longest > capabilities.max_duration_s:
        raise ValueError(f"a clip of {longest:.2f} s; at most {capabilities.max_duration_s} s")
