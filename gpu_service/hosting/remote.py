"""An engine that is a service elsewhere: asked from threads of this process, several at once."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from threading import BoundedSemaphore, Lock

from gpu_service.engines.engine import Capabilities, Clip, Engine, check
from gpu_service.engines.registry import EngineSettings, build
from gpu_service.hosting.host import EngineHost, State, Status
from gpu_service.hosting.warming import Footprint
from shared.domain.answers import Answer, Task
from shared.errors import EarwitnessError, EngineUnavailable


class RemoteHost:
    """As `EngineHost`, for engines whose capabilities say a concurrency above 1.

    There is no child (what comes back is text, parsed by an HTTP client) and nothing to hold a
    device for while a call is waited for. Such an engine is called by several threads at once,
    which its own client must bear.
    """

    pid = None
    memory_mb = 0.0
    footprint: Footprint | None = None

    def __init__(
        self,
        name: str,
        settings: EngineSettings,
        *,
        cache: Path,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._settings, self._cache, self._now = settings, cache, now
        self._guard = Lock()
        self._places = BoundedSemaphore(self.concurrency)
        self._state = State.ABSENT
        self._open = False
        self._calls = self._answered = 0
        self._used_at = now()
        self._error: str | None = None

    @property
    def state(self) -> State:
        return self._state

    @property
    def concurrency(self) -> int:
        """Calls that are worked on at once; more of them wait."""
        return self.capabilities().concurrency

    @property
    def calls(self) -> int:
        return self._calls

    @property
    def used_at(self) -> float:
        return self._used_at

    def status(self) -> Status:
        return Status(
            state=self._state,
            device="remote",
            fallback=None,
            pid=None,
            calls=self._calls,
            answered=self._answered,
            memory_mb=0.0,
            loaded=None,
            error=self._error,
        )

    def capabilities(self) -> Capabilities:
        return self._engine.capabilities()

    def start(self, *, preload: bool = False) -> None:
        """Allow calls; as `EngineHost.start`."""
        self._open = True
        if preload:
            self.load()

    def load(self) -> None:
        """Make the client ready; costs no call to the service.

        Raises:
            InvalidSettings, EngineUnavailable: see the engine.
        """
        with self._called():
            return

    def stop(self) -> None:
        """Refuse calls from now on. Calls in hand end by their own limit; nobody can kill them."""
        self._open = False
        self.unload_if_idle()

    def unload(self) -> None:
        """Let the client go once no call is in hand; until then it stays."""
        self.unload_if_idle()

    def unload_if_idle(self, since: float | None = None) -> bool:
        """Let the client go unless a call runs or waits, or one ended after `since`.

        True if it is gone.
        """
        with self._guard:
            if self._calls or (since is not None and self._used_at > since):
                return False
            if self._state is State.READY:
                self._engine.unload()
            self._state = State.ABSENT
            return True

    def infer(
        self, task: Task, batch: Sequence[Clip], *, limit_s: float | None = None
    ) -> list[Answer]:
        """Answer every clip, in order; the limit is the engine's own (its client's timeouts).

        Raises:
            ValueError: a clip is too long, or the engine has no such task; nothing was asked.
            EngineUnavailable: stopped, or the service did not answer.
        """
        check(self.name, self.capabilities(), task, batch)
        with self._called():
            answers = self._engine.infer(task, batch)
            with self._guard:
                self._answered += 1
            return answers

    @cached_property
    def _engine(self) -> Engine:
        return build(self.name, self._settings, cache=self._cache)

    @contextmanager
    def _called(self) -> Iterator[None]:
        with self._guard:
            self._calls += 1
        try:
            with self._places:
                self._ready()
                yield
            self._error = None
        except EarwitnessError as error:
            self._error = error.code
            raise
        finally:
            with self._guard:
                # Together: whoever sees no call must also see when the last one ended.
                self._calls, self._used_at = self._calls - 1, self._now()

    def _ready(self) -> None:
        if not self._open:
            raise EngineUnavailable(f"The engine {self.name} is stopped.", engine=self.name)
        with self._guard:
            if self._state is State.READY:
                return
            self._state = State.LOADING
            try:
                self._engine.load()
            except EarwitnessError:
                self._state = State.FAILED
                raise
            self._state = State.READY


Host = EngineHost | RemoteHost


def is_remote(name: str, settings: EngineSettings, cache: Path) -> bool:
    """Whether the engine is called from this process: it takes several calls at once.

    Raises:
        InvalidSettings: unknown kind, or options the kind does not know.
    """
    return build(name, settings, cache=cache).capabilities().concurrency > 1
