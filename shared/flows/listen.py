"""open -> survey -> [ask -> align -> tell]*: one caller waits, and is told what is decided."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from shared.domain.answers import Task
from shared.domain.cascade import Decided, Policy
from shared.domain.sound import Limits, Segment, Survey
from shared.domain.stitching import neighbours
from shared.domain.wishes import Wishes
from shared.flows.align import Align
from shared.flows.ask import Ask
from shared.ports import Ears, Hearing


@dataclass(frozen=True, slots=True)
class Listening:
    """What a caller wants heard, for whom, and by which engines, first choice first."""

    tenant: str
    wishes: Wishes
    limits: Limits
    engines: tuple[str, ...]
    #: Seconds of sound asked for together. More packs better; less is told sooner.
    at_a_time_s: float
    #: Who may place the words in time; empty where nobody wants to know when they were said.
    aligners: tuple[str, ...] = ()
    policy: Policy | None = None  #: this caller's own, where it has one


@dataclass(frozen=True, slots=True)
class Listen:
    """Nothing is stored, so nothing is left behind whenever it ends. Safe to repeat."""

    ears: Ears
    ask: Ask
    align: Align = field(default_factory=Align)

    def __call__(
        self, sound: BinaryIO, wanted: Listening, alive: Callable[[], None]
    ) -> Iterator[Survey | tuple[Decided, ...]]:
        """The survey, then what was decided of the speech, in the order of time.

        Of each run first what was said, then where an aligner placed it (`Task.ALIGN`); an
        aligner that fails leaves its reason there and fails nothing.

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
                yield tuple(self._heard(hearing, segments, wanted))

    def _heard(
        self, hearing: Hearing, segments: Sequence[Segment], wanted: Listening
    ) -> list[Decided]:
        said = self.ask(hearing, Task.TRANSCRIBE, segments, wanted.engines, policy=wanted.policy)
        texts = {d.segment: d.answer for d in said}
        return said + self.align(hearing, segments, texts, wanted.aligners)


def parted(segments: Sequence[Segment], at_most_s: float) -> Iterator[list[Segment]]:
    """`segments` in order, in runs of at most so many seconds (a longer one alone).

    Segments that overlap stay together, however long that is: what was told is not taken back,
    and the words they share are told once.
    """
    bound = _bound(segments)
    run: list[Segment] = []
    for segment in segments:
        long = sum(s.duration_s for s in run) + segment.duration_s > at_most_s
        if run and long and segment.index not in bound:
            yield run
            run = []
        run.append(segment)
    if run:
        yield run


def _bound(segments: Sequence[Segment]) -> set[int]:
    """Indices of segments before which no run may end: one there overlaps one behind."""
    place = {s.index: n for n, s in enumerate(segments)}
    pairs = ((place[a.index], place[b.index]) for a, b in neighbours(segments))
    return {segments[n].index for a, b in pairs for n in range(a + 1, b + 1)}
