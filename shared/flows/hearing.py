"""tasks of a profile -> [those whose needs are met, a round each, several at once -> checkpoint]*
-> everything heard."""

import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from pydantic import TypeAdapter

from shared.domain.answers import Answer, Task
from shared.domain.cascade import Decided
from shared.domain.plans import engines_key, rounds, seconds
from shared.domain.prices import Terms
from shared.domain.profiles import Profile
from shared.domain.recording import Checkpoint, Lease
from shared.domain.sound import Segment, Survey
from shared.domain.task_graph import NAMES
from shared.errors import EarwitnessError, StaleLease
from shared.flows.align import Align
from shared.flows.ask import Ask
from shared.flows.grip import Grip, Term
from shared.flows.purse import Purse
from shared.flows.questions import questioned
from shared.flows.turns import Place
from shared.ports import Clock, Hearing, Jobs, Said
from shared.spans import span

DECIDED = TypeAdapter(Decided)
#: Begins the name under which a task's seconds are kept beside its answers.
SPENT = "spent-"

Heard = dict[Task, list[Decided]]


@dataclass(frozen=True, slots=True)
class Order:
    """What one recording is asked, by whom, in which order and for how long."""

    profile: Profile
    engines: Mapping[Task, Sequence[str]]
    digest: str | None = None  #: of the tenant's own profile
    questions: tuple[str, ...] = ()
    judged: str = ""  #: names by what policy and calibrations (`Ask.key`)

    @property
    def key(self) -> str:
        """Names who is asked and how that is judged: with the cut it names the answers kept."""
        return "/".join(
            part for part in (engines_key(self.engines), self.judged, self.digest) if part
        )

    @property
    def named(self) -> dict[str, str]:
        """What a result says of it among its versions: nothing of the built-in profile."""
        return {"profile": self.digest} if self.digest else {}


@dataclass(frozen=True, slots=True)
class Job:
    """One recording in hand."""

    hearing: Hearing
    order: Order
    grip: Grip
    purse: Purse | None

    @property
    def plan(self) -> str:
        return f"{self.hearing.survey.plan}/{self.order.key}"


@dataclass(frozen=True, slots=True)
class _Round:
    """What one task asks about at a time."""

    task: Task
    segments: Sequence[Segment]


@dataclass(slots=True)
class _Course:
    """How far the tasks of one recording have come."""

    profile: Profile
    heard: Heard
    left: dict[Task, deque[_Round]]  #: not finished, those under way too; in the order of tasks
    total_s: float  #: of sound, summed over rounds
    spent_s: dict[Task, float]  #: worked on in this attempt, where there is a limit
    done_s: float = 0.0
    under_way: dict[Future[list[Decided]], _Round] = field(default_factory=dict)
    failures: dict[Task, EarwitnessError] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        return not any(self.left.values())

    def due(self) -> _Round | None:
        """The round to begin: of the first task that may, if a place is free."""
        busy = {asked.task for asked in self.under_way.values()}
        if self.failures or len(busy) >= self.profile.parallel:
            return None
        free = (task for task in self.left if self.left[task] and task not in busy)
        able = (t for t in free if not any(self.left.get(n) for n in self.profile.after(t)))
        return next((self.left[task][0] for task in able), None)

    def settle(self, asked: _Round, decided: Sequence[Decided]) -> None:
        self.left[asked.task].popleft()
        self.heard[asked.task] += decided
        self.done_s += seconds(asked.segments)


