"""Spans: what took how long within which trace. Nobody collects them unless told to.

Their names and attributes are those of OpenTelemetry's semantic conventions where there are
some. Nothing of a user stands in them: no object name, no text, no message of an error (S6).
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from enum import StrEnum
from typing import Protocol

from shared.domain.trace import Trace, parse

Attributes = Mapping[str, str | int | float | bool]


class Kind(StrEnum):
    """Source: OpenTelemetry specification, "Tracing API", section SpanKind."""

    INTERNAL = "internal"
    SERVER = "server"
    CLIENT = "client"
    PRODUCER = "producer"
    CONSUMER = "consumer"


class Tracer(Protocol):
    def span(
        self,
        name: str,
        kind: Kind,
        parent: Trace | None,
        link: Trace | None,
        attributes: Attributes,
    ) -> AbstractContextManager[None]:
        """A span around a `with` block, below `parent`, or below the span around it if None.

        An exception that leaves the block marks it as failed with its type, and goes on.
        """
        ...

    def current(self) -> Trace | None:
        """Where we are, or None outside every span."""
        ...

    def flush(self) -> None:
        """Send what was collected, waiting a bounded time."""
        ...


class Silent:
    """Implements `Tracer` for nobody: only a context that came in is passed on (logs, messages)."""

    def __init__(self) -> None:
        self._current: ContextVar[Trace | None] = ContextVar("trace", default=None)

    def span(
        self,
        name: str,
        kind: Kind,
        parent: Trace | None,
        link: Trace | None,
        attributes: Attributes,
    ) -> AbstractContextManager[None]:
        return nullcontext() if parent is None else self._inside(parent)

    @contextmanager
    def _inside(self, parent: Trace) -> Iterator[None]:
        before = self._current.set(parent)
        try:
            yield
        finally:
            self._current.reset(before)

    def current(self) -> Trace | None:
        return self._current.get()

    def flush(self) -> None:
        pass


_SILENT = Silent()
_tracer: Tracer = _SILENT


def install(tracer: Tracer | None) -> None:
    """Let `tracer` collect the spans of this process from now on; None: nobody."""
    global _tracer  # noqa: PLW0603  # like the root logger: one a process, set at its start
    _tracer = tracer or _SILENT


def collected() -> bool:
    """Whether anybody collects spans."""
    return _tracer is not _SILENT


def span(
    name: str,
    kind: Kind = Kind.INTERNAL,
    *,
    parent: str | None = None,
    link: str | None = None,
    attributes: Attributes | None = None,
) -> AbstractContextManager[None]:
    """A span around a `with` block.

    `parent` and `link` are a `traceparent`, from wherever; one that is none is ignored.
    """
    return _tracer.span(name, kind, parse(parent), parse(link), attributes or {})


def current() -> Trace | None:
    return _tracer.current()


def traceparent() -> str | None:
    """Where we are, to be sent along; None outside every trace."""
    here = _tracer.current()
    return None if here is None else str(here)


def flush() -> None:
    _tracer.flush()
