"""A kind of engine with an opinion: shows which question reaches it, and is sure or not."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel

from gpu_service.engines.engine import Capabilities, Clip
from gpu_service.engines.registry import EngineSettings
from shared.domain.answers import Answer, Task
from shared.domain.sound import SAMPLE_RATE
from shared.errors import EngineUnavailable


class OracleOptions(BaseModel):
    model_config = {"extra": "forbid"}

    signals: dict[str, float] = {}
    silent: bool = False  #: never answers
    languages: frozenset[str] | None = None


class Oracle:
    """Kind `tests.gpu_service.oracle:Oracle`."""

    options: ClassVar[type[BaseModel]] = OracleOptions

    def __init__(self, name: str, settings: EngineSettings, *, cache: Path) -> None:
        self.name = name
        self._options = OracleOptions.model_validate(settings.options)

    def capabilities(self) -> Capabilities:
        return Capabilities(
            frozenset({Task.TRANSCRIBE, Task.DESCRIBE, Task.ANSWER}),
            max_duration_s=28.0,
            languages=self._options.languages,
            versions={"checkpoint": "oracle/1"},
        )

    def load(self) -> None:
        return

    def unload(self) -> None:
        return

    def infer(self, task: Task, batch: Sequence[Clip]) -> list[Answer]:
        if self._options.silent:
            raise EngineUnavailable("The oracle is silent.")
        return [self._answer(task, clip) for clip in batch]

    def _answer(self, task: Task, clip: Clip) -> Answer:
        seconds = clip.samples.size / SAMPLE_RATE
        said = clip.text if task is Task.ANSWER else "somebody speaks"
        text = f"{said} {seconds:.1f}"
        return Answer(self.name, task, text, confidence=0.99, signals=self._options.signals)
