"""Is this answer good enough? One verdict per segment, task and engine."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum

from shared.domain.answers import Answer, Task
from shared.domain.synthesis import Synthesis

#: DESIGN section 10: the seeds' 0.80 holds for a calibrated confidence, never for a raw one.
ACCEPT_AT = 0.80
#: Share of a segment's seconds of speech an answer must account for (DESIGN section 4, goal A1).
MIN_COVERAGE = 0.99
#: Stands for every engine of a task in `Policy.accept_at`.
EVERY = "*"


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
class Policy:
    """When an answer stands, and what is made of several; a tenant's profile may bring its own.

    `accept_at` is by task and engine (or `EVERY`) and meets calibrated confidences only: those
    of different engines compare once they are probabilities, yet what a mistake costs differs.
    """

    accept_at: Mapping[Task, Mapping[str, float]] = field(default_factory=dict)
    uncalibrated: Uncalibrated = Uncalibrated.ACCEPT_AND_MARK
    min_coverage: float = MIN_COVERAGE
    #: By lane: seconds a job may wait in it; after that engines that cost money go first, if the
    #: tenant has agreed to them. A lane left out never does so: that spends a tenant's money
    #: because our queue is long, so somebody has to ask for it.
    degrade_after_s: Mapping[str, float] = field(default_factory=dict)
    synthesis: Synthesis = field(default_factory=Synthesis)

    def accepts_at(self, task: Task, engine: str) -> float:
        """The calibrated confidence from which this engine's answer stands."""
        bars = self.accept_at.get(task, {})
        return bars.get(engine, bars.get(EVERY, ACCEPT_AT))

    @property
    def key(self) -> str:
        """Names all of it: what was judged under another policy is judged anew."""
        document = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(document.encode()).hexdigest()[:16]


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
    answer: Answer, engines_left: int, policy: Policy, coverage: float | None = None
) -> tuple[Verdict, str]:
    """Decide what happens to `answer`, and name the reason.

    Words that are missing come first: an engine can be sure of all it wrote and yet have left
    out a sentence. `coverage` None was not measured (the task writes no words).
    """
    onward = Verdict.ESCALATE if engines_left else Verdict.REVIEW
    if coverage is not None and coverage < policy.min_coverage:
        return onward, "coverage"
    if not answer.calibrated or answer.confidence is None:
        if policy.uncalibrated is Uncalibrated.ACCEPT_AND_MARK:
            return Verdict.ACCEPT, "uncalibrated"
        asks = policy.uncalibrated is Uncalibrated.ESCALATE
        return (onward if asks else Verdict.REVIEW), "uncalibrated"
    if answer.confidence >= policy.accepts_at(answer.task, answer.engine):
        return Verdict.ACCEPT, "confident"
    return onward, "low_confidence"


def better(one: Answer | None, other: Answer) -> Answer:
    """The answer to keep when none was accepted: the more confident, the later on a tie."""
    if one is None or (other.confidence or 0.0) >= (one.confidence or 0.0):
        return other
    return one
