"""ticket -> lease -> read -> decode -> segments -> [tasks of the profile] -> testify -> results
under the token -> complete -> publish outbox."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import BinaryIO

from shared.domain.answers import Task
from shared.domain.attempts import failing, waited_s
from shared.domain.cascade import Decided
from shared.domain.deliberations import DECISIONS, deliberations, written
from shared.domain.features import files, pooled
from shared.domain.lanes import Lane
from shared.domain.long_term import planned
from shared.domain.measured import measurements
from shared.domain.placement import capped
from shared.domain.profiles import BUILT_IN, digest, stored
from shared.domain.quotas import next_midnight
from shared.domain.recording import Failure, Lease, Message, Outcome, Recording
from shared.domain.result import Result, read
from shared.domain.retry import MAX_ATTEMPTS, Again, after_failure
from shared.domain.reuse import allowed, answer_key, referred, reusable, reused
from shared.domain.sound import Limits, Survey
from shared.domain.spending import Refusal
from shared.domain.task_graph import Stage
from shared.domain.tenants import Tenant, Tier
from shared.domain.testimony import Testimony, outcome, rendered, testify
from shared.domain.word_times import with_times
from shared.errors import (
    OUTAGE,
    EarwitnessError,
    ErasedBefore,
    InvalidWish,
    Layer,
    NotFound,
    OutOfMemory,
    RefusedAudio,
    StaleLease,
)
from shared.flows.align import Align
from shared.flows.ask import Ask
from shared.flows.grip import Grip, Term
from shared.flows.hearing import Hear, Job, Order
from shared.flows.publish import PublishOutbox
from shared.flows.purse import Purse
from shared.logs import about, say
from shared.ports import (
    Chance,
    Clock,
    Ears,
    Erasures,
    Hearing,
    Jobs,
    Meter,
    Recordings,
    Results,
    Spending,
    Tenants,
    Uploads,
)
from shared.spans import Attributes, span, traceparent

log = logging.getLogger("earwitness.work")

#: Seconds until a job that was given back (store or disk in trouble) is tried again.
GIVE_BACK_S = 5.0
#: This attempt made the call before, and it brought no answer.
MADE_BEFORE = (Refusal.UNRESOLVED, Refusal.CALLED)


class Settled(StrEnum):
    """What became of one ticket."""

    NOTHING = "nothing"  #: no job was ready: ack
    DONE = "done"
    REJECTED = "rejected"
    HANDED_OVER = "handed_over"  #: time is up or somebody more urgent waits; rung again
    LOST = "lost"  #: another worker has the job; nothing was written
    FAILED = "failed"  #: this attempt failed; the ticket's redelivery is the retry
    DEFERRED = "deferred"  #: today's budget is used up; it goes on when the next day begins
    DEAD = "dead"  #: that was the last attempt


@dataclass(frozen=True, slots=True)
class Work:
    """One ticket's worth of work; built once per process, called by many threads.

    Safe to repeat: whoever holds the newest token writes, everybody else writes nothing.
    """

    tenants: Tenants
    recordings: Recordings
    jobs: Jobs
    uploads: Uploads
    results: Results
    publish: PublishOutbox
    erasures: Erasures  #: knows which content was erased on request
    ears: Ears
    ask: Ask
    cascade: dict[Task, tuple[str, ...]]
    worker: str
    now: Clock
    chance: Chance
    lease_s: float = 60.0
    ticket_s: float = 480.0
    retry_base_s: float = 2.0
    align: Align = field(default_factory=Align)
    spending: Spending | None = None  #: without it, nothing that costs is asked
    max_seconds: float | None = None
    archive_after_days: int | None = None  #: when originals are compressed that are kept long
    meter: Meter | None = None
    grips: dict[str, Grip] = field(default_factory=dict)  #: of the jobs in work now

    def held(self) -> list[Lease]:
        """The leases this process holds now."""
        return [grip.lease for grip in list(self.grips.values())]

    def __call__(
        self, lanes: Sequence[Lane], yields: Callable[[Lane], bool] = lambda _: False
    ) -> Settled:
        """Lease the fairest ready job of `lanes` and hear it.

        `yields` is asked between segments whether a job of this lane should make room.

        Raises:
            StoreUnavailable, DiskFull: nothing could be recorded; the lease runs out.
            Exception: a failure nobody foresaw; the attempt and its cause are recorded.
        """
        lease = self.jobs.lease_next(lanes, self.worker, self.now(), self.lease_s)
        if lease is None:
            return Settled.NOTHING
        grip = self.grips[lease.recording.id] = Grip(self.jobs, lease, self.now, self.lease_s)
        try:
            with about(lease.recording.id), _span_of(lease):
                return self._settle(grip, yields)
        except StaleLease as lost:
            say(log, lost)
            return Settled.LOST
        finally:
            self.grips.pop(lease.recording.id, None)

    def _settle(self, grip: Grip, yields: Callable[[Lane], bool]) -> Settled:
        lease = grip.lease
        try:
            return self._hear(grip, yields)
        except StaleLease:
            raise
        except (RefusedAudio, NotFound) as refusal:
            self.jobs.reject(lease, Failure(refusal.code, str(refusal)), self.now())
            self._publish(lease.recording.id)
            return Settled.REJECTED
        except EarwitnessError as error:
            return self._failed(lease, error)
        except Exception as error:
            # Recorded, so that the dead letter has its cause; then as loud as it came.
            self._fail(lease, Failure("unforeseen", f"{type(error).__name__}: see the log."))
            raise

    def _failed(self, lease: Lease, error: EarwitnessError) -> Settled:
        cause = self._cause(lease, error)
        say(log, error)
        if _waits_for_tomorrow(lease, error):
            now = self.now()
            self.jobs.defer(lease, cause, next_midnight(now), now)
            self._publish(lease.recording.id)
            return Settled.DEFERRED
        around = error.layer in (Layer.CONTEXT, Layer.RESOURCE) or OUTAGE in error.context
        # Memory that this very sound needs does not come back by waiting.
        if around and not isinstance(error, OutOfMemory):
            # The fault lies around the work, not in the sound: no attempt is spent.
            again = self.now() + timedelta(seconds=GIVE_BACK_S)
            self.jobs.give_back(lease, cause, again, self.now())
            return Settled.FAILED
        return self._fail(lease, cause)

    def _cause(self, lease: Lease, error: EarwitnessError) -> Failure:
        """The error; where it only says that a call was not made again, how that call failed."""
        blamed = error.context.get("engine")
        cause = Failure(error.code, str(error), str(blamed) if blamed else None)
        if cause.engine is None or error.context.get("reason") not in MADE_BEFORE:
            return cause
        history = self.recordings.history(lease.recording.id)
        return failing(history, lease.attempt, cause.engine) or cause

    def _fail(self, lease: Lease, cause: Failure) -> Settled:
        now = self.now()
        step = after_failure(lease.attempt, self.chance(), self.retry_base_s)
        until = now + timedelta(seconds=step.after_s) if isinstance(step, Again) else None
        self.jobs.fail(lease, cause, until, now)
        if until is not None:
            return Settled.FAILED
        self._publish(lease.recording.id)
        return Settled.DEAD

    def _hear(self, grip: Grip, yields: Callable[[Lane], bool]) -> Settled:
        begun, known = self.now(), grip.lease.recording
        tenant = self.tenants.get(known.tenant) or Tenant(known.tenant, Tier.FREE, begun)
        limits = capped(tenant.limits, self.max_seconds)
        order = self._order(known, tenant)
        with self.uploads.fetch(known.name, known.generation) as fetched:
            self._check_erased(known, fetched.sha256, begun)
            key = self._answer_key(known, fetched.sha256, order)
            if (answered := self._answered(known, key, limits)) is not None:
                return self._reuse(grip, *answered, key)
            with self._opened(grip, fetched.file, limits, order) as hearing:
                surveyed = self.now()
                hear = Hear(self.jobs, self.ask, self.align, self.now)
                job = Job(hearing, order, grip, self._purse(grip.lease))
                heard = hear(job, lambda: self._should_stop(grip.lease, begun, yields))
                survey = hearing.survey
        if heard is None:
            self.jobs.hand_over(grip.lease, self.now())
            self._publish(known.id)
            return Settled.HANDED_OVER
        at = (begun, surveyed, self.now())
        testimony = self._testimony(grip.lease, survey, heard, fetched.sha256, at, order)
        return self._complete(grip, testimony, key)

    @contextmanager
    def _opened(
        self, grip: Grip, sound: BinaryIO, limits: Limits, order: Order
    ) -> Iterator[Hearing]:
        known, limit_s = grip.lease.recording, order.profile.decode_timeout_s()
        opening = self.ears.open(
            sound,
            tenant=known.tenant,
            wishes=known.wishes,
            limits=limits,
            alive=grip.keep,
            lane=known.lane or Lane.LOW,
        )
        with ExitStack() as stack:
            if limit_s is None:
                yield stack.enter_context(opening)
                return
            until = self.now() + timedelta(seconds=limit_s)
            with grip.within(Term(Stage.DECODE, limit_s, until)):
                hearing = stack.enter_context(opening)
                grip.keep()  # a short sound is decoded before anybody looks
            yield hearing

    def _order(self, known: Recording, tenant: Tenant) -> Order:
        """What the tenant's profile says, with the uploader's wishes.

        Raises:
            InvalidWish: the wished engine cannot be asked. Repeating will not help.
            InvalidProfile: the profile was saved by another version.
        """
        profile = BUILT_IN if tenant.profile is None else stored(tenant.profile)
        engines = self._engines(known, profile.cascade(self.cascade))
        digested = None if tenant.profile is None else digest(tenant.profile)
        return Order(profile, engines, digested, known.wishes.questions, self.ask.key)

    def _check_erased(self, known: Recording, sha256: str, now: datetime) -> None:
        """Before a byte of it is decoded; intake knew no such digest of it."""
        if known.wishes.again:
            return
        if self.erasures.erased_before(known.tenant, [f"sha256:{sha256}"], now):
            raise ErasedBefore

    def _answer_key(self, known: Recording, sha256: str, order: Order) -> str:
        asked = sorted({name for names in order.engines.values() for name in names})
        versions = self._versions(asked)
        judged = {**versions, "judged": order.judged}
        return answer_key(sha256, known.wishes, order.engines, judged, order.digest)

    def _versions(self, engines: Sequence[str]) -> dict[str, str]:
        """What answers, and which calibrations say what its figures are worth."""
        worth = self.ask.calibrations
        marks = {name: worth.named(self.ears.identity(name)) for name in engines}
        told = self.ears.versions(engines).items()
        return {n: f"{line} calibration={marks[n]}" if marks[n] else line for n, line in told}

    def _answered(
        self, known: Recording, key: str, limits: Limits
    ) -> tuple[Result, dict[str, bytes]] | None:
        """The result of a recording of this tenant with the same content, asked the same.

        With the files it refers to: each recording's folder is whole, for each ends by itself.
        """
        same = self.recordings.answered(known.tenant, key)
        if same is None or same.result is None:
            return None
        try:
            result = read(self.results.load(same.result, "result.json"))
            felt = {name: self.results.load(same.result, name) for name in referred(result)}
        except NotFound:
            return None  # its time was over meanwhile
        return (result, felt) if allowed(result, limits) else None

    def _reuse(self, grip: Grip, answered: Result, felt: Mapping[str, bytes], key: str) -> Settled:
        """Answer from known content; nobody was asked, so nothing is measured."""
        known = grip.lease.recording
        log.info("answered from known content", extra={"recording_id": known.id})
        if self.meter:
            self.meter.count("reused")
        waited = (self.now() - known.received_at).total_seconds()
        result = reused(answered, known, {"queue": waited, "total": waited})
        return self._keep(grip.lease, result, felt, key, [], self.now())

    def _engines(
        self, known: Recording, engines: dict[Task, tuple[str, ...]]
    ) -> dict[Task, tuple[str, ...]]:
        """The profile's cascade, with the wished engine in place of the first choice."""
        wished = known.wishes.engine
        if wished is None:
            return engines
        allowed = {name for names in engines.values() for name in names} | set(self.ears.names())
        if wished not in allowed:
            raise InvalidWish(f"There is no engine called {wished}.")
        if Task.TRANSCRIBE not in engines:
            told = "This tenant's recordings are not transcribed; wish for no engine."
            raise InvalidWish(told)
        return {**engines, Task.TRANSCRIBE: (wished, *engines[Task.TRANSCRIBE][1:])}

    def _purse(self, lease: Lease) -> Purse | None:
        if self.spending is None:
            return None
        # Only who may be passed over for it is asked how long it waited: that is a read.
        asked = self.ask.policy.degrade_after_s
        waited = waited_s(self.recordings.history(lease.recording.id)) if asked else 0.0
        return Purse(self.spending, self.tenants, lease, self.now, waited)

    def _should_stop(self, lease: Lease, begun: datetime, yields: Callable[[Lane], bool]) -> bool:
        late = (self.now() - begun).total_seconds() >= self.ticket_s
        return late or yields(lease.recording.lane or Lane.LOW)

    def _testimony(
        self,
        lease: Lease,
        survey: Survey,
        heard: dict[Task, list[Decided]],
        sha256: str,
        at: tuple[datetime, datetime, datetime],
        order: Order,
    ) -> Testimony:
        asked = {d.engine for many in heard.values() for one in many for d in one.decisions}
        begun, surveyed, ended = at
        timings = {
            "queue": (begun - lease.recording.received_at).total_seconds(),
            "decode": (surveyed - begun).total_seconds(),
            "hear": (ended - surveyed).total_seconds(),
            "total": (ended - lease.recording.received_at).total_seconds(),
        }
        versions = self._versions(sorted(asked)) | order.named
        felt = pooled(survey.windows, heard.get(Task.EMBED, ()))
        return Testimony(
            lease.recording, survey, with_times(heard), sha256, timings, versions, felt
        )

    def _complete(self, grip: Grip, testimony: Testimony, key: str) -> Settled:
        result, now = testify(testimony), self.now()
        again = key if reusable(result) else None
        told = deliberations(testimony.survey, testimony.heard)
        felt = {**files(testimony.features), DECISIONS: written(told)}
        return self._keep(grip.lease, result, felt, again, measurements(testimony, now), now)

    def _keep(
        self,
        lease: Lease,
        result: Result,
        felt: Mapping[str, bytes],
        key: str | None,
        effects: Sequence[Message],
        now: datetime,
    ) -> Settled:
        folder = f"results/{lease.recording.tenant}/{lease.recording.id}/{lease.token}"
        # Results first, under a name only this token has: a crash before `complete` leaves
        # files nobody points to, never a pointer to files that are not there.
        self.results.save(folder, {**felt, **rendered(result)})
        try:
            self.jobs.complete(lease, self._outcome(lease, result, folder, key), effects, now)
        except StaleLease:
            self._take_away(lease, folder)
            raise
        self._publish(lease.recording.id)
        return Settled.DONE

    def _outcome(self, lease: Lease, result: Result, folder: str, key: str | None) -> Outcome:
        codec = result.audio.codec if result.audio else ""
        at = planned(lease.recording, codec, self.archive_after_days)
        return replace(outcome(result, folder, key), compress_at=at)

    def _take_away(self, lease: Lease, folder: str) -> None:
        """What nobody points to: the recording may have been erased while it was heard."""
        known = self.recordings.get(lease.recording.id)
        if known is None or known.result != folder:
            self.results.remove(folder)

    def _publish(self, recording_id: str) -> None:
        """Publish what the commit laid out; what cannot go now is drained by `reconcile`."""
        try:
            self.publish(recording_id)
        except EarwitnessError as error:
            say(log, error)


def _waits_for_tomorrow(lease: Lease, error: EarwitnessError) -> bool:
    """Whether nothing but the tenant's budget of today is in the way of an answer."""
    if error.context.get("reason") != Refusal.OVER_BUDGET:
        return False
    # An engine that failed as well may be back in seconds; it has the attempts that are left.
    return bool(error.context.get("alone")) or lease.attempt >= MAX_ATTEMPTS


def _span_of(lease: Lease) -> AbstractContextManager[None]:
    """In the trace of the recording, whichever ticket rang; that one is linked."""
    about_it: Attributes = {
        "earwitness.recording_id": lease.recording.id,
        "earwitness.attempt": lease.attempt,
        "earwitness.lane": str(lease.recording.lane or ""),
    }
    trace = lease.recording.trace
    return span("hear", parent=trace, link=traceparent(), attributes=about_it)
