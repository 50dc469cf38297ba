"""What makes a profile impossible: every problem at once, each with its place in the document."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import JsonValue, ValidationError

from shared.domain.answers import Task
from shared.domain.cascade import EVERY
from shared.domain.profiles import Profile, SynthesisPlan, TaskPlan
from shared.domain.task_graph import EVERY_NAME, MADE_FROM, NAMES, TASKS, Stage, always, cycles

#: Keys and places in lists, from the top of the document.
Place = tuple[str | int, ...]
#: What a stage that asks no engine may say of itself.
_OF_STAGES: Mapping[str, frozenset[str]] = {
    Stage.DECODE: frozenset({"needs", "timeout_s"}),
    Stage.SEGMENTS: frozenset({"needs"}),
    Stage.SYNTHESIZE: frozenset({"needs"}),
}
#: Nobody judges where words lie, and text stands without its times.
_NOT_ALIGNING = ("accept_at", "uncalibrated", "min_coverage")
_KEYS: Mapping[str, Sequence[str]] = {
    "": tuple(Profile.model_fields),
    "tasks": tuple(TaskPlan.model_fields),
    "synthesis": tuple(SynthesisPlan.model_fields),
}
#: Stands in for what is missing or wrong at the top, while the rest is looked at.
_AT_LEAST: Mapping[str, JsonValue] = {"version": 1, "tasks": {"transcribe": {}}}


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, said to whoever wrote the profile."""

    place: Place
    message: str


@dataclass(frozen=True, slots=True)
class Deployed:
    """Who could be asked here."""

    able: Mapping[str, frozenset[Task]]  #: engine -> what it does
    cascade: Mapping[Task, Sequence[str]] = field(default_factory=dict)  #: of the deployment


def read(document: JsonValue, deployed: Deployed) -> tuple[Profile | None, list[Problem]]:
    """The profile, or None and everything that is wrong with it, in no order.

    What is wrong in itself is named and taken out, so that the rest is still looked at.
    """
    problems: list[Problem] = []
    document = _spelled_out(document)
    while True:
        try:
            profile = Profile.model_validate_json(json.dumps(document))
            break
        except ValidationError as error:
            every = error.errors(include_url=False, include_input=False)
            found = [_problem(one["loc"], one["type"], one["msg"]) for one in every]
        problems += found
        rest = document
        for problem in sorted(found, key=lambda p: repr(p.place), reverse=True):
            rest = _without(rest, problem.place)
        if not isinstance(rest, dict):
            return None, problems
        document = {**_AT_LEAST, **rest}
    if not (problems or profile.asked()):
        problems = [Problem(("tasks",), f"It asks for nothing. Name some of: {_listed(TASKS)}.")]
    problems = list(dict.fromkeys([*problems, *broken(profile, deployed)]))
    return (None, problems) if problems else (profile, [])


def broken(profile: Profile, deployed: Deployed) -> Iterator[Problem]:
    """What a profile that is well formed asks for and cannot have."""
    for name, plan in profile.tasks.items():
        if name not in EVERY_NAME:
            told = f"There is no task `{name}`; tasks are {_listed(EVERY_NAME)}."
            yield Problem(("tasks", name), told)
            continue
        yield from _needs(profile, name, plan)
        if name in TASKS:
            yield from _engines(TASKS[name], plan, deployed)
        yield from _out_of_place(name, plan)
    yield from _cycles(profile)
    yield from _weights(profile, deployed)


def _needs(profile: Profile, name: str, plan: TaskPlan) -> Iterator[Problem]:
    for n, needed in enumerate(plan.needs):
        place = ("tasks", name, "needs", n)
        if needed not in EVERY_NAME:
            told = f"There is no task `{needed}`; tasks are {_listed(EVERY_NAME)}."
            yield Problem(place, told)
        elif needed in TASKS and needed not in profile.tasks:
            yield Problem(place, f"`{needed}` is no task of this profile. Add it to `tasks`.")
        elif needed in plan.needs[:n]:
            yield Problem(place, f"`{needed}` stands here twice.")
    for made_from in sorted(MADE_FROM.get(TASKS.get(name, Task.EMBED), ())):
        if NAMES[made_from] not in profile.tasks:
            told = f"`{name}` works on what `{NAMES[made_from]}` writes. Add it to `tasks`."
            yield Problem(("tasks", name), told)


