"""Where spans go, by setting."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from shared import spans, wiring
from shared.settings import Traces, load
from shared.spans import span


class Collector:
    """Takes OTLP over HTTP, as Cloud Trace and every collector do."""

    def __init__(self):
        self.taken = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    def _handler(self):
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.taken.append((self.path, ExportTraceServiceRequest.FromString(body)))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        return Handler


@pytest.fixture(autouse=True)
def quiet_afterwards():
    yield
    spans.install(None)


def test_spans_reach_a_collector_with_service_and_project(tmp_path, monkeypatch):
    with Collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        wiring.observe(load(home=tmp_path, traces=Traces.OTLP, project="my-project"), "functions")
        with span("outer"), span("inner"):
            pass
        spans.flush()

    [(path, request)] = collector.taken
    [resource] = request.resource_spans
    said = {a.key: a.value.string_value for a in resource.resource.attributes}
    assert path == "/v1/traces"
    assert (said["service.name"], said["gcp.project_id"]) == ("earwitness-functions", "my-project")
    assert [s.name for s in resource.scope_spans[0].spans] == ["inner", "outer"]


def test_a_collector_that_is_away_costs_no_work(tmp_path, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.2")
    wiring.observe(load(home=tmp_path, traces=Traces.OTLP), "functions")

    with span("outer"):
        inside = spans.traceparent()
    spans.flush()

    assert inside is not None


def test_on_the_console_a_span_is_one_json_line(tmp_path, capfd):
    wiring.observe(load(home=tmp_path, traces=Traces.CONSOLE), "service")
    with span("outer"):
        pass
    spans.flush()

    [line] = [json.loads(s) for s in capfd.readouterr().err.splitlines() if s.startswith("{")]
    assert (line["name"], line["resource"]["attributes"]["service.name"]) == (
        "outer",
        "earwitness-service",
    )


def test_unless_asked_nothing_is_collected(tmp_path):
    wiring.observe(load(home=tmp_path), "service")

    assert not spans.collected()
