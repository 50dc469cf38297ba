"""A kind of engine in a loop: a sentence, then the same three words until the sound ends."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel

from gpu_service.engines.engine import Capabilities, Clip
from gpu_service.engines.registry import EngineSettings, NoOptions
from shared.domain.answers import Answer, Task, Word
from shared.domain.sound import MAX_SEGMENT_S, SAMPLE_RATE

#: Words a second it writes, an ordinary pace.
PACE = 3.0


class Circler:
    """Writes as many words as its sound could hold, so that only the loop gives it away."""

    options: ClassVar[type[BaseModel]] = NoOptions

    def __init__(self, name: str, settings: EngineSettings, *, cache: Path) -> None:
        self.name = name

    def capabilities(self) -> Capabilities:
        return Capabilities(frozenset({Task.TRANSCRIBE}), MAX_SEGMENT_S)

    def load(self) -> None:
        return

    def unload(self) -> None:
        return

    def infer(self, task: Task, batch: Sequence[Clip]) -> list[Answer]:
        return [self._answer(task, clip) for clip in batch]

    def _answer(self, task: Task, clip: Clip) -> Answer:
        count = int(clip.samples.size / SAMPLE_RATE * PACE)
        texts = ["Hello", "there.", *["thank", "you", "all"] * count][:count]
        words = tuple(Word(i / PACE, (i + 0.9) / PACE, t, 0.99) for i, t in enumerate(texts))
        return Answer(self.name, task, " ".join(texts), "en", 0.99, words=words)
