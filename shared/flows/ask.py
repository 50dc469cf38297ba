"""per segment: [may it cost that? -> ask -> calibrate -> cover -> judge]* down the cascade, until
an answer stands -> one answer of all that were given."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from shared.domain.answers import Task
from shared.domain.cascade import Decided, Policy, Verdict
from shared.domain.confidence import Calibrations
from shared.domain.sound import Segment
from shared.domain.spending import Refusal
from shared.errors import EarwitnessError
from shared.flows.purchase import Purchase
from shared.flows.purse import Purse
from shared.flows.turns import FAILURES, Open, Place, Step, blamed
from shared.ports import Hearing


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
    #: Names how answers are judged: what was judged otherwise is judged anew.
    key: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", f"{self.policy.key}-{self.calibrations.key}")

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
            One of `turns.FAILURES`: some segment has no answer from any engine, and it is not asked
                beside anything; repeating may help. Nothing was kept.
            StaleLease: the job is another worker's.
        """
        every, failures = [Open(s) for s in segments], list[EarwitnessError | None]()
        policy = policy or self.policy
        if purse and purse.hurries(policy):
            engines = _elsewhere_first(hearing, task, engines, every)
        for left, engine in zip(reversed(range(len(engines))), engines, strict=True):
            step = Step(hearing, task, engine, left, policy, self.calibrations, place)
            if all(o.settled for o in every):
                break
            terms = hearing.terms(engine, task)
            buy = Purchase(hearing, step, terms, purse) if terms else None
            failures.append(buy(every) if buy else _asked(every, step))
        failure = _cause([failed for failed in failures if failed])
        found = (o.decided(failure, policy, beside=beside) for o in every)
        return sorted(found, key=lambda d: d.segment)


def _elsewhere_first(
    hearing: Hearing, task: Task, engines: Sequence[str], every: Sequence[Open]
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


def _asked(every: Sequence[Open], step: Step) -> EarwitnessError | None:
    """Ask about all that is open; the failure, if it failed."""
    still = [o for o in every if not o.settled]
    try:
        answers = step.hearing.ask(step.engine, step.task, [o.segment for o in still])
    except FAILURES as error:
        return blamed(still, step, error)
    step.take(still, answers)
    return None
