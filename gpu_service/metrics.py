"""`GET /metrics` and `GET /metrics/{engine}`: what this instance tells Prometheus."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fastapi import APIRouter, Request
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.responses import Response

from gpu_service.house import House
from gpu_service.measuring.drift import DriftMeter
from gpu_service.measuring.gpus import Gpus
from gpu_service.measuring.instruments import FailureCounter, Instruments
from gpu_service.measuring.portraits import Portrait
from gpu_service.openai_api import failures
from gpu_service.stream import Streams
from shared.domain.answers import Task
from shared.domain.cascade import Decided, Policy
from shared.domain.sound import Segment
from shared.errors import ModelNotFound
from shared.flows.ask import Ask
from shared.flows.purse import Purse
from shared.flows.turns import Place
from shared.ports import Hearing

router = APIRouter()


@dataclass(frozen=True)
class ObservedAsk(Ask):
    """Asks as `Ask` does, and shows what was decided."""

    seen: Callable[[Sequence[Decided]], None] = lambda _: None

    def __call__(
        self,
        hearing: Hearing,
        task: Task,
        segments: Sequence[Segment],
        engines: Sequence[str],
        purse: Purse | None = None,
        *,
        beside: bool = False,
        policy: Policy | None = None,
        place: Place | None = None,
    ) -> list[Decided]:
        decided = Ask.__call__(
            self, hearing, task, segments, engines, purse, beside=beside, policy=policy, place=place
        )
        self.seen(decided)
        return decided


class Metrics:
    """The registry of one app; nothing global but a log handler between `start` and `stop`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self.instruments = Instruments(self.registry)
        self._failures = FailureCounter(self.instruments.errors)
        ProcessCollector(registry=self.registry)
        self.registry.register(Gpus())

    def watch(self, house: House) -> None:
        """See every decision of this house. To be called before its flows are handed on."""
        asks = house.work.ask
        drift = DriftMeter(asks.calibrations, house.work.ears)
        self.registry.register(drift)

        def seen(decided: Sequence[Decided]) -> None:
            self.instruments.decided(decided)
            drift.decided(decided)

        ask = ObservedAsk(asks.policy, asks.calibrations, seen)
        house.work = replace(house.work, ask=ask, meter=self.instruments)

    def portray(self, house: House, streams: Streams) -> None:
        """Tell of its parts too."""
        self.registry.register(Portrait(house, streams))

    def start(self) -> None:
        logging.getLogger("earwitness").addHandler(self._failures)

    def stop(self) -> None:
        logging.getLogger("earwitness").removeHandler(self._failures)

    def exposition(self, engine: str | None = None) -> bytes:
        """All families in Prometheus' text format 0.0.4, or those of one engine."""
        view: Any = _View(self.registry, engine)
        return generate_latest(view)


class _View:
    """What is collected, without the moments counters were made at: a series each, of no use."""

    def __init__(self, registry: CollectorRegistry, engine: str | None) -> None:
        self._registry, self._engine = registry, engine

    def collect(self) -> Iterator[Metric]:
        for family in self._registry.collect():
            family.samples = [s for s in family.samples if self._wanted(s.name, s.labels)]
            if family.samples:
                yield family

    def _wanted(self, name: str, labels: dict[str, str]) -> bool:
        engine = self._engine is None or labels.get("engine") == self._engine
        return engine and not name.endswith("_created")


@router.get("/metrics")
def metrics(request: Request) -> Response:
    """Everything this instance measures; `docs/metrics.md` says what each name means."""
    told: Metrics = request.app.state.metrics
    return Response(told.exposition(), media_type=CONTENT_TYPE_LATEST)


@router.get("/metrics/{engine}")
def metrics_of(engine: str, request: Request) -> Response:
    """The same of one engine alone."""
    house: House = request.app.state.house
    told: Metrics = request.app.state.metrics
    if engine not in house.hosts:
        return failures.answer(ModelNotFound(f"There is no engine called {engine}."))
    return Response(told.exposition(engine), media_type=CONTENT_TYPE_LATEST)
