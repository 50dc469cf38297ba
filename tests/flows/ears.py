"""A small pair of ears for flows: hears whatever a test says, fails whenever it says."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO

from shared.domain.answers import Answer, Task, Word
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


@dataclass
class SmallEars:
    """Implements `Ears` and `Hearing`."""

    survey: Survey = field(default_factory=survey)
    script: Script = plainly
    on_open: Callable[[], None] = lambda: None
    asked: list[tuple[str, list[int]]] = field(default_factory=list)

    @contextmanager
    def open(
        self,
        sound: BinaryIO,
        *,
        tenant: str,
        wishes: Wishes,
        limits: Limits,
        alive: Callable[[], None],
    ) -> Iterator["SmallEars"]:
        alive()
        self.on_open()
        yield self

    def ask(self, engine: str, task: Task, segments: Sequence[Segment]) -> list[Answer]:
        self.asked.append((engine, [s.index for s in segments]))
        return self.script(engine, task, segments)

    def names(self) -> list[str]:
        return ["first", "second", "extra"]

    def versions(self, engines: Sequence[str]) -> dict[str, str]:
        return dict.fromkeys(engines, "1")
