"""A tenant's profile: what its recordings are asked, by whom, in which order, how long."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.domain.answers import Task
from shared.domain.cascade import Policy, Uncalibrated
from shared.domain.plans import ASKED
from shared.domain.synthesis import Strategy, Synthesis
from shared.domain.task_graph import NAMES, TASKS, Stage, waits_for
from shared.errors import InvalidProfile

#: Tasks asked about at once: an instance has a handful of engines, and more only wait for them.
MAX_PARALLEL = 8
#: Seconds; nothing of a recording is waited for longer than a day.
MAX_TIMEOUT_S = 86_400.0
#: Engines of one task: each one more is one more delay before a person is asked to look.
MAX_ENGINES = 8
Engines = Annotated[tuple[str, ...], Field(min_length=1, max_length=MAX_ENGINES)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
_STRICT = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class TaskPlan(BaseModel):
    """One task; what is left out is as the deployment has it."""

    model_config = _STRICT

    needs: tuple[str, ...] = Field((), description="Tasks that are finished before this begins.")
    engines: Engines | None = Field(None, description="Who is asked, first choice first.")
    required: bool | None = Field(
        None,
        description="Whether the recording fails without it. By default the transcript is"
        " required, and what is asked beside it is not.",
    )
    timeout_s: float | None = Field(
        None, gt=0.0, le=MAX_TIMEOUT_S, description="Seconds it is worked on in one attempt."
    )
    accept_at: dict[str, Share] | None = Field(
        None, description="Calibrated confidence from which an answer stands, for all or by engine."
    )
    uncalibrated: Uncalibrated | None = Field(
        None, description="What becomes of answers of engines that nobody calibrated."
    )
    min_coverage: Share | None = Field(
        None, description="Share of a segment's speech that its text must account for."
    )


class SynthesisPlan(BaseModel):
    """How one answer is made of several engines' answers."""

    model_config = _STRICT

    strategy: Strategy | None = None
    weights: dict[str, Annotated[float, Field(ge=0.0, le=1_000.0)]] | None = None
    quality: Share | None = None
    conflict_at: Share | None = None

    def over(self, base: Synthesis) -> Synthesis:
        """`base` with what is said here in its place."""
        said = {name: getattr(self, name) for name in type(self).model_fields}
        return replace(base, **{name: value for name, value in said.items() if value is not None})


class Profile(BaseModel):
    """Valid by itself; `profile_rules` says whether its tasks fit each other and the engines."""

    model_config = _STRICT

    version: Literal[1]
    parallel: int = Field(1, ge=1, le=MAX_PARALLEL, description="Tasks asked about at once.")
    tasks: dict[str, TaskPlan]
    synthesis: SynthesisPlan = SynthesisPlan()

    def canonical(self) -> str:
        """The profile in one line of JSON, without what it does not say, whoever laid it out."""
        said = self.model_dump(mode="json", exclude_defaults=True) | {"version": self.version}
        said["tasks"] = {name: said.get("tasks", {}).get(name, {}) for name in self.tasks}
        return json.dumps(said, sort_keys=True, separators=(",", ":"))

    def asked(self) -> tuple[Task, ...]:
        """What engines are asked, in the order of `plans.ASKED`."""
        return tuple(task for task in ASKED if NAMES[task] in self.tasks)

    def plan(self, task: Task) -> TaskPlan:
        return self.tasks.get(NAMES[task], NOTHING_SAID)

    def after(self, task: Task) -> frozenset[Task]:
        """The tasks that are finished before this one begins."""
        needs = frozenset(TASKS[name] for name in self.plan(task).needs if name in TASKS)
        return (needs | waits_for(task)).intersection(self.asked())

    def required(self, task: Task, engines: Mapping[Task, Sequence[str]]) -> bool:
        """Whether the attempt fails where nobody answers this; `engines` is who is asked what.

        No transcript is lost because something beside it could not be had. Where none is asked
        for, what else is asked is all there is, and is tried again.
        """
        said = self.plan(task).required
        if said is not None:
            return said
        return task is Task.TRANSCRIBE or not engines.get(Task.TRANSCRIBE)

    def decode_timeout_s(self) -> float | None:
        """Seconds until nobody waits for the decoder any more; it cuts segments on the way."""
        return self.tasks.get(Stage.DECODE, NOTHING_SAID).timeout_s

    def cascade(self, deployed: Mapping[Task, Sequence[str]]) -> dict[Task, tuple[str, ...]]:
        """Engines by task; the deployment's where the profile names none, in its order."""
        own = [task for task in self.asked() if task not in deployed and self.plan(task).engines]
        asked = [*(task for task in deployed if NAMES[task] in self.tasks), *own]
        return {task: self.plan(task).engines or tuple(deployed[task]) for task in asked}

    def policy(self, task: Task, base: Policy) -> Policy:
        """`base` with what the profile says of this task in its place."""
        plan = self.plan(task)
        bars = base.accept_at if plan.accept_at is None else {task: plan.accept_at}
        least = base.min_coverage if plan.min_coverage is None else plan.min_coverage
        return replace(
            base,
            accept_at=bars,
            uncalibrated=plan.uncalibrated or base.uncalibrated,
            min_coverage=least,
            synthesis=self.synthesis.over(base.synthesis),
        )


NOTHING_SAID = TaskPlan()
#: Of every tenant without a profile of its own: all that the deployment has engines for, one
#: task after the other.
BUILT_IN = Profile(version=1, tasks=dict.fromkeys(TASKS, NOTHING_SAID))


def stored(canonical: str) -> Profile:
    """The profile that the store keeps as one line.

    Raises:
        InvalidProfile: another version wrote it, and this one does not understand it.
    """
    try:
        return Profile.model_validate_json(canonical)
    except ValidationError as error:
        told = "The tenant's profile was saved by another version of Earwitness. Save it again:"
        raise InvalidProfile(f"{told} `earwitness tenants set NAME --profile FILE`.") from error


def digest(canonical: str) -> str:
    """Names a profile, 64 hexadecimal digits: what was heard under another one is heard anew."""
    return hashlib.sha256(canonical.encode()).hexdigest()