def _engines(task: Task, plan: TaskPlan, known: Deployed) -> Iterator[Problem]:
    place: Place = ("tasks", NAMES[task])
    for n, engine in enumerate(plan.engines or ()):
        able = known.able.get(engine)
        if able is None:
            told = f"There is no engine `{engine}`, only {_listed(sorted(known.able))}."
            yield Problem((*place, "engines", n), told)
        elif task not in able:
            told = f"The engine `{engine}` does not {task}."
            yield Problem((*place, "engines", n), told)
        elif engine in (plan.engines or ())[:n]:
            yield Problem((*place, "engines", n), f"`{engine}` stands here twice.")
    asked = plan.engines or known.cascade.get(task, ())
    if not asked:
        told = f"Nobody is set to {task}. Name `engines` here, or set EARWITNESS_CASCADE__"
        yield Problem(place, f"{told}{task.upper()}.")
    for engine in plan.accept_at or {}:
        if engine not in (EVERY, *asked):
            told = f"`{engine}` is none of this task's engines; these are {_listed(asked)}."
            yield Problem((*place, "accept_at", engine), told)


def _out_of_place(name: str, plan: TaskPlan) -> Iterator[Problem]:
    """Keys that say nothing of such a task."""
    allowed = _OF_STAGES.get(name)
    for key in sorted(plan.model_fields_set):
        place = ("tasks", name, key)
        if allowed is not None and key not in allowed:
            told = f"`{name}` asks no engine; it takes only {_listed(sorted(allowed))}."
            yield Problem(place, told)
        elif name == Task.ALIGN and key in _NOT_ALIGNING:
            yield Problem(place, "Nobody judges where words lie: this belongs to `transcribe`.")
        elif key == "min_coverage" and allowed is None and name != Task.TRANSCRIBE:
            yield Problem(place, "Only what `transcribe` writes covers speech.")
    if name == Task.ALIGN and plan.required:
        told = "A text stands without the times of its words: `align` cannot be required."
        yield Problem(("tasks", name, "required"), told)


def _cycles(profile: Profile) -> Iterator[Problem]:
    among = [name for name in profile.tasks if name in TASKS]
    known = {name: plan for name, plan in profile.tasks.items() if name in EVERY_NAME}
    every = dict.fromkeys((*EVERY_NAME, *known))
    needs = {
        name: [*(known[name].needs if name in known else ()), *sorted(always(name, among))]
        for name in every
    }
    for cycle in cycles(needs):
        # What always holds has no cycle, so one step at least was written down.
        steps = zip(cycle, (*cycle[1:], cycle[0]), strict=True)
        name, needed = next((a, b) for a, b in steps if a in known and b in known[a].needs)
        chain = " → ".join((*cycle, cycle[0]))
        told = f"These wait for each other: {chain} (→ is `needs`)."
        yield Problem(("tasks", name, "needs", known[name].needs.index(needed)), told)


def _weights(profile: Profile, known: Deployed) -> Iterator[Problem]:
    asked = {name for names in profile.cascade(known.cascade).values() for name in names}
    for engine in profile.synthesis.weights or {}:
        if engine not in asked:
            told = f"No task of this profile asks the engine `{engine}`."
            yield Problem(("synthesis", "weights", engine), told)


def _spelled_out(document: JsonValue) -> JsonValue:
    """With the two things that may be said shorter: `transcribe:` alone, one bar for all."""
    tasks = document.get("tasks") if isinstance(document, dict) else None
    if not (isinstance(document, dict) and isinstance(tasks, dict)):
        return document
    said: dict[str, JsonValue] = {name: {} if of is None else of for name, of in tasks.items()}
    for name, of in said.items():
        if isinstance(of, dict) and isinstance(of.get("accept_at"), int | float):
            said[name] = {**of, "accept_at": {EVERY: of["accept_at"]}}
    return {**document, "tasks": said}


def _problem(loc: Place, kind: str, said: str) -> Problem:
    """One of pydantic's, in our words where its own do not tell what to write instead."""
    place = tuple(part for part in loc if part != "[key]")
    if kind == "extra_forbidden":
        # tasks.NAME.KEY, synthesis.KEY or KEY
        inside = str(place[0]) if len(place) > 1 else ""
        return Problem(place, f"There is no such key; there are {_listed(_KEYS[inside])}.")
    return Problem(place, f"`{place[-1]}` is missing." if kind == "missing" else f"{said}.")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def _without(document: JsonValue, place: Place) -> JsonValue:
    """The document, less what stands at `place`; unchanged where nothing does."""
    if not place:
        return document
    first, rest = place[0], place[1:]
    if isinstance(document, dict) and isinstance(first, str) and first in document:
        if not rest:
            return {key: value for key, value in document.items() if key != first}
        inner = _without(document[first], rest)
        gone = inner == document[first]
        return _without(document, (first,)) if gone else {**document, first: inner}
    return document  # a list goes as a whole, or its items would lie elsewhere than they did
