"""Is this answer good enough? One verdict per segment, task and engine."""

from dataclasses import dataclass
from enum import StrEnum

from shared.domain.answers import Answer, Task

#: DESIGN section 10: the seeds' 0.80 holds for a calibrated confidence, never for a raw one.
ACCEPT_AT = 0.80


class Verdict(StrEnum):
    ACCEPT = "accept"
    ESCALATE = "escalate"  #: the next engine answers instead
    REVIEW = "review"  #: no engine is left; the best answer is kept and a person looks


class Uncalibrated(StrEnum):
    """What to do with an engine that nobody calibrated; 0.80 never meets a raw score."""

    ACCEPT_AND_MARK = "accept-and-mark"
    ESCALATE = "escalate"
    REVIEW = "review"


@dataclass(frozen=True, slots=True)
class Decision:
    """One step of the cascade, kept for the reader of the result."""

    segment: int
    task: Task
    engine: str
    verdict: Verdict
    reason: str  #: confident, uncalibrated, low_confidence, a Refusal, or the code of a failure
    confidence: float | None = None
    calibrated: bool = False
    cost_usd: float = 0.0  #: what this step cost, or may have


@dataclass(frozen=True, slots=True)
class Decided:
    """The answer that stands for one segment, and how it came to stand."""

    segment: int
    answer: Answer
    decisions: tuple[Decision, ...]

    @property
    def review(self) -> bool:
        return self.decisions[-1].verdict is Verdict.REVIEW

    @property
    def missing(self) -> bool:
        """Nobody answered and nobody is left; the recording stands without it."""
        return self.decisions[-1].verdict is Verdict.ESCALATE


def judge(
    answer: Answer,
    engines_left: int,
    *,
    accept_at: float = ACCEPT_AT,
    uncalibrated: Uncalibrated = Uncalibrated.ACCEPT_AND_MARK,
) -> tuple[Verdict, str]:
    """Decide what happens to `answer`, and name the reason."""
    if not answer.calibrated or answer.confidence is None:
        if uncalibrated is Uncalibrated.ACCEPT_AND_MARK:
            return Verdict.ACCEPT, "uncalibrated"
        if uncalibrated is Uncalibrated.REVIEW or not engines_left:
            return Verdict.REVIEW, "uncalibrated"
        return Verdict.ESCALATE, "uncalibrated"
    if answer.confidence >= accept_at:
        return Verdict.ACCEPT, "confident"
    return (Verdict.ESCALATE if engines_left else Verdict.REVIEW), "low_confidence"


def better(one: Answer | None, other: Answer) -> Answer:
    """The answer to keep when none was accepted: the more confident, the later on a tie."""
    if one is None or (other.confidence or 0.0) >= (one.confidence or 0.0):
        return other
    return one
