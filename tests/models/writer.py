"""A kind of engine that writes one text and nothing else, as the newest paid ones do: no times."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel

from gpu_service.engines.engine import Capabilities, Clip
from gpu_service.engines.registry import EngineSettings
from shared.domain.answers import Answer, Task


class Written(BaseModel):
    text: str


class Writer:
    options: ClassVar[type[BaseModel]] = Written

    def __init__(self, name: str, settings: EngineSettings, *, cache: Path) -> None:
        self.name, self._text = name, Written.model_validate(settings.options).text

    def capabilities(self) -> Capabilities:
        return Capabilities(frozenset({Task.TRANSCRIBE}), max_duration_s=28.0)

    def load(self) -> None:
        return

    def unload(self) -> None:
        return

    def infer(self, task: Task, batch: Sequence[Clip]) -> list[Answer]:
        return [Answer(self.name, task, self._text, language="en") for _ in batch]
