"""What is counted where it happens: exchanges, answers, decisions, failures.

Labels come from closed sets: routes and codes of ours, engines of the settings, tasks, verdicts.
Never a tenant, a recording or a text (P13).
"""

import logging
from collections.abc import Iterable, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram

from shared.domain.answers import Answer
from shared.domain.cascade import Decided
from shared.errors import leaves
from shared.exchanges import Exchange

#: Paths with a latency of their own; all others are one.
ROUTES: Mapping[str, str] = {
    "/pubsub/tickets": "tickets",
    "/v1/audio/transcriptions": "transcriptions",
    "/v1/analyses": "analyses",
}
#: Seconds. An echo takes milliseconds, a ticket up to 480 s; the alert looks at 2 s.
ANSWER_BUCKETS = (0.05, 0.2, 0.5, 1.0, 2.0, 5.0, 20.0, 120.0)
#: Seconds an engine takes for one segment of at most 28 s.
ENGINE_BUCKETS = (0.1, 0.5, 1.0, 2.0, 5.0, 20.0)
#: The bars that something hangs on: 0.70 and 0.80 (alerts, acceptance), 0.85 (audio analysis).
CONFIDENCE_BUCKETS = (0.5, 0.7, 0.8, 0.85, 0.9, 0.95)


class Instruments:
    """One registry's; prometheus_client's own locks make them safe in threads."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.seconds = Histogram(
            "earwitness_http_request_seconds",
            "Time to the last byte of an answer.",
            ["route"],
            buckets=ANSWER_BUCKETS,
            registry=registry,
        )
        self.requests = _counter(registry, "http_requests", "Requests answered.", "route", "status")
        self.received = _counter(registry, "http_received_bytes", "Bytes of bodies in.", "route")
        self.sent = _counter(registry, "http_sent_bytes", "Bytes of bodies out.", "route")
        self.engine_seconds = Histogram(
            "earwitness_engine_seconds",
            "Time an engine worked on one segment, its share of a batch.",
            ["engine", "task"],
            buckets=ENGINE_BUCKETS,
            registry=registry,
        )
        self.confidence = Histogram(
            "earwitness_confidence",
            "Confidence of answers; comparable across engines only where calibrated.",
            ["engine", "task", "calibrated"],
            buckets=CONFIDENCE_BUCKETS,
            registry=registry,
        )
        self.decisions = _counter(
            registry, "decisions", "What was decided of answers.", "engine", "task", "verdict"
        )
        self.cost = _counter(registry, "cost_usd", "What paid calls cost.", "engine")
        self.errors = _counter(registry, "errors", "Failures we understand.", "code")
        self.counted = _counter(registry, "events", "Things that happened in flows.", "event")

    def exchanged(self, exchange: Exchange) -> None:
        route = ROUTES.get(exchange.path, "other")
        self.seconds.labels(route).observe(exchange.seconds)
        self.requests.labels(route, f"{exchange.status // 100}xx").inc()
        self.received.labels(route).inc(exchange.received)
        self.sent.labels(route).inc(exchange.sent)

    def decided(self, many: Sequence[Decided]) -> None:
        for one in many:
            for step in one.decisions:
                self.decisions.labels(step.engine, step.task.value, step.verdict.value).inc()
                if step.cost_usd:
                    self.cost.labels(step.engine).inc(step.cost_usd)
            self.answered(one.answer)

    def answered(self, answer: Answer) -> None:
        of = (answer.engine, answer.task.value)
        self.engine_seconds.labels(*of).observe(answer.seconds)
        if answer.confidence is not None:
            calibrated = "true" if answer.calibrated else "false"
            self.confidence.labels(*of, calibrated).observe(answer.confidence)

    def count(self, name: str, **labels: str) -> None:
        """Implements `Meter` for the flows."""
        self.counted.labels(name).inc()


def _counter(registry: CollectorRegistry, name: str, said: str, *labels: str) -> Counter:
    return Counter(f"earwitness_{name}", said, labels, registry=registry)


class FailureCounter(logging.Handler):
    """Counts what `shared.logs.say` says, by code: every failure is said once, where it is met."""

    def __init__(self, errors: Counter) -> None:
        super().__init__(logging.INFO)
        self._errors, self._known = errors, _codes()

    def emit(self, record: logging.LogRecord) -> None:
        code = getattr(record, "code", None)
        if isinstance(code, str) and "layer" in vars(record):
            self._errors.labels(code if code in self._known else "other").inc()


def _codes() -> frozenset[str]:
    every: Iterable[str] = (leaf.code for leaf in leaves())
    return frozenset(every)
