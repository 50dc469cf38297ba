"""An engine that says how long the sound was: for benches, tests and a first look at the path."""

from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel

from gpu_service.engines.engine import Capabilities, Clip
from gpu_service.engines.registry import EngineSettings, NoOptions
from shared.domain.answers import Answer, Task, Word
from shared.domain.sound import MAX_SEGMENT_S, SAMPLE_RATE

#: The rule that makes the words; part of what a cached result depends on.
VERSION = "echo/2"


class Echo:
    """Answers "echo 3.20 s" without listening; costs microseconds.

    It has no opinion, so it has no confidence: None, never a number that looks earned.
    """

    options: ClassVar[type[BaseModel]] = NoOptions

    def __init__(self, name: str, settings: EngineSettings, *, cache: Path) -> None:
        self.name = name

    def capabilities(self) -> Capabilities:
        tasks = frozenset({Task.TRANSCRIBE, Task.CLASSIFY})
        return Capabilities(tasks, max_duration_s=MAX_SEGMENT_S, versions={"checkpoint": VERSION})

    def load(self) -> None:
        return

    def unload(self) -> None:
        return

    def infer(self, task: Task, batch: Sequence[Clip]) -> list[Answer]:
        """One Answer a clip, by its length alone; CLASSIFY hears nothing."""
        return [self._answer(task, clip) for clip in batch]

    def _answer(self, task: Task, clip: Clip) -> Answer:
        if task is not Task.TRANSCRIBE or not clip.samples.size:
            return Answer(self.name, task)
        words = spoken(clip.samples.size / SAMPLE_RATE)
        text = " ".join(word.text for word in words)
        return Answer(self.name, task, text=text, language=clip.language, words=words)


def spoken(duration_s: float) -> tuple[Word, ...]:
    """The words "echo", "3.20", "s", then numbers from 4 until no word is longer than a second."""
    texts = ["echo", f"{duration_s:.2f}", "s"]
    texts += map(str, range(len(texts) + 1, ceil(duration_s) + 1))
    step = duration_s / len(texts)
    return tuple(Word(i * step, (i + 1) * step, text, None) for i, text in enumerate(texts))
