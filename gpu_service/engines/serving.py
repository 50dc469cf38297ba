"""Many jobs, one engine: what waits while it works is asked together next.

No wait is added: a batch is whatever has gathered when the engine becomes free.
"""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Condition, Thread

from gpu_service.engines.engine import Capabilities, Clip
from gpu_service.engines.host import EngineHost, check
from shared.domain.answers import Answer, Task
from shared.domain.sound import MAX_SEGMENT_S, SAMPLE_RATE
from shared.errors import EngineDied, EngineUnavailable

#: Windows of audio in a batch. More would not pack better (40 clips of 3 s fill 5) but would
#: keep later callers waiting longer: four take about 5 s on two cores.
BUDGET_WINDOWS = 4


@dataclass(frozen=True, slots=True)
class _Request:
    task: Task
    clips: Sequence[Clip]
    answers: Future[list[Answer]] = field(default_factory=Future)

    @property
    def seconds(self) -> float:
        return sum(clip.samples.size for clip in self.clips) / SAMPLE_RATE


class Server:
    """Feeds one host; `infer` may be called by any number of threads."""

    def __init__(self, host: EngineHost, *, window_s: float = MAX_SEGMENT_S) -> None:
        self._host = host
        self._budget_s = BUDGET_WINDOWS * window_s
        self._waiting: deque[_Request] = deque()
        self._change = Condition()
        self._open = False
        self._busy = False
        self._worker: Thread | None = None

    @property
    def waiting(self) -> int:
        """Requests that wait for the engine."""
        return len(self._waiting)

    @property
    def busy(self) -> bool:
        """Whether the engine is working on a batch."""
        return self._busy

    def capabilities(self) -> Capabilities:
        return self._host.capabilities()

    def start(self) -> None:
        """Start the host (without loading) and take requests. Starting twice is starting once."""
        with self._change:
            if self._open:
                return
            self._host.start()
            self._open = True
            self._worker = Thread(target=self._work, name=f"serve-{self._host.name}", daemon=True)
            self._worker.start()

    def stop(self) -> None:
        """Refuse what waits, end the host, and return when the worker is done."""
        with self._change:
            self._open = False
            refused = list(self._waiting)
            self._waiting.clear()
            self._change.notify_all()
        for request in refused:
            request.answers.set_exception(self._stopped())
        self._host.stop()
        if self._worker:
            self._worker.join()

    def infer(self, task: Task, clips: Sequence[Clip]) -> list[Answer]:
        """Answer every clip, in order; blocks until they are answered.

        A long list goes in slices of the budget, one after another, so that other callers
        get their turn between them.

        Raises:
            ValueError: a clip is too long or the engine has no such task.
            EngineDied: the engine died on these clips, asked alone.
            EngineUnavailable: the server is stopped, or the engine could not answer.
        """
        check(self.capabilities(), task, clips)
        return [
            answer
            for part in slices(clips, self._budget_s)
            for answer in self._enqueued(_Request(task, part)).answers.result()
        ]

    def _enqueued(self, request: _Request) -> _Request:
        with self._change:
            if not self._open:
                raise self._stopped()
            self._waiting.append(request)
            self._change.notify()
        return request

    def _stopped(self) -> EngineUnavailable:
        return EngineUnavailable(f"The engine {self._host.name} is stopped.")

    def _work(self) -> None:
        while batch := self._next_batch():
            if not self._answered(batch):
                # One of them killed the engine. Alone, only the guilty one dies again.
                for request in batch:
                    self._answered([request])

    def _next_batch(self) -> list[_Request]:
        """Wait for a request; take it and all after it of its task that fit. [] = stopped."""
        with self._change:
            self._busy = False
            self._change.wait_for(lambda: self._waiting or not self._open)
            batch, rest, seconds = list[_Request](), deque[_Request](), 0.0
            for request in self._waiting:
                fits = not batch or seconds + request.seconds <= self._budget_s
                if fits and (not batch or request.task is batch[0].task):
                    batch.append(request)
                    seconds += request.seconds
                else:
                    rest.append(request)
            self._waiting, self._busy = rest, bool(batch)
            return batch

    def _answered(self, batch: Sequence[_Request]) -> bool:
        """Ask once for all of `batch`; False if the engine died and more than one had asked."""
        clips = [clip for request in batch for clip in request.clips]
        try:
            answers = iter(self._host.infer(batch[0].task, clips))
        except EngineDied as error:
            if len(batch) > 1:
                return False
            batch[0].answers.set_exception(error)
        except Exception as error:  # every caller waits for its future to be answered
            for request in batch:
                request.answers.set_exception(error)
        else:
            for request in batch:
                request.answers.set_result([next(answers) for _ in request.clips])
        return True


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
