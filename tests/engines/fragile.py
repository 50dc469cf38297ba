"""A real engine elsewhere that is down whenever the test's clock says so."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel

from gpu_service.engines.engine import Capabilities, Clip
from gpu_service.engines.registry import EngineSettings, NoOptions
from shared.domain.answers import Answer, Task
from shared.errors import EngineUnavailable


class Fragile:
    """Kind `tests.engines.fragile:Fragile`; the test sets `down` on the class it made."""

    options: ClassVar[type[BaseModel]] = NoOptions
    down: ClassVar[Callable[[], bool]] = staticmethod(lambda: False)
    calls: ClassVar[int] = 0

    def __init__(self, name: str, settings: EngineSettings, *, cache: Path) -> None:
        self.name = name

    def capabilities(self) -> Capabilities:
        return Capabilities(frozenset({Task.TRANSCRIBE}), max_duration_s=28.0, concurrency=2)

    def load(self) -> None:
        return

    def unload(self) -> None:
        return

    def infer(self, task: Task, batch: Sequence[Clip]) -> list[Answer]:
        Fragile.calls += 1
        if Fragile.down():
            raise EngineUnavailable("The model is down.")
        return [Answer(self.name, task, text="heard") for _ in batch]
