"""P13: how many series an instance can have at all, and how long a scrape takes."""

import tempfile
import time
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

from bench.measuring import goal, interleaved
from gpu_service.house import House, build
from gpu_service.measuring.drift import DriftMeter
from gpu_service.measuring.instruments import ROUTES
from gpu_service.metrics import Metrics
from gpu_service.stream import Streams
from local.calibration.fitting import WEIGHED, About, Example, Parted, fit
from shared.domain.answers import Answer, Task
from shared.domain.cascade import Decided, Decision, Verdict
from shared.domain.confidence import Calibrations
from shared.errors import leaves
from shared.exchanges import Exchange
from shared.flows.work import Settled
from shared.settings import load

TENANTS = 10_000
MAX_SERIES, MAX_SCRAPE_MS = 500, 20.0
#: Engines of a full instance with the tasks each is asked for there, whichever it could do.
ENGINES = {
    "whisper": (Task.TRANSCRIBE,),
    "sounds": (Task.CLASSIFY,),
    "qwen": (Task.TRANSCRIBE, Task.DESCRIBE, Task.ANSWER),
    "openai": (Task.TRANSCRIBE,),
    "wav2vec2": (Task.ALIGN, Task.EMBED),
}


def run() -> bool:
    with tempfile.TemporaryDirectory() as folder:
        house, metrics = _instance(Path(folder))
        for n in range(TENANTS):
            _happens(metrics, n)
        house.pushes.update({s.value: 1 for s in Settled})
        text = metrics.exposition().decode()
        series = sum(not line.startswith("#") for line in text.splitlines())
        print(f"  {len(text):,} bytes, {len(ENGINES)} engines, {TENANTS:,} tenants")
        times = interleaved({"a scrape": lambda: _ms(metrics)}, "ms", repeats=21)
        met = goal("series of an instance", series, MAX_SERIES, at_most=True)
        slowest = max(times["a scrape"].values)
        return goal("the slowest scrape, ms", slowest, MAX_SCRAPE_MS, at_most=True) and met


def _instance(home: Path) -> tuple[House, Metrics]:
    engines = {name: {"kind": "echo"} for name in ENGINES}
    who = {"push_email": "push@earwitness.local", "push_subject": "local-push"}
    house, metrics = build(load(home=home, engines=engines, **who)), Metrics()
    metrics.watch(house)
    metrics.portray(house, Streams(house))
    metrics.registry.register(_drifting())
    return house, metrics


class _Identities:
    def identity(self, engine: str) -> dict[str, str]:
        return {"checkpoint": engine}


def _drifting() -> DriftMeter:
    """Every engine that writes down speech, calibrated by every figure there is."""
    able = [name for name, tasks in ENGINES.items() if Task.TRANSCRIBE in tasks]
    data = [Example(f"t{n % 9}", dict.fromkeys(WEIGHED, n / 70), n % 3 > 0) for n in range(210)]
    known = [
        fit(Parted(data, data, []), About({"checkpoint": name}, None, "any", datetime.now(UTC)))
        for name in able
    ]
    meter = DriftMeter(Calibrations(tuple(known)), _Identities())
    for name in able:
        step = Decision(0, Task.TRANSCRIBE, name, Verdict.ACCEPT, "confident")
        said = [Answer(name, Task.TRANSCRIBE, signals=e.signals, calibrated=True) for e in data]
        meter.decided([Decided(n, answer, (step,)) for n, answer in enumerate(said)])
    return meter


def _happens(metrics: Metrics, n: int) -> None:
    """For each tenant something else, until every label there is was used."""
    told = metrics.instruments
    for path, status in product((*ROUTES, f"/tenant/{n}"), (200, 400, 500)):
        told.exchanged(Exchange(path, status, n, n, 0.1))
    combinations = [(e, t, v) for e, tasks in ENGINES.items() for t in tasks for v in Verdict]
    engine, task, verdict = combinations[n % len(combinations)]
    # Whether an engine is calibrated stands in its settings, so it is one or the other.
    calibrated = engine != "whisper"
    answer = Answer(engine, task, confidence=n / TENANTS, calibrated=calibrated, seconds=0.1)
    step = Decision(0, task, engine, verdict, f"reason {n}", cost_usd=0.001)
    told.decided([Decided(0, answer, (step,))])
    codes = [leaf.code for leaf in leaves()]
    told.errors.labels(codes[n % len(codes)]).inc()
    told.count("reused")


def _ms(metrics: Metrics) -> float:
    begun = time.perf_counter()
    metrics.exposition()
    return (time.perf_counter() - begun) * 1000
