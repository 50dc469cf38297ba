"""One engine's turn at the segments that are open: its answers weighed, each judged by itself."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from shared.domain.agreement import agreement
from shared.domain.answers import Answer, Task
from shared.domain.cascade import Decided, Decision, Policy, Verdict, judge, weighed
from shared.domain.confidence import Calibration, Calibrations, calibrated
from shared.domain.coverage import covered
from shared.domain.sound import Segment
from shared.domain.synthesis import Given, better, disputed, synthesised
from shared.errors import (
    EarwitnessError,
    EngineDied,
    EngineUnavailable,
    InvalidSettings,
    LibraryMissing,
    WeightsRefused,
)
from shared.ports import Hearing

#: Places the words of answers, by index of their segment (`flows.align` with its aligners).
Place = Callable[[Sequence[Segment], Mapping[int, Answer]], Sequence[Decided]]
#: The figure that an aligner measures, not the engine.
ALIGNMENT = "alignment_score"
#: Ways an engine fails so that another one may still answer: it is down, died, or was refused.
FAILURES = (EngineUnavailable, EngineDied, WeightsRefused, LibraryMissing, InvalidSettings)


@dataclass(frozen=True, slots=True)
class Step:
    """One engine's turn."""

    hearing: Hearing
    task: Task
    engine: str
    engines_left: int
    policy: Policy
    calibrations: Calibrations
    place: Place | None

    def known(self, answer: Answer) -> Calibration | None:
        return self.calibrations.of(self.hearing.identity(self.engine), self.task, answer.language)

    def take(self, every: Sequence["Open"], answers: Sequence[Answer]) -> None:
        """Judge what was answered, each about its own segment."""
        placed = self._placed(every, answers)
        for o, answer in zip(every, answers, strict=True):
            o.take(answer, self, placed.get(o.segment.index))

    def _placed(self, every: Sequence["Open"], answers: Sequence[Answer]) -> Mapping[int, Decided]:
        """Where the words lie whose confidence depends on how well they fit; one call for all."""
        if self.place is None:
            return {}
        said = {
            o.segment.index: answer
            for o, answer in zip(every, answers, strict=True)
            if ALIGNMENT not in answer.signals and _reads(self.known(answer), ALIGNMENT)
        }
        segments = [o.segment for o in every if o.segment.index in said]
        return {d.segment: d for d in self.place(segments, said)} if said else {}

    def measured(self, answer: Answer, segment: Segment, other: Given | None) -> Given:
        """What the answer is judged by: what is known of its confidence, and what it covers.

        `other` is the best that another engine said of the segment. An answer without a
        calibration loses its confidence here; what the engine said of itself stays in `signals`.
        """
        transcript = self.task is Task.TRANSCRIBE
        if other and transcript:
            agreed = agreement(answer.text, other.answer.text)
            answer = replace(answer, signals={**answer.signals, "agreement": agreed})
        known = self.known(answer)
        share = covered(answer, segment, self.hearing.survey) if transcript else None
        digest = known.digest if known else None
        return weighed(Given(calibrated(answer, known), share, digest), self.policy)


@dataclass(slots=True)
class Open:
    """A segment, what was said of it, and whether that stands."""

    segment: Segment
    given: list[Given] = field(default_factory=list)  #: what may stand
    told: list[Answer] = field(default_factory=list)  #: what is kept for the reader, too
    placed: dict[str, Decided] = field(default_factory=dict)  #: by engine that wrote the words
    best: Given | None = None
    settled: bool = False
    decisions: list[Decision] = field(default_factory=list)

    def note(self, task: Task, engine: str, verdict: Verdict, reason: str, **more: object) -> None:
        self.decisions.append(
            Decision(self.segment.index, task, engine, verdict, reason, **more)  # type: ignore[arg-type]  # its own fields
        )

    def judged(self, given: Given, verdict: Verdict, reason: str, cost_usd: float = 0.0) -> None:
        answer = given.answer
        self.note(
            *(answer.task, answer.engine, verdict, reason),
            confidence=given.confidence,
            calibrated=answer.calibrated,
            cost_usd=cost_usd,
            coverage=given.coverage,
            calibration=given.calibration,
        )

    def take(self, answer: Answer, step: Step, placed: Decided | None = None) -> None:
        """Judge an answer; all are kept, and the best one in case that none is accepted."""
        if placed:
            self.placed[answer.engine] = placed
            answer = replace(answer, signals={**answer.signals, **placed.answer.signals})
        given = step.measured(answer, self.segment, self.best)
        self.told.append(replace(given.answer, embedding=None, tokens=()))
        mute = answer.task is Task.TRANSCRIBE and not answer.text and given.confidence is None
        if mute and self.best and self.best.answer.text:
            # Silence against words is a contradiction, not a better answer: a person looks.
            self.judged(given, Verdict.ESCALATE, "no_words", answer.cost_usd)
            return
        verdict, reason = judge(given, step.engines_left, step.policy)
        self.judged(given, verdict, reason, answer.cost_usd)
        given = replace(given, accepted=verdict is Verdict.ACCEPT)
        self.given.append(given)
        self.best = given if given.accepted else better(self.best, given)
        self.settled = verdict is not Verdict.ESCALATE

    def decided(self, failure: EarwitnessError | None, policy: Policy, *, beside: bool) -> Decided:
        """What stands; an answer nobody accepted stands for review.

        Raises:
            The failure, where there is no answer and what is asked is not beside another.
        """
        if self.best is None:
            if not (beside and self.decisions):
                raise failure or EngineUnavailable("No engine is set for this task.")
            last = self.decisions[-1]
            return Decided(last.segment, Answer(last.engine, last.task), tuple(self.decisions))
        stands = synthesised(self.given, policy.synthesis)
        if not self.settled:
            self.judged(stands, Verdict.REVIEW, self.decisions[-1].reason)
        elif stands.answer.engine != self.given[-1].answer.engine:
            self.judged(stands, self.decisions[-1].verdict, policy.synthesis.strategy.value)
        return Decided(
            self.segment.index,
            stands.answer,
            tuple(self.decisions),
            tuple(self.told) if len(self.told) > 1 else (),
            disputed(self.given, stands, policy.synthesis),
            self.placed.get(stands.answer.engine),
        )


def blamed(
    still: Sequence[Open], step: Step, error: EarwitnessError, cost_usd: float = 0.0
) -> EarwitnessError:
    error.context["engine"] = step.engine  # who is to blame, for the dead letter
    for o in still:
        o.note(
            *(step.task, step.engine, Verdict.ESCALATE, error.code),
            cost_usd=cost_usd / len(still),
        )
    return error


def _reads(known: Calibration | None, figure: str) -> bool:
    """Whether confidence depends on this figure."""
    return known is not None and any(feature.name == figure for feature in known.features)
