"""Is this answer good enough? One verdict per segment, task and engine."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum

from shared.domain.answers import Answer, Task
from shared.domain.synthesis import Given, Synthesis

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

    def taking(self, task: Task, engine: str) -> "Policy":
        """For whoever named this engine and wants its answer, whatever that is worth: another one
        is asked only where it fails.
        """
        bars = {**self.accept_at.get(task, {}), engine: 0.0}
        return replace(
            self,
            accept_at={**self.accept_at, task: bars},
            min_coverage=0.0,
            uncalibrated=Uncalibrated.ACCEPT_AND_MARK,
        )

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
    #: confident, uncalibrated, low_confidence, coverage, no_words, degraded, a Refusal, the code
    #: of a failure; or the synthesis's strategy, where that chose another answer than the last
    reason: str
    confidence: float | None = None
    calibrated: bool = False
    cost_usd: float = 0.0  #: what this step cost, or may have
    coverage: float | None = None  #: share of the spoken seconds that the words account for
    calibration: str | None = None  #: digest of the file the confidence comes from


@dataclass(frozen=True, slots=True)
class Decided:
    """The answer that stands for one segment, and how it came to stand."""

    segment: int
    answer: Answer
    decisions: tuple[Decision, ...]
    #: Every answer, in the order they were given, without its embedding and its tokens; empty
    #: where there was one alone.
    answers: tuple[Answer, ...] = ()
    #: Engines that were sure and said different things, the one that was believed first.
    disputed: tuple[str, ...] = ()
    #: Where an aligner placed the words already, because the calibration asks how well they fit.
    placed: "Decided | None" = None

    @property
    def given(self) -> tuple[Answer, ...]:
        """Every answer, in the order they were given."""
        return self.answers or (() if self.missing else (self.answer,))

    @property
    def review(self) -> bool:
        return self.decisions[-1].verdict is Verdict.REVIEW

    @property
    def missing(self) -> bool:
        """Nobody answered and nobody is left; the recording stands without it."""
        return self.decisions[-1].verdict is Verdict.ESCALATE


def judge(given: Given, engines_left: int, policy: Policy) -> tuple[Verdict, str]:
    """Decide what happens to an answer, and name the reason.

    Words that are missing come first: an engine can be sure of all it wrote and yet have left
    out a sentence. A coverage of None was not measured: the task writes no words.
    """
    onward = Verdict.ESCALATE if engines_left else Verdict.REVIEW
    if given.coverage is not None and given.coverage < policy.min_coverage:
        return onward, "coverage"
    if given.confidence is None:
        if policy.uncalibrated is Uncalibrated.ACCEPT_AND_MARK:
            return Verdict.ACCEPT, "uncalibrated"
        asks = policy.uncalibrated is Uncalibrated.ESCALATE
        return (onward if asks else Verdict.REVIEW), "uncalibrated"
    return (Verdict.ACCEPT, "confident") if given.sure else (onward, "low_confidence")


def weighed(given: Given, policy: Policy) -> Given:
    """The answer held against its engine's threshold; what nobody calibrated meets none."""
    bar = policy.accepts_at(given.answer.task, given.answer.engine)
    return replace(given, sure=given.confidence is not None and given.confidence >= bar)
