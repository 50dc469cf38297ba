"""Answers are watched for drift: a gauge, and one line in the log when it begins."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Protocol

from prometheus_client.core import GaugeMetricFamily, Metric

from shared.domain.answers import Answer
from shared.domain.cascade import Decided
from shared.domain.confidence import Calibrations
from shared.domain.drift import LIMIT, Window, drifted

log = logging.getLogger("earwitness.drift")

#: Answers after which an engine's figures are compared anew: a comparison takes milliseconds.
EVERY = 50


class Identities(Protocol):
    """As `Ears.identity`."""

    def identity(self, engine: str) -> Mapping[str, str]: ...


@dataclass(slots=True)
class _Watched:
    engine: str
    window: Window
    count: int = 0
    found: dict[str, float] = field(default_factory=dict)
    alarmed: bool = False


class DriftMeter:
    """A collector of `earwitness_calibration_drift`; may be told from any thread."""

    def __init__(self, calibrations: Calibrations, engines: Identities) -> None:
        self._calibrations, self._engines = calibrations, engines
        self._watched: dict[tuple[str, str], _Watched] = {}
        self._lock = Lock()

    def decided(self, many: Sequence[Decided]) -> None:
        """Look at what was answered, also where another answer stands."""
        for one in many:
            for answer in one.given:
                if answer.calibrated:
                    self._answered(answer)

    def collect(self) -> Iterator[Metric]:
        """Of the languages of an engine the worst: a language each would be too many series."""
        gauge = GaugeMetricFamily(
            "earwitness_calibration_drift",
            "Population stability index of a figure against what confidence was fitted to.",
            labels=["engine", "feature"],
        )
        worst: dict[tuple[str, str], float] = {}
        with self._lock:
            for watched in self._watched.values():
                for name, index in watched.found.items():
                    key = (watched.engine, name)
                    worst[key] = max(index, worst.get(key, 0.0))
        for labels, index in sorted(worst.items()):
            gauge.add_metric(list(labels), index)
        yield gauge

    def _answered(self, answer: Answer) -> None:
        identity = self._engines.identity(answer.engine)
        known = self._calibrations.of(identity, answer.task, answer.language)
        if known is None:
            return
        with self._lock:
            key = (answer.engine, known.digest)
            watched = self._watched.setdefault(key, _Watched(answer.engine, Window(known)))
            watched.window.recent.append(answer.signals)
            watched.count += 1
            if watched.count % EVERY == 0:
                self._compare(watched)

    def _compare(self, watched: _Watched) -> None:
        watched.found = watched.window.drift()
        beyond = drifted(watched.found)
        if beyond and not watched.alarmed:
            log.warning(
                "engine %s hears other sound than its confidence was fitted to (%s above %.2f);"
                " calibrate it on recordings of yours",
                watched.engine,
                ", ".join(f"{name} {watched.found[name]:.2f}" for name in beyond),
                LIMIT,
                extra={"engine": watched.engine},
            )
        watched.alarmed = bool(beyond)
