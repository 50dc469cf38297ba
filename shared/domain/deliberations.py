"""`decisions.json` beside a result: what each engine said, what it was worth, what followed."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.domain.answers import Answer, Task
from shared.domain.cascade import Decided, Decision, Verdict
from shared.domain.plans import planned
from shared.domain.questions import number_of
from shared.domain.shares import share
from shared.domain.sound import Segment, Survey

#: The file's name, beside result.json.
DECISIONS = "decisions.json"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", serialize_by_alias=True)


class Opinion(_Part):
    """One step of the cascade, with what the engine said; nothing where it gave no answer."""

    engine: str
    verdict: Verdict
    reason: str
    confidence: float | None = None
    calibrated: bool = False
    calibration: str | None = None
    coverage: float | None = None
    cost_usd: float = 0.0
    text: str | None = None
    language: str | None = None
    signals: Mapping[str, float] = Field(default_factory=dict)
    seconds: float = 0.0
    cautions: tuple[str, ...] = ()


class Deliberation(_Part):
    """How the answer of one segment came to stand."""

    task: Task
    segment: int
    question: int | None = None
    channel: int | None
    start_s: float
    end_s: float
    engine: str
    text: str
    steps: tuple[Opinion, ...]


class Deliberations(_Part):
    """All of a recording, by task, in the order of segments."""

    schema_: Literal["earwitness.decisions/v1"] = Field(
        default="earwitness.decisions/v1", alias="schema"
    )
    segments: tuple[Deliberation, ...] = ()


def deliberations(survey: Survey, heard: Mapping[Task, Sequence[Decided]]) -> Deliberations:
    """Everything that was said and decided; pure, like the result it stands beside."""
    return Deliberations(segments=tuple(_each(survey, heard)))


def _each(survey: Survey, heard: Mapping[Task, Sequence[Decided]]) -> Iterator[Deliberation]:
    for task, many in heard.items():
        plan = {s.index: s for s in planned(survey, task)}
        for decided in sorted(many, key=lambda d: d.segment):
            yield _deliberation(task, decided, plan[decided.segment])


def _deliberation(task: Task, decided: Decided, cut: Segment) -> Deliberation:
    return Deliberation(
        task=task,
        segment=decided.segment,
        question=number_of(decided.segment) if task is Task.ANSWER else None,
        channel=cut.channel,
        start_s=round(cut.start_s, 3),
        end_s=round(cut.end_s, 3),
        engine=decided.answer.engine,
        text=decided.answer.text,
        steps=tuple(_opinions(decided)),
    )


def _opinions(decided: Decided) -> Iterator[Opinion]:
    """Answers stand in the order of their steps; a step without one in between has none."""
    left = list(decided.given)
    for step in decided.decisions:
        mine = bool(left) and left[0].engine == step.engine
        yield _opinion(step, left.pop(0) if mine else None)


def _opinion(step: Decision, answer: Answer | None) -> Opinion:
    said = answer or Answer(step.engine, step.task)
    return Opinion(
        engine=step.engine,
        verdict=step.verdict,
        reason=step.reason,
        confidence=share(step.confidence),
        calibrated=step.calibrated,
        calibration=step.calibration,
        coverage=share(step.coverage),
        cost_usd=step.cost_usd,
        text=answer and answer.text,
        language=said.language,
        signals=said.signals,
        seconds=round(said.seconds, 4),
        cautions=said.cautions,
    )


def written(document: Deliberations) -> bytes:
    """The file, UTF-8 JSON."""
    return document.model_dump_json(indent=1).encode() + b"\n"


def read(document: bytes | str) -> Deliberations:
    """What a file holds, also one of a later release: keys unknown here are ignored.

    Raises:
        pydantic.ValidationError: this is no such document.
    """
    return Deliberations.model_validate_json(document)
