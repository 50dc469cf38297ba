"""Spans collected in memory, for tests that read them."""

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from shared import spans
from shared.adapters.opentelemetry_spans import OpenTelemetrySpans


class Collected:
    """What was measured so far."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()

    def all(self) -> tuple[ReadableSpan, ...]:
        return self.exporter.get_finished_spans()

    def named(self, name: str) -> ReadableSpan:
        [found] = [s for s in self.all() if s.name == name]
        return found

    def names(self) -> set[str]:
        return {s.name for s in self.all()}

    def parent(self, span: ReadableSpan) -> str | None:
        """The name of the span above; None if it came from elsewhere, or there is none."""
        above = span.parent and span.parent.span_id
        return next((s.name for s in self.all() if s.context and s.context.span_id == above), None)


@contextmanager
def collected() -> Iterator[Collected]:
    """Collect the spans of this process in the `with` block."""
    found = Collected()
    spans.install(OpenTelemetrySpans(found.exporter, "test", at_once=True))
    try:
        yield found
    finally:
        spans.install(None)
