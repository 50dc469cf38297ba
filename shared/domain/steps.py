"""Every step of the cascade, as the result tells it."""

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
                    start_s=round(cut.start_s, 3),
                    end_s=round(cut.end_s, 3),
                )
