"""A kind of engine that answers as echo does and loses some of it, without a word."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import BaseModel

from gpu_service.engines.echo import Echo
from gpu_service.engines.engine import Capabilities, Clip
from gpu_service.engines.registry import EngineSettings
from shared.domain.answers import Answer, Task


class Loses(BaseModel):
    loses: Literal["third_segments", "last_thirds", "word_times", "nothing"]


class Forgetful:
    """Implements `Engine`. Counts the clips it was given over all batches."""

    options: ClassVar[type[BaseModel]] = Loses

    def __init__(self, name: str, settings: EngineSettings, *, cache: Path) -> None:
        self.name = name
        self._echo = Echo(name, settings, cache=cache)
        self._loses = Loses.model_validate(settings.options).loses
        self._heard = 0

    def capabilities(self) -> Capabilities:
        return self._echo.capabilities()

    def load(self) -> None:
        return

    def unload(self) -> None:
        return

    def infer(self, task: Task, batch: Sequence[Clip]) -> list[Answer]:
        return [self._less(answer) for answer in self._echo.infer(task, batch)]

    def _less(self, answer: Answer) -> Answer:
        self._heard += 1
        words = answer.words
        if self._loses == "third_segments" and self._heard % 3 == 0:
            words = ()
        elif self._loses == "last_thirds":
            words = words[: len(words) * 2 // 3]
        elif self._loses == "word_times":
            return replace(answer, text=words[0].text, words=())
        return replace(answer, text=" ".join(w.text for w in words), words=words)
