"""per segment: [ask -> judge]* down the cascade, until an answer stands."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from shared.domain.answers import Answer, Task
from shared.domain.cascade import Decided, Decision, Uncalibrated, Verdict, better, judge
from shared.domain.sound import Segment
from shared.errors import EarwitnessError, EngineDied, EngineUnavailable
from shared.ports import Hearing


@dataclass(slots=True)
class _Open:
    """A segment nobody has settled yet."""

    segment: Segment
    best: Answer | None = None
    decisions: list[Decision] = field(default_factory=list)

    def note(
        self, task: Task, engine: str, verdict: Verdict, reason: str, a: Answer | None
    ) -> None:
        confidence, calibrated = (a.confidence, a.calibrated) if a else (None, False)
        step = Decision(self.segment.index, task, engine, verdict, reason, confidence, calibrated)
        self.decisions.append(step)

    def settled(self, answer: Answer) -> Decided:
        return Decided(self.segment.index, answer, tuple(self.decisions))


@dataclass(frozen=True, slots=True)
class Ask:
    """Down the engines, first choice first. An answer once given is never thrown away."""

    uncalibrated: Uncalibrated = Uncalibrated.ACCEPT_AND_MARK

    def __call__(
        self, hearing: Hearing, task: Task, segments: Sequence[Segment], engines: Sequence[str]
    ) -> list[Decided]:
        """Settle every segment, in order.

        Raises:
            EngineUnavailable, EngineDied: some segment has no answer from any engine;
                repeating may help. Nothing was kept.
        """
        still, done = [_Open(s) for s in segments], list[Decided]()
        failure: EarwitnessError | None = None
        for left, engine in zip(reversed(range(len(engines))), engines, strict=True):
            if not still:
                break
            try:
                answers = hearing.ask(engine, task, [o.segment for o in still])
            except (EngineUnavailable, EngineDied) as error:
                error.context["engine"] = engine  # who is to blame, for the dead letter
                failure = error
                for o in still:
                    o.note(task, engine, Verdict.ESCALATE, error.code, None)
                continue
            pairs = list(zip(still, answers, strict=True))
            still = [o for o, a in pairs if not self._stands(done, o, a, task, engine, left)]
        done += _kept(still, task, failure)
        return sorted(done, key=lambda d: d.segment)

    def _stands(
        self, done: list[Decided], o: _Open, answer: Answer, task: Task, engine: str, left: int
    ) -> bool:
        verdict, reason = judge(answer, left, uncalibrated=self.uncalibrated)
        o.note(task, engine, verdict, reason, answer)
        o.best = better(o.best, answer)
        if verdict is Verdict.ESCALATE:
            return False
        done.append(o.settled(answer if verdict is Verdict.ACCEPT else o.best))
        return True


def _kept(still: Sequence[_Open], task: Task, failure: EarwitnessError | None) -> list[Decided]:
    """Segments whose last engines failed: the best answer given stands, for review."""
    kept = []
    for o in still:
        if o.best is None:
            raise failure or EngineUnavailable("No engine is set for this task.", task=task.value)
        reason = failure.code if failure else "low_confidence"
        o.note(task, o.best.engine, Verdict.REVIEW, reason, o.best)
        kept.append(o.settled(o.best))
    return kept
