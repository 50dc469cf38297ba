"""A cascade's policy as people write it in settings, and everything that is wrong with it."""

from collections.abc import Iterator, Mapping
from typing import Any

from shared.domain.answers import Task
from shared.domain.cascade import Policy
from shared.domain.lanes import Lane
from shared.domain.synthesis import Strategy, Synthesis

#: The settings that make a policy; `Policy` has a field for each.
FIELDS = ("accept_at", "uncalibrated", "min_coverage", "degrade_after_s", "synthesis")
SYNTHESIS = ("strategy", "weights", "quality", "conflict_at")

Wrong = Iterator[tuple[str, str]]


def policy(said: Mapping[str, Any]) -> Policy:
    """The policy of values without `mistakes`; what is left out has its default."""
    typed = dict(said)
    bars = typed.get("accept_at", {})
    typed["accept_at"] = {Task(task): dict(engines) for task, engines in bars.items()}
    waits = typed.get("degrade_after_s", {})
    typed["degrade_after_s"] = {lane: float(s) for lane, s in waits.items()}
    made = dict(typed.get("synthesis", {}))
    made["strategy"] = Strategy(made.get("strategy", Strategy.HIGHEST_CONFIDENCE))
    return Policy(**{**typed, "synthesis": Synthesis(**made)})


def mistakes(said: Mapping[str, Any]) -> Wrong:
    """Each mistake, with the setting it is in."""
    for task, engines in said.get("accept_at", {}).items():
        if task not in set(Task):
            yield "accept_at", f"there is no task {task!r}, only {_listed(Task)}"
        for engine, bar in engines.items():
            yield from _share("accept_at", f"{task}.{engine}", bar)
    for lane, wait_s in said.get("degrade_after_s", {}).items():
        if lane not in set(Lane):
            yield "degrade_after_s", f"there is no lane {lane!r}, only {_listed(Lane)}"
        if wait_s < 0:
            yield "degrade_after_s", f"{lane} is {wait_s:g}; seconds are 0 or more"
    for wrong in _unmade(said.get("synthesis", {})):
        yield "synthesis", wrong[1]


def _unmade(said: Mapping[str, Any]) -> Wrong:
    """What is wrong with how answers are put together."""
    for name in said.keys() - set(SYNTHESIS):
        yield name, f"there is no {name!r}, only {', '.join(SYNTHESIS)}"
    strategy = said.get("strategy", Strategy.LATEST)
    if strategy not in set(Strategy):
        yield "strategy", f"there is no strategy {strategy!r}, only {_listed(Strategy)}"
    weights = said.get("weights", {})
    if not isinstance(weights, Mapping):
        yield "weights", 'weights are a number an engine: {"whisper": 2}'
    else:
        for engine, weight in weights.items():
            if not _number(weight) or weight < 0:
                yield "weights", f"weights.{engine} is {weight!r}; a weight is 0 or more"
    for name in ("quality", "conflict_at"):
        yield from _share(name, name, said.get(name, 0.0))


def _share(setting: str, name: str, value: object) -> Wrong:
    if not (_number(value) and 0.0 <= float(value) <= 1.0):  # type: ignore[arg-type]  # a number
        yield setting, f"{name} is {value!r}; it lies between 0 and 1"


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _listed(names: type[Task] | type[Lane] | type[Strategy]) -> str:
    return ", ".join(names)
