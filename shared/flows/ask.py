"""per segment: [may it cost that? -> ask -> calibrate -> cover -> judge]* down the cascade, until
an answer stands -> one answer of all that were given."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pydantic import TypeAdapter

from shared.domain.agreement import agreement
from shared.domain.answers import Answer, Task
from shared.domain.cascade import Decided, Decision, Policy, Verdict, judge, weighed
from shared.domain.confidence import Calibration, Calibrations, calibrated
from shared.domain.coverage import covered
from shared.domain.grouping import Call, alone, merged, parted
from shared.domain.prices import Terms
from shared.domain.recording import Lease
from shared.domain.sound import Segment
from shared.domain.spending import Bought, Intent, PaidCall, Refusal, micros, micros_at_most
from shared.domain.synthesis import Given, better, disputed, synthesised
from shared.errors import (
    BreakerOpen,
    EarwitnessError,
    EngineDied,
    EngineUnavailable,
    InvalidSettings,
    LibraryMissing,
    PaidCallWithheld,
    WeightsRefused,
)
from shared.ports import Clock, Hearing, Spending, Tenants

ANSWER = TypeAdapter(Answer)
#: Places the words of answers, by index of their segment (`flows.align` with its aligners).
Place = Callable[[Sequence[Segment], Mapping[int, Answer]], Sequence[Decided]]
#: The figure that an aligner measures, not the engine.
ALIGNMENT = "alignment_score"
#: Ways an engine fails so that another one may still answer: it is down, died, or was refused.
FAILURES = (EngineUnavailable, EngineDied, WeightsRefused, LibraryMissing, InvalidSettings)
#: What a dead letter says where nobody else answered, and what to do about it.
WITHHELD = {
    Refusal.NOT_OPTED_IN: "costs money and the tenant has not agreed: `earwitness tenants set"
    " NAME --fallback on`.",
    Refusal.RESIDENCY: "is elsewhere and the tenant's data may not leave: name an engine of your"
    " own in the cascade, or lift it with `earwitness tenants set NAME --residency off`.",
    Refusal.OVER_BUDGET: "would cost more than is left of the tenant's day (UTC); the next one has"
    " its own `--fallback-usd-a-day`.",
    Refusal.OVER_LIMIT: "would cost more than the tenant's whole day may: raise"
    " `--fallback-usd-a-day` and replay it.",
    Refusal.UNRESOLVED: "was asked in this attempt and may have been paid; the next attempt asks.",
    Refusal.CALLED: "was asked and paid in this attempt without an answer; the next attempt asks.",
}


@dataclass(frozen=True, slots=True)
class Purse:
    """What one attempt at a recording may spend."""

    spending: Spending
    tenants: Tenants
    lease: Lease
    now: Clock
    waited_s: float = 0.0  #: in its lane, before this lease

    def hurries(self, policy: Policy) -> bool:
        """Whether the job waited longer than its lane should take, and its tenant pays for that."""
        lane = self.lease.recording.lane
        limit_s = policy.degrade_after_s.get(lane) if lane else None
        if limit_s is None or self.waited_s <= limit_s:
            return False
        tenant = self.tenants.get(self.lease.recording.tenant)
        return tenant is not None and tenant.fallback

    def intend(self, call: PaidCall) -> Intent | Bought | Refusal:
        """Commit the call before it is made, or say why it is not, or what it gave before.

        Raises:
            StaleLease: another worker has the job; nothing may be called.
        """
        tenant = self.tenants.get(self.lease.recording.tenant)
        if tenant is not None and tenant.residency:
            return Refusal.RESIDENCY
        if tenant is None or not tenant.fallback:
            return Refusal.NOT_OPTED_IN
        budget = tenant.rules.fallback_usd_a_day
        made = self.spending.intend(self.lease, call, budget, self.now())
        if made is Refusal.OVER_BUDGET and budget is not None:
            # What no day pays for is not put off to the next one.
            fits = micros_at_most(call.at_most_usd) <= micros(budget)
            return made if fits else Refusal.OVER_LIMIT
        return made

    def settle(self, intent: Intent, answer: Answer | None = None) -> None:
        """Say what the call cost, and keep its answer for whoever goes on in this attempt."""
        if answer is None:
            self.spending.settle(intent, 0.0)
        else:
            self.spending.settle(intent, answer.cost_usd, ANSWER.dump_json(answer).decode())


@dataclass(frozen=True, slots=True)
class _Step:
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

    def take(self, every: Sequence["_Open"], answers: Sequence[Answer]) -> None:
        """Judge what was answered, each about its own segment."""
        placed = self._placed(every, answers)
        for o, answer in zip(every, answers, strict=True):
            o.take(answer, self, placed.get(o.segment.index))

    def _placed(self, every: Sequence["_Open"], answers: Sequence[Answer]) -> Mapping[int, Decided]:
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
class _Open:
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

    def take(self, answer: Answer, step: _Step, placed: Decided | None = None) -> None:
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


def _reads(known: Calibration | None, figure: str) -> bool:
    """Whether confidence depends on this figure."""
    return known is not None and any(feature.name == figure for feature in known.features)


@dataclass(frozen=True, slots=True)
class Ask:
    """Down the engines, first choice first. An answer once given is never thrown away.

    An engine with `Terms` costs money: neighbouring segments share a call where its text can be
    parted, and each call is committed before it is made. It is made at most once an attempt;
    whoever died meanwhile has spent it. Segments are those of one round (`plans.ROUND_S`), so
    "more than 60 % doubtful" is counted over a round: counted over the file, every answer would
    wait for the last one, and nothing could be kept on the way.
    """

    policy: Policy = field(default_factory=Policy)
    calibrations: Calibrations = field(default_factory=Calibrations)

    @property
    def key(self) -> str:
        """Names how answers are judged: what was judged otherwise is judged anew."""
        return f"{self.policy.key}-{self.calibrations.key}"

    def __call__(
        self,
        hearing: Hearing,
        task: Task,
        segments: Sequence[Segment],
        engines: Sequence[str],
        purse: Purse | None = None,
        *,
        beside: bool = False,
        policy: Policy | None = None,
        place: Place | None = None,
    ) -> list[Decided]:
        """Settle every segment, in order. Without a purse nothing is spent.

        `place` is asked where a calibration reads how well words fit the sound; what it gave for
        the answer that stands is kept in `Decided.placed`.

        `policy` is this call's, such as a tenant's own; without one everybody's holds.

        What is asked `beside` something that stands without it fails nothing: a segment nobody
        answered gets an empty answer, and its decisions say why (`Decided.missing`).

        Safe to repeat where nothing costs; a paid call is not repeated in the same attempt.

        Raises:
            One of FAILURES: some segment has no answer from any engine, and it is not asked
                beside anything; repeating may help. Nothing was kept.
            StaleLease: the job is another worker's.
        """
        every, failures = [_Open(s) for s in segments], list[EarwitnessError | None]()
        policy = policy or self.policy
        if purse and purse.hurries(policy):
            engines = _elsewhere_first(hearing, task, engines, every)
        for left, engine in zip(reversed(range(len(engines))), engines, strict=True):
            step = _Step(hearing, task, engine, left, policy, self.calibrations, place)
            if all(o.settled for o in every):
                break
            terms = hearing.terms(engine, task)
            buy = _Purchase(hearing, step, terms, purse) if terms else None
            failures.append(buy(every) if buy else _asked(every, step))
        failure = _cause([failed for failed in failures if failed])
        found = (o.decided(failure, policy, beside=beside) for o in every)
        return sorted(found, key=lambda d: d.segment)


def _elsewhere_first(
    hearing: Hearing, task: Task, engines: Sequence[str], every: Sequence[_Open]
) -> list[str]:
    """Engines that cost money, then the others: those hold the queue up, and are still asked
    where no call is made or none is good enough. Who is passed over is noted."""
    paid = [engine for engine in engines if hearing.terms(engine, task)]
    free = [engine for engine in engines if engine not in paid]
    last = max((engines.index(engine) for engine in paid), default=-1)
    for engine in (engine for engine in free if engines.index(engine) < last):
        for o in every:
            o.note(task, engine, Verdict.ESCALATE, "degraded")
    return [*paid, *free]


def _cause(failures: Sequence[EarwitnessError]) -> EarwitnessError | None:
    """The failure that says what comes next: what another day pays for, or else the last one."""
    for failure in failures:
        if failure.context.get("reason") == Refusal.OVER_BUDGET:
            failure.context["alone"] = len(failures) == 1
            return failure
    return failures[-1] if failures else None


def _asked(every: Sequence[_Open], step: _Step) -> EarwitnessError | None:
    """Ask about all that is open; the failure, if it failed."""
    still = [o for o in every if not o.settled]
    try:
        answers = step.hearing.ask(step.engine, step.task, [o.segment for o in still])
    except FAILURES as error:
        return _blamed(still, step, error)
    step.take(still, answers)
    return None


@dataclass(frozen=True, slots=True)
class _Purchase:
    """What is open, asked of an engine that costs money."""

    hearing: Hearing
    step: _Step
    terms: Terms
    purse: Purse | None

    def __call__(self, every: Sequence[_Open]) -> EarwitnessError | None:
        """Call by call, each after its commit; the last failure, if any failed."""
        segments = [o.segment for o in every]
        doubtful = {o.segment.index for o in every if not o.settled}
        merges, longest_s = self.terms.merges, self.terms.max_call_s
        calls = merged(segments, doubtful, longest_s) if merges else alone(segments, doubtful)
        of, failure = {o.segment.index: o for o in every}, None
        for call in calls:
            failure = self._called(call, [of[s.index] for s in call.segments]) or failure
        return failure

    def _called(self, call: Call, parts: Sequence[_Open]) -> EarwitnessError | None:
        wanted = [o for o in parts if o.segment.index in call.wanted]
        at_most = self.terms.at_most_usd(call.sound.duration_s)
        # The intent first: a crash after it costs one answer, a crash before it nothing.
        intent = self._intent(parts, at_most)
        if isinstance(intent, Refusal):
            return _withheld(wanted, self.step, intent)
        try:
            answer = self._answer(intent, call)
        except FAILURES as error:
            return _blamed(wanted, self.step, error, 0.0 if _unpaid(error) else at_most)
        self.step.take(wanted, shares(answer, call, parts))
        return None

    def _answer(self, intent: Intent | Bought, call: Call) -> Answer:
        if isinstance(intent, Bought):
            return ANSWER.validate_json(intent.answer)
        assert self.purse is not None, "nothing is intended without one"
        try:
            [answer] = self.hearing.ask(self.step.engine, self.step.task, [call.sound])
        except FAILURES as error:
            if _unpaid(error):
                self.purse.settle(intent)
            raise
        self.purse.settle(intent, answer)
        return answer

    def _intent(self, parts: Sequence[_Open], at_most_usd: float) -> Intent | Bought | Refusal:
        if self.purse is None:
            return Refusal.NOT_OPTED_IN
        sent = tuple(o.segment.index for o in parts)
        return self.purse.intend(PaidCall(self.step.engine, self.step.task, sent, at_most_usd))


def shares(answer: Answer, call: Call, parts: Sequence[_Open]) -> list[Answer]:
    """The answer of a call, one for each wanted segment: text by what was heard, cost by seconds.

    What falls to a segment that was only context is left out: its own answer stands already.
    """
    if len(parts) == 1:
        return [answer]
    believed = [o.best.answer.text if o.best else "" for o in parts]
    texts = parted(answer.text, believed, [o.segment.duration_s for o in parts])
    total = sum(o.segment.duration_s for o in parts if o.segment.index in call.wanted)
    return [
        replace(
            answer,
            text=text,
            words=(),
            tokens=(),
            cost_usd=answer.cost_usd * o.segment.duration_s / total,
            seconds=answer.seconds * o.segment.duration_s / total,
        )
        for o, text in zip(parts, texts, strict=True)
        if o.segment.index in call.wanted
    ]


def _blamed(
    still: Sequence[_Open], step: _Step, error: EarwitnessError, cost_usd: float = 0.0
) -> EarwitnessError:
    error.context["engine"] = step.engine  # who is to blame, for the dead letter
    for o in still:
        o.note(
            *(step.task, step.engine, Verdict.ESCALATE, error.code),
            cost_usd=cost_usd / len(still),
        )
    return error


def _unpaid(error: EarwitnessError) -> bool:
    """An open breaker lets no call out; a refusal is not charged and says so."""
    return isinstance(error, BreakerOpen) or error.context.get("charged") is False


def _withheld(still: Sequence[_Open], step: _Step, why: Refusal) -> EarwitnessError:
    for o in still:
        o.note(step.task, step.engine, Verdict.ESCALATE, why.value)
    told = f"The engine {step.engine} {WITHHELD[why]} No other engine answered."
    return PaidCallWithheld(told, engine=step.engine, reason=why.value)
