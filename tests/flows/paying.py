"""A process that hears one upload with an engine that costs, and is killed at a given effect.

    python -m tests.flows.paying HOME BROKER_URL SERVER_URL WHEN EFFECT

As `tests.flows.doomed`; the engine is the real one, asked at SERVER_URL, which may kill this
process too: while a call is in hand. Prints the names of its effects.
"""

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from gpu_service.engines.engine import Clip, Engine
from gpu_service.engines.registry import EngineSettings, build
from shared import wiring
from shared.domain.answers import Answer, Task
from shared.domain.lanes import Lane
from shared.domain.sound import Segment
from shared.errors import EngineUnavailable
from shared.settings import load
from tests.engines.openai_server import KEY
from tests.flows.doomed import EFFECTS, Doomed, Fate
from tests.flows.ears import SmallEars, survey

ENGINES = ["first", "paid"]


def parts_of(home: Path, broker: str, fate: Fate | None = None) -> wiring.Parts:
    cascade = {"transcribe": ENGINES, "classify": []}
    parts = wiring.parts(load(home=home, broker_url=broker, cascade=cascade))
    if fate is None:
        return parts
    return replace(parts, **{n: Doomed(getattr(parts, n), n, fate) for n in EFFECTS})


def openai(url: str) -> Engine:
    os.environ["OPENAI_API_KEY"] = KEY
    return build("paid", EngineSettings(kind="openai", options={"base_url": url}), cache=Path())


def ears(engine: Engine) -> SmallEars:
    """Two segments; the first engine always fails, so that all is asked of the second."""

    def script(name: str, task: Task, many: Sequence[Segment]) -> list[Answer]:
        if name == "first":
            raise EngineUnavailable
        clips = [Clip(np.zeros(round(s.duration_s * 16_000), np.float32), "demo") for s in many]
        return engine.infer(task, clips)

    return SmallEars(
        survey(2, 30.0), script, paid={"paid": engine.capabilities().terms[Task.TRANSCRIBE]}
    )


def hear(parts: wiring.Parts, url: str) -> None:
    wiring.work(parts, ears(openai(url)))((Lane.HIGH, Lane.LOW))


def main(home: str, broker: str, url: str, when: str, effect: str) -> None:
    fate = Fate(when, int(effect))
    hear(parts_of(Path(home), broker, fate), url)
    print("\n".join(fate.seen))


if __name__ == "__main__":
    main(*sys.argv[1:])
