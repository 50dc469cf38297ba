"""per call: commit what it may cost -> ask -> settle -> each segment its share of the answer."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from shared.domain.answers import Answer
from shared.domain.cascade import Verdict
from shared.domain.grouping import Call, alone, merged, parted
from shared.domain.prices import Terms
from shared.domain.spending import Bought, Intent, PaidCall, Refusal
from shared.errors import BreakerOpen, EarwitnessError, PaidCallWithheld
from shared.flows.purse import ANSWER, Purse
from shared.flows.turns import FAILURES, Open, Step, blamed
from shared.ports import Hearing

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
class Purchase:
    """What is open, asked of an engine that costs money."""

    hearing: Hearing
    step: Step
    terms: Terms
    purse: Purse | None

    def __call__(self, every: Sequence[Open]) -> EarwitnessError | None:
        """Call by call, each after its commit; the last failure, if any failed."""
        segments = [o.segment for o in every]
        doubtful = {o.segment.index for o in every if not o.settled}
        merges, longest_s = self.terms.merges, self.terms.max_call_s
        calls = merged(segments, doubtful, longest_s) if merges else alone(segments, doubtful)
        of, failure = {o.segment.index: o for o in every}, None
        for call in calls:
            failure = self._called(call, [of[s.index] for s in call.segments]) or failure
        return failure

    def _called(self, call: Call, parts: Sequence[Open]) -> EarwitnessError | None:
        wanted = [o for o in parts if o.segment.index in call.wanted]
        at_most = self.terms.at_most_usd(call.sound.duration_s)
        # The intent first: a crash after it costs one answer, a crash before it nothing.
        intent = self._intent(parts, at_most)
        if isinstance(intent, Refusal):
            return _withheld(wanted, self.step, intent)
        try:
            answer = self._answer(intent, call)
        except FAILURES as error:
            return blamed(wanted, self.step, error, 0.0 if _unpaid(error) else at_most)
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

    def _intent(self, parts: Sequence[Open], at_most_usd: float) -> Intent | Bought | Refusal:
        if self.purse is None:
            return Refusal.NOT_OPTED_IN
        sent = tuple(o.segment.index for o in parts)
        return self.purse.intend(PaidCall(self.step.engine, self.step.task, sent, at_most_usd))


def shares(answer: Answer, call: Call, parts: Sequence[Open]) -> list[Answer]:
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


def _unpaid(error: EarwitnessError) -> bool:
    """An open breaker lets no call out; a refusal is not charged and says so."""
    return isinstance(error, BreakerOpen) or error.context.get("charged") is False


def _withheld(still: Sequence[Open], step: Step, why: Refusal) -> EarwitnessError:
    for o in still:
        o.note(step.task, step.engine, Verdict.ESCALATE, why.value)
    told = f"The engine {step.engine} {WITHHELD[why]} No other engine answered."
    return PaidCallWithheld(told, engine=step.engine, reason=why.value)
