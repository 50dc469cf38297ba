"""Every step of the cascade and every conflict, as the result tells them."""

from collections.abc import Iterable, Mapping, Sequence

from shared.domain import result as r
from shared.domain.answers import Task
from shared.domain.cascade import Decided
from shared.domain.plans import planned
from shared.domain.questions import number_of
from shared.domain.shares import share
from shared.domain.sound import Survey


def steps(survey: Survey, heard: Mapping[Task, Sequence[Decided]]) -> Iterable[r.Step]:
    for task, many in heard.items():
        plan = {s.index: s for s in planned(survey, task)}
        for decided in sorted(many, key=lambda d: d.segment):
            cut = plan[decided.segment]
            for step in decided.decisions:
                yield r.Step(
                    segment=step.segment,
                    channel=cut.channel,
                    task=task,
                    question=number_of(step.segment) if task is Task.ANSWER else None,
                    engine=step.engine,
                    verdict=step.verdict,
                    reason=step.reason,
                    confidence=share(step.confidence),
                    calibrated=step.calibrated,
                    coverage=share(step.coverage),
                    cost_usd=step.cost_usd,
                    start_s=round(cut.start_s, 3),
                    end_s=round(cut.end_s, 3),
                )


def conflicts(survey: Survey, said: Sequence[Decided]) -> Iterable[r.Conflict]:
    """Where two engines were sure of different words, in the order of time."""
    plan = {s.index: s for s in survey.speech}
    disputed = [(plan[d.segment], d) for d in said if d.disputed]
    for cut, decided in sorted(disputed, key=lambda one: (one[0].start_s, one[0].index)):
        texts = {a.engine: a.text for a in decided.given}
        yield r.Conflict(
            start_s=round(cut.start_s, 3),
            end_s=round(cut.end_s, 3),
            channel=cut.channel,
            engines=decided.disputed,
            texts=tuple(texts[engine] for engine in decided.disputed),
        )
