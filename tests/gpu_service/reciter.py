"""A kind of engine that places words evenly: shows what reaches an aligner, and what returns."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel

from gpu_service.engines.engine import Capabilities, Clip
from gpu_service.engines.registry import EngineSettings, NoOptions
from shared.domain.answers import Answer, Task, Word
from shared.domain.sound import SAMPLE_RATE


class Reciter:
    """Knows Spanish only, ten seconds at a time."""

    options: ClassVar[type[BaseModel]] = NoOptions

    def __init__(self, name: str, settings: EngineSettings, *, cache: Path) -> None:
        self.name = name

    def capabilities(self) -> Capabilities:
        return Capabilities(frozenset({Task.ALIGN}), 10.0, languages=frozenset({"es"}))

    def load(self) -> None:
        return

    def unload(self) -> None:
        return

    def infer(self, task: Task, batch: Sequence[Clip]) -> list[Answer]:
        return [self._answer(task, clip) for clip in batch]

    def _answer(self, task: Task, clip: Clip) -> Answer:
        texts = (clip.text or "").split()
        step_s = clip.samples.size / SAMPLE_RATE / len(texts)
        words = (
            Word(i * step_s, (i + 1) * step_s, text, None, self.name)
            for i, text in enumerate(texts)
        )
        return Answer(self.name, task, clip.text or "", clip.language, words=tuple(words))
