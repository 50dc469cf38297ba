"""Implements `spans.Tracer` with OpenTelemetry's SDK. Imported only where spans are collected.

To Google Cloud: OTLP at telemetry.googleapis.com, role `roles/telemetry.tracesWriter` of each
workload's identity (functions: terraform/modules/event_function, GPU service:
terraform/stack/identities.tf). The provider stays ours alone, not the global one: Google's clients
trace themselves through that, with object names in their spans.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace as api
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    ConsoleSpanExporter,
    SimpleSpanProcessor,
    SpanExporter,
)
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
)

from shared.domain.trace import Trace
from shared.errors import EarwitnessError
from shared.spans import Attributes, Kind

#: Where Google takes traces in OpenTelemetry's own protocol. Source: Google Cloud
#: Observability, "Telemetry (OTLP) API"; it wants `gcp.project_id` among the resource's attributes.
GOOGLE = "https://telemetry.googleapis.com/v1/traces"
SCOPE = "https://www.googleapis.com/auth/trace.append"
#: The standard names that say where else to send them.
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
#: Milliseconds that an answer may wait for its spans to be taken.
FLUSH_MS = 2_000
_KINDS = {kind: SpanKind[kind.name] for kind in Kind}


class OpenTelemetrySpans:
    def __init__(
        self, exporter: SpanExporter, service: str, project: str = "", *, at_once: bool = False
    ) -> None:
        """`at_once`: each span is exported when it ends, in the thread that ended it."""
        known = {"service.name": f"earwitness-{service}", "gcp.project_id": project}
        self._provider = TracerProvider(
            resource=Resource.create({k: v for k, v in known.items() if v})
        )
        process = SimpleSpanProcessor if at_once else BatchSpanProcessor
        self._provider.add_span_processor(process(exporter))
        self._tracer = self._provider.get_tracer("earwitness")

    @contextmanager
    def span(
        self,
        name: str,
        kind: Kind,
        parent: Trace | None,
        link: Trace | None,
        attributes: Attributes,
    ) -> Iterator[None]:
        started = self._tracer.start_as_current_span(
            name,
            context=api.set_span_in_context(NonRecordingSpan(_context(parent))) if parent else None,
            kind=_KINDS[kind],
            attributes=attributes,
            links=[api.Link(_context(link))] if link else (),
            # Both would write down what the error says, and that may quote anything.
            record_exception=False,
            set_status_on_exception=False,
        )
        with started as span:
            try:
                yield
            except BaseException as error:
                span.set_attribute("error.type", _kind_of(error))
                span.set_status(Status(StatusCode.ERROR))
                raise

    def current(self) -> Trace | None:
        here = api.get_current_span().get_span_context()
        if not here.is_valid:
            return None
        ids = api.format_trace_id(here.trace_id), api.format_span_id(here.span_id)
        return Trace(*ids, here.trace_flags.sampled)

    def flush(self) -> None:
        self._provider.force_flush(FLUSH_MS)


def _context(trace: Trace) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED if trace.sampled else TraceFlags.DEFAULT)
    return SpanContext(int(trace.trace_id, 16), int(trace.span_id, 16), True, flags)


def _kind_of(error: BaseException) -> str:
    return error.code if isinstance(error, EarwitnessError) else type(error).__qualname__


def console() -> SpanExporter:
    """One JSON line a span on stderr, where the log goes."""

    def line(span: ReadableSpan) -> str:
        return f"{span.to_json(indent=None)}\n"

    return ConsoleSpanExporter(out=sys.stderr, formatter=line)


def otlp() -> SpanExporter:
    """To where OTEL_EXPORTER_OTLP_(TRACES_)ENDPOINT says, else to Google with our own identity."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    if any(os.environ.get(name) for name in ENDPOINTS):
        return OTLPSpanExporter()
    import google.auth
    from google.auth.transport.requests import AuthorizedSession

    credentials, _ = google.auth.default(scopes=[SCOPE])
    session = AuthorizedSession(credentials)  # type: ignore[no-untyped-call]  # as google-auth is
    return OTLPSpanExporter(GOOGLE, session=session)
