"""What loading an engine took, by parts: a stopwatch that is there while an engine loads."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import StrEnum
from typing import Protocol


class Part(StrEnum):
    START = "start"  #: the process, its Python, and the kind's module
    LOCATE = "locate"  #: where the files are; from a hub or bucket: the small ones
    READ = "read"  #: bytes from a bucket into memory
    VERIFY = "verify"  #: digests
    IMPORT = "import"  #: the libraries of the model
    BUILD = "build"  #: the model made of the files, and whatever else loading does
    TO_DEVICE = "to_device"
    WARM_UP = "warm_up"


class Clock(Protocol):
    def __call__(self) -> float: ...


class Stopwatch:
    """Seconds by part. A part inside another is taken out of it, so that the sum is the whole."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self.seconds: dict[str, float] = {}
        self._clock = clock
        self._inside = [0.0]  # seconds of the parts within each open part

    @contextmanager
    def part(self, name: Part) -> Iterator[None]:
        began = self._clock()
        self._inside.append(0.0)
        try:
            yield
        finally:
            took = self._clock() - began
            own = took - self._inside.pop()
            self._inside[-1] += took
            self.seconds[name.value] = self.seconds.get(name.value, 0.0) + own


_running: ContextVar[Stopwatch | None] = ContextVar("stopwatch", default=None)


@contextmanager
def measured(watch: Stopwatch) -> Iterator[None]:
    """Give the time of every `part` within to `watch`."""
    token = _running.set(watch)
    try:
        yield
    finally:
        _running.reset(token)


@contextmanager
def part(name: Part) -> Iterator[None]:
    """Count the time of this block as `name`, where somebody measures; else nothing."""
    watch = _running.get()
    if watch is None:
        yield
        return
    with watch.part(name):
        yield