@dataclass(frozen=True, slots=True)
class Hear:
    """Asks everything an order says.

    A task begins when all it needs is finished, whether with answers or without.
    `Profile.parallel` tasks are asked about at once, a round of each; of those that may begin the
    first in `plans.ASKED` does. Answers are kept by task, in the order of its rounds: however the
    threads run, the result is the same.

    Safe to repeat: every round's answers are a checkpoint, and are not asked for again.
    """

    jobs: Jobs
    ask: Ask
    align: Align
    now: Clock

    def __call__(self, job: Job, stop: Callable[[], bool]) -> Heard | None:
        """Every answer, from checkpoints where there are any; None where `stop` came first.

        `stop` is asked before every round but the first. What is under way then ends, and is kept.

        Raises:
            EarwitnessError: a required task has no answer; what the others answered is kept. Of
                several failures the first in the order of tasks.
            StaleLease: the job is another worker's; nothing more is written.
        """
        course = self._course(job)
        with _threads(course.profile.parallel) as threads:
            try:
                stopped = self._run(job, course, threads, stop)
            except BaseException:
                job.grip.leave()  # the others stop, too, before the sound is closed under them
                raise
        if course.failures:
            raise next(course.failures[task] for task in course.left if task in course.failures)
        return None if stopped else course.heard

    def _run(self, job: Job, course: _Course, threads: Executor, stop: Callable[[], bool]) -> bool:
        """Ask until all is asked, something failed, or `stop` says so: True."""
        begun = stopped = False
        while True:
            while not stopped and (due := course.due()):
                if stopped := begun and stop():
                    break
                asking = threads.submit(copy_context().run, self._asked, job, due, course)
                course.under_way[asking], begun = due, True
            if not course.under_way:
                return stopped
            self._take(job, course)

    def _course(self, job: Job) -> _Course:
        """Where an earlier worker left off."""
        heard: Heard = {task: [] for task in job.order.engines}
        spent_s: dict[Task, float] = {}
        for kept in self.jobs.checkpoints(job.grip.lease, job.plan):
            if kept.task.startswith(SPENT):
                spent_s |= _spent(kept, job.grip.lease)
            else:
                heard[Task(kept.task)].append(DECIDED.validate_json(kept.body))
        left: dict[Task, deque[_Round]] = {}
        questions = len(job.order.questions)
        for task, segments in rounds(job.hearing.survey, job.order.engines, heard, questions):
            left.setdefault(task, deque()).append(_Round(task, segments))
        total_s = sum(seconds(each.segments) for many in left.values() for each in many)
        return _Course(job.order.profile, heard, left, total_s or 1.0, spent_s)

    def _take(self, job: Job, course: _Course) -> None:
        """Wait until a round has ended, and keep its answers; the last one is `complete`'s."""
        ended, _ = wait(course.under_way, return_when=FIRST_COMPLETED)
        for future in [future for future in course.under_way if future in ended]:
            asked = course.under_way.pop(future)
            try:
                decided = future.result()
            except StaleLease:
                raise
            except EarwitnessError as error:
                course.failures[asked.task] = error
                continue
            course.settle(asked, decided)
            if not course.finished:
                self._checkpoint(job, course, asked.task, decided)

    def _checkpoint(
        self, job: Job, course: _Course, task: Task, decided: Sequence[Decided]
    ) -> None:
        done = [
            Checkpoint(job.plan, task.value, d.segment, DECIDED.dump_json(d).decode())
            for d in decided
        ]
        if task in course.spent_s:
            body = json.dumps([job.grip.lease.attempt, course.spent_s[task]])
            done.append(Checkpoint(job.plan, f"{SPENT}{task}", 0, body))
        progress = course.done_s / course.total_s
        self.jobs.checkpoint(job.grip.lease, done, progress, self.now())
        job.grip.keep()

    def _asked(self, job: Job, due: _Round, course: _Course) -> list[Decided]:
        """One round, in a thread of its own; of `course` it changes its task's seconds only."""
        task, limit_s = due.task, job.order.profile.plan(due.task).timeout_s
        with span(f"ask {task}", attributes={"earwitness.segments": len(due.segments)}):
            if limit_s is None:
                return self._decided(job, job.hearing, due, course.heard)
            begun, spent_s = self.now(), course.spent_s.get(task, 0.0)
            term = Term(NAMES[task], limit_s, begun + timedelta(seconds=limit_s - spent_s))
            try:
                timed = InTime(job.hearing, job.grip, term, self.now)
                return self._decided(job, timed, due, course.heard)
            finally:
                course.spent_s[task] = spent_s + (self.now() - begun).total_seconds()

    def _decided(self, job: Job, hearing: Hearing, due: _Round, heard: Heard) -> list[Decided]:
        task, order, said = due.task, job.order, heard.get(Task.TRANSCRIBE, [])
        engines = order.engines[task]
        if task is Task.ALIGN:
            wanted = {s.index for s in due.segments}
            placed = [d.placed for d in said if d.placed and d.segment in wanted]
            done = {d.segment for d in placed}
            left = [s for s in due.segments if s.index not in done]
            written = {d.segment: d.answer for d in said}
            return sorted([*placed, *self.align(hearing, left, written, engines)], key=_segment)
        if task is Task.ANSWER:
            hearing = questioned(hearing, order.questions, said)
        return self.ask(
            *(hearing, task, due.segments, engines, job.purse),
            beside=not order.profile.required(task, order.engines),
            policy=order.profile.policy(task, self.ask.policy),
            place=self._place(hearing, order) if task is Task.TRANSCRIBE else None,
        )

    def _place(self, hearing: Hearing, order: Order) -> Place | None:
        """How the words of an answer are placed before they are judged; None without aligners."""
        aligners = order.engines.get(Task.ALIGN)
        if not aligners:
            return None
        return lambda segments, said: self.align(hearing, segments, said, aligners)


def _segment(decided: Decided) -> int:
    return decided.segment


@dataclass(frozen=True, slots=True)
class InTime:
    """A `Hearing` whose engines are asked while a term lasts.

    When it is over nobody is asked any more. What an engine is asked just then is not waited for:
    it may still hear it, and its answer is ignored. A call that costs is waited for, and counts.
    """

    hearing: Hearing
    grip: Grip
    term: Term
    now: Clock

    @property
    def survey(self) -> Survey:
        return self.hearing.survey

    def ask(
        self, engine: str, task: Task, segments: Sequence[Segment], said: Sequence[Said] = ()
    ) -> list[Answer]:
        """As the hearing's.

        Raises:
            TaskTimedOut: the term is over; none was answered, and no other engine will be.
        """
        self._look()
        if self.hearing.terms(engine, task) is not None:
            return self.hearing.ask(engine, task, segments, said)
        with self.grip.within(self.term):
            answers = self.hearing.ask(engine, task, segments, said)
        self._look()
        return answers

    def _look(self) -> None:
        if self.now() >= self.term.until:
            raise self.term.over()

    def terms(self, engine: str, task: Task) -> Terms | None:
        return self.hearing.terms(engine, task)

    def suits(self, engine: str, segment: Segment, language: str | None) -> bool:
        return self.hearing.suits(engine, segment, language)

    def identity(self, engine: str) -> Mapping[str, str]:
        return self.hearing.identity(engine)


class _Here(Executor):
    """Asks in the thread that says so: one task at a time needs no other."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future = Future[Any]()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # whoever takes the future gets it
            future.set_exception(error)
        return future


def _threads(parallel: int) -> Executor:
    return ThreadPoolExecutor(parallel, "hear") if parallel > 1 else _Here()


def _spent(kept: Checkpoint, lease: Lease) -> dict[Task, float]:
    """A new attempt has its own time."""
    attempt, spent_s = json.loads(kept.body)
    return {Task(kept.task.removeprefix(SPENT)): spent_s} if attempt == lease.attempt else {}
