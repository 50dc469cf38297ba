"""Many callers, one engine: what waits while it works is asked together next.

wait -> choose a batch -> admit -> ask -> (halve what was lost) -> answer

No wait is added: a batch is chosen from whatever has gathered when the engine becomes free.
Nothing waits inside the engine's turn either: retries and callers wait here.
"""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, InvalidStateError, wait
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from threading import Condition, Thread

from gpu_service.engines.engine import Capabilities, Clip, check
from gpu_service.hosting.host import State
from gpu_service.hosting.remote import Host
from gpu_service.serving.batches import Waiting, choose, cost_s
from gpu_service.serving.bisection import Settlement, is_the_engines_fault
from gpu_service.serving.bound import Bound
from gpu_service.serving.protection import POLICY, Protection
from shared.domain.answers import Answer, Task
from shared.domain.breaker import Policy, Position
from shared.domain.lanes import Lane
from shared.domain.sound import MAX_SEGMENT_S, SAMPLE_RATE
from shared.errors import OUTAGE, BreakerOpen, EngineDied, EngineUnavailable, OutOfMemory

#: Windows of audio in a batch of an engine whose pace is not known yet: four take Whisper base
#: about 4 s on two cores. No batch is bounded more tightly for the sake of time, or a machine
#: that is slow because it is busy would pack worse and be slower still.
BUDGET_WINDOWS = 4
#: Seconds a batch of a faster engine may take: more would keep later callers waiting.
TURN_S = 5.0
#: Seconds between two looks whether the caller of a waiting clip is still there.
ALIVE_S = 1.0
#: Seconds a batch in hand gets when the server stops. SIGTERM leaves 8 s for all engines, one
#: after another, and the jobs were handed over before.
LEAVE_S = 0.5


@dataclass(eq=False, slots=True)
class _Item:
    """One clip that waits, and who waits for it."""

    clip: Clip
    task: Task
    lane: Lane
    call: int  #: number of the call it came with
    answer: Future[Answer] = field(default_factory=Future)
    tries: int = 0
    not_before_s: float = 0.0
    gone: bool = False  #: nobody waits for the answer any more

    @property
    def seconds(self) -> float:
        return self.clip.samples.size / SAMPLE_RATE


@dataclass(slots=True)
class _Course:
    """How one batch went."""

    slow: bool = False
    lost_s: float = float("inf")  #: the smallest cost with which the engine died
    faulty: bool = False  #: a clip failed, and it was not the clip's own fault
    failed: list[tuple[_Item, Exception]] = field(default_factory=list)


@dataclass(slots=True)
class Figures:
    """What the batches so far came to; the padding share is 1 - sound_s / paid_s."""

    batches: int = 0
    clips: int = 0
    sound_s: float = 0.0
    paid_s: float = 0.0
    last_clips: int = 0  #: of the last batch
    lost: int = 0  #: calls that answered nothing
    retried: int = 0


