"""A small pair of ears for flows: hears whatever a test says, fails whenever it says."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO

from shared.domain.answers import Answer, Task, Word
from shared.domain.lanes import Lane
from shared.domain.prices import Terms
from shared.domain.questions import Question
from shared.domain.sound import Facts, Limits, Quality, Segment, Survey
from shared.domain.wishes import Wishes

QUALITY = Quality(-3.0, 0.0, -20.0, 0.1, -70.0)


def survey(segments: int = 3, each_s: float = 10.0, plan: str = "p1") -> Survey:
    speech = tuple(Segment(i, i * each_s, (i + 1) * each_s) for i in range(segments))
    facts = Facts("wav", "pcm_s16le", 16_000, 1, segments * each_s)
    return Survey(facts, QUALITY, speech, (), (), plan)


def says(engine: str, segment: Segment, text: str | None = None, **extra: object) -> Answer:
    said = f"{engine} heard {segment.index}" if text is None else text
    words = (Word(segment.start_s, segment.end_s, said, 0.9),) if said else ()
    return Answer(engine, Task.TRANSCRIBE, said, language="en", words=words, **extra)


Script = Callable[[str, Task, Sequence[Segment]], list[Answer]]


def plainly(engine: str, task: Task, segments: Sequence[Segment]) -> list[Answer]:
    return [says(engine, s) for s in segments]


Placing = Callable[[str, Sequence[Segment], Sequence[Answer]], list[Answer]]


def side_by_side(engine: str, segments: Sequence[Segment], said: Sequence[Answer]) -> list[Answer]:
    """Places words from the segment's start, half a second each."""
    return [
        Answer(
            engine,
            Task.ALIGN,
            answer.text,
            words=tuple(
                Word(s.start_s + n / 2, s.start_s + (n + 1) / 2, text, 0.7, engine)
                for n, text in enumerate(answer.text.split())
            ),
            confidence=0.7,
            seconds=0.125,
            signals={"alignment_score": -0.25},
        )
        for s, answer in zip(segments, said, strict=True)
    ]


@dataclass
class SmallEars:
    """Implements `Ears` and `Hearing`."""

    survey: Survey = field(default_factory=survey)
    script: Script = plainly
    place: Placing = side_by_side
    languages: dict[str, set[str | None]] = field(default_factory=dict)  #: of the aligners
    paid: dict[str, Terms] = field(default_factory=dict)
    on_open: Callable[[], None] = lambda: None
    asked: list[tuple[str, list[int]]] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)  #: that came with segments

    @contextmanager
    def open(
        self,
        sound: BinaryIO,
        *,
        tenant: str,
        wishes: Wishes,
        limits: Limits,
        alive: Callable[[], None],
        lane: Lane = Lane.HIGH,
    ) -> Iterator["SmallEars"]:
        alive()
        self.on_open()
        yield self

    def ask(
        self, engine: str, task: Task, segments: Sequence[Segment], said: Sequence[Answer] = ()
    ) -> list[Answer]:
        self.asked.append((engine, [s.index for s in segments]))
        if task is Task.ALIGN:
            return self.place(engine, segments, said)
        self.questions += said
        return self.script(engine, task, segments)

    def terms(self, engine: str, task: Task) -> Terms | None:
        return self.paid.get(engine)

    def suits(self, engine: str, segment: Segment, language: str | None) -> bool:
        return language in self.languages.get(engine, ())

    def identity(self, engine: str) -> dict[str, str]:
        return {"checkpoint": engine, "rules": "script/1"}

    def names(self) -> list[str]:
        return ["first", "second", "extra"]

    def versions(self, engines: Sequence[str]) -> dict[str, str]:
        return dict.fromkeys(engines, "1")
