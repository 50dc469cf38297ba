"""open -> survey -> [ask -> tell]*: one caller waits and is told each segment as it is decided."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from shared.domain.answers import Task
from shared.domain.cascade import Decided
from shared.domain.sound import Limits, Segment, Survey
from shared.domain.wishes import Wishes
from shared.flows.ask import Ask
from shared.ports import Ears


@dataclass(frozen=True, slots=True)
class Listening:
    """What a caller wants heard, for whom, and by which engines, first choice first."""

    tenant: str
    wishes: Wishes
    limits: Limits
    engines: tuple[str, ...]
    #: Seconds of sound asked for together. More packs better; less is told sooner.
    at_a_time_s: float


@dataclass(frozen=True, slots=True)
class Listen:
    """Nothing is stored, so nothing is left behind whenever it ends. Safe to repeat."""

    ears: Ears
    ask: Ask

    def __call__(
        self, sound: BinaryIO, wanted: Listening, alive: Callable[[], None]
    ) -> Iterator[Survey | tuple[Decided, ...]]:
        """The survey, then what was decided of the speech, in the order of time.

        `alive` is called while decoding and before each question; what it raises ends the
        listening. So does closing the iterator.

        Raises:
            RefusedAudio: it cannot be heard; repeating will not help.
            DecoderDied, EngineUnavailable, EngineDied: repeating may help.
        """
        opened = self.ears.open(
            sound, tenant=wanted.tenant, wishes=wanted.wishes, limits=wanted.limits, alive=alive
        )
        with opened as hearing:
            yield hearing.survey
            for segments in parted(hearing.survey.speech, wanted.at_a_time_s):
                alive()
                yield tuple(self.ask(hearing, Task.TRANSCRIBE, segments, wanted.engines))


def parted(segments: Sequence[Segment], at_most_s: float) -> Iterator[list[Segment]]:
    """`segments` in order, in runs of at most so many seconds (a longer one alone)."""
    run: list[Segment] = []
    for segment in segments:
        if run and sum(s.duration_s for s in run) + segment.duration_s > at_most_s:
            yield run
            run = []
        run.append(segment)
    if run:
        yield run