class Server:
    """Feeds one host; `infer` may be called by any number of threads.

    `room_mb` is the memory one call may take; None = only what was lost teaches a bound.
    """

    def __init__(
        self,
        host: Host,
        *,
        window_s: float = MAX_SEGMENT_S,
        room_mb: float | None = None,
        policy: Policy | None = None,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._host, self._window_s, self._room_mb, self._clock = host, window_s, room_mb, clock
        self._budget_s = BUDGET_WINDOWS * window_s
        self._learnt = Bound(float("inf"), float("inf"))
        self.protection = Protection(host.name, policy=policy or POLICY, clock=clock, chance=chance)
        self.figures = Figures()
        self._waiting: list[_Item] = []
        self._in_hand: set[_Item] = set()
        self._change = Condition()
        self._open = False
        self._busy = 0
        self._calls, self._turns = count(), count()
        self._workers: list[Thread] = []

    @property
    def waiting(self) -> int:
        """Clips that wait for the engine."""
        return len(self._waiting)

    @property
    def busy(self) -> bool:
        """Whether the engine is working on a batch."""
        return self._busy > 0

    @property
    def position(self) -> Position:
        """Of the breaker."""
        return self.protection.position

    @property
    def bound_s(self) -> float:
        """What a batch may cost now, in seconds of sound as `batches.cost_s` counts them."""
        pace = self.protection.pace
        call_s, per_s = pace.fit()
        in_time_s = max(self._budget_s, (TURN_S - call_s) / per_s if pace.known else 0.0)
        return min(in_time_s, self._in_memory_s(), self._learnt.now_s)

    def waiting_s(self, lane: Lane) -> float:
        """Seconds of sound that wait in this lane."""
        with self._change:
            return sum(item.seconds for item in self._waiting if item.lane is lane)

    def capabilities(self) -> Capabilities:
        return self._host.capabilities()

    def start(self) -> None:
        """Start the host (without loading) and take requests. Starting twice is starting once."""
        with self._change:
            if self._open:
                return
            self._host.start()
            self._open = True
            self._workers = [
                Thread(target=self._work, name=f"serve-{self._host.name}-{n}", daemon=True)
                for n in range(self._host.concurrency)
            ]
        for worker in self._workers:
            worker.start()

    def stop(self) -> None:
        """Refuse what waits, end the host, and return when nobody waits for an answer."""
        with self._change:
            self._open = False
            refused, self._waiting = self._waiting, []
            self._change.notify_all()
        self._refuse(refused)
        self._host.stop()
        deadline_s = time.monotonic() + LEAVE_S
        for worker in self._workers:
            worker.join(max(0.0, deadline_s - time.monotonic()))
        # A call to a service elsewhere cannot be ended, only no longer be waited for.
        with self._change:
            stranded = list(self._in_hand)
        self._refuse(stranded)

    def infer(
        self,
        task: Task,
        clips: Sequence[Clip],
        *,
        lane: Lane = Lane.HIGH,
        alive: Callable[[], None] = lambda: None,
    ) -> list[Answer]:
        """Answer every clip, in order; blocks until they are answered.

        A long list goes in slices of the budget, one after another, so that other callers
        get their turn between them. `alive` is called every second while it waits; what it
        raises comes out of here, and what nobody began to hear yet is not heard.

        Raises:
            ValueError: a clip is too long or the engine has no such task.
            EngineDied: the engine died on a clip of these, asked alone.
            OutOfMemory: a clip of these does not fit, even alone.
            BreakerOpen: the engine is left alone for a while; nothing was asked.
            EngineUnavailable: the server is stopped, or the engine could not answer.
        """
        check(self._host.name, self.capabilities(), task, clips)
        answers = list[Answer]()
        for part in slices(clips, self._budget_s):
            items = self._submit(task, part, lane)
            futures = [item.answer for item in items]
            try:
                while wait(futures, ALIVE_S, FIRST_EXCEPTION).not_done and not _failed(futures):
                    alive()
                answers += [future.result() for future in _failed(futures) or futures]
            finally:
                _leave(items)
        return answers

    async def asked(
        self, task: Task, clips: Sequence[Clip], *, lane: Lane = Lane.HIGH
    ) -> list[Answer]:
        """As `infer`, for a caller on an event loop: who is cancelled costs nothing any more."""
        check(self._host.name, self.capabilities(), task, clips)
        answers = list[Answer]()
        for part in slices(clips, self._budget_s):
            items = self._submit(task, part, lane)
            try:
                answers += await asyncio.gather(*(asyncio.wrap_future(i.answer) for i in items))
            finally:
                _leave(items)
        return answers

    def _submit(self, task: Task, clips: Sequence[Clip], lane: Lane) -> list[_Item]:
        self.protection.look()
        items = [_Item(clip, task, lane, call) for call in (next(self._calls),) for clip in clips]
        with self._change:
            if not self._open:
                raise self._stopped()
            self._waiting += items
            self._change.notify()
        return items

    def _stopped(self) -> EngineUnavailable:
        return EngineUnavailable(f"The engine {self._host.name} is stopped.")

    def _refuse(self, items: Sequence[_Item]) -> None:
        for item in items:
            _give(item, self._stopped())

    def _in_memory_s(self) -> float:
        footprint = self._host.footprint
        if footprint is None or self._room_mb is None or footprint.mb_per_s <= 0:
            return float("inf")
        return max(0.0, self._room_mb - footprint.base_mb) / footprint.mb_per_s

    def _work(self) -> None:
        while batch := self._next_batch():
            try:
                self.protection.admit()
            except BreakerOpen as error:
                for item in batch:
                    _give(item, error)
            else:
                self._settle(batch)
            with self._change:
                self._busy -= 1
                self._in_hand.difference_update(batch)

    def _next_batch(self) -> list[_Item]:
        """Wait for clips, and take the next batch of those still wanted. [] = stopped."""
        with self._change:
            while self._open:
                now_s = self._clock()
                due = [item for item in self._waiting if item.not_before_s <= now_s]
                batch = [item for item in self._chosen(due) if self._taken(item)]
                if batch:
                    self._busy += 1
                    self._in_hand.update(batch)
                    return batch
                if not due:
                    later = min((item.not_before_s for item in self._waiting), default=None)
                    self._change.wait(later and max(0.0, later - now_s))
        return []

    def _taken(self, item: _Item) -> bool:
        """Take it off the queue; False if its caller is gone."""
        self._waiting.remove(item)
        if item.tries:  # tried before, so its future runs already
            return not item.gone
        return item.answer.set_running_or_notify_cancel()

    def _chosen(self, due: Sequence[_Item]) -> list[_Item]:
        # A service elsewhere gains nothing by strangers' clips in a call, so there a call stays
        # what its caller made it.
        alone = self._host.concurrency > 1
        waiting = [Waiting(i.seconds, i.lane, (i.task, alone and i.call)) for i in due]
        chosen = choose(
            waiting,
            next(self._turns) if due else 0,
            bound_s=self.bound_s,
            call_s=self.protection.pace.call_as_sound_s,
            padding=self.capabilities().padding,
            window_s=self._window_s,
        )
        return [due[i] for i in chosen]

    def _settle(self, batch: Sequence[_Item]) -> None:
        """Ask for all of `batch`, in halves where it is lost, and learn from how it went."""
        course = _Course()
        settlement = Settlement[_Item, Answer](
            partial(self._ask, course), _give, partial(self._failed, course)
        )
        settlement(batch)
        with self._change:
            self.figures.lost += settlement.losses
        if not settlement.failures:
            # Every clip was answered in smaller company, so it was their number that killed.
            self._learnt = self._learnt.exhausted(course.lost_s)
        fine = settlement.answers > 0 or not course.faulty
        self.protection.report(fine=fine, slow=course.slow)
        down = not fine and self.protection.position is not Position.CLOSED
        for item, error in course.failed:
            if down and isinstance(error, EngineUnavailable):
                error.context[OUTAGE] = True
            _give(item, error)

    def _ask(self, course: _Course, items: Sequence[_Item]) -> Sequence[Answer]:
        sound_s = cost_s([item.seconds for item in items], self.capabilities().padding)
        loaded, begun_s = self._host.state is State.READY, self._clock()
        limit_s = self.protection.pace.limit_s(sound_s)
        try:
            answers = self._host.infer(items[0].task, [i.clip for i in items], limit_s=limit_s)
        except OutOfMemory:
            if len(items) > 1:
                self._learnt = self._learnt.exhausted(sound_s)
            raise
        except EngineDied:
            course.lost_s = min(course.lost_s, sound_s)
            raise
        if loaded:
            course.slow |= self.protection.called(sound_s, self._clock() - begun_s)
        self._learnt = self._learnt.held(sound_s)
        self._count(items, sound_s)
        return answers

    def _count(self, items: Sequence[_Item], paid_s: float) -> None:
        with self._change:
            figures = self.figures
            figures.batches += 1
            figures.clips += len(items)
            figures.last_clips = len(items)
            figures.sound_s += sum(item.seconds for item in items)
            figures.paid_s += paid_s

    def _failed(self, course: _Course, item: _Item, error: Exception) -> None:
        """Note it, unless the engine said when to come back and the budget allows it."""
        course.faulty |= is_the_engines_fault(error)
        item.tries += 1
        wait_s = None if item.gone else self.protection.again_in_s(error, item.tries)
        with self._change:
            if wait_s is not None and self._open:
                item.not_before_s = self._clock() + wait_s
                self._waiting.append(item)
                self.figures.retried += 1
                self._change.notify()
                return
        course.failed.append((item, error))


def _give(item: _Item, said: Answer | Exception) -> None:
    """Answer whoever waits; one who was told already that we stop is told nothing more."""
    with suppress(InvalidStateError):
        if isinstance(said, Exception):
            item.answer.set_exception(said)
        else:
            item.answer.set_result(said)


def _failed(futures: Sequence[Future[Answer]]) -> list[Future[Answer]]:
    return [f for f in futures if f.done() and not f.cancelled() and f.exception() is not None]


def _leave(items: Sequence[_Item]) -> None:
    """What nobody began to hear is not heard; what is done or in hand stays as it is."""
    for item in items:
        item.gone = True
        item.answer.cancel()


def slices(clips: Sequence[Clip], budget_s: float) -> list[Sequence[Clip]]:
    """`clips` in order, in runs of at most `budget_s` of audio (a longer clip alone)."""
    runs: list[list[Clip]] = []
    room = 0.0
    for clip in clips:
        seconds = clip.samples.size / SAMPLE_RATE
        if not runs or seconds > room:
            runs.append([])
            room = budget_s
        runs[-1].append(clip)
        room -= seconds
    return list(runs)
