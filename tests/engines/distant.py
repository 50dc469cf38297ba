"""A real engine that several threads ask at once, as a service elsewhere; it fails as told."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel

from gpu_service.engines.engine import Capabilities, Clip
from gpu_service.engines.registry import EngineSettings
from shared.domain.answers import Answer, Task
from shared.errors import EngineUnavailable


class DistantOptions(BaseModel):
    model_config = {"extra": "forbid"}

    busy_calls: int = 0  #: the first so many calls are refused with a time to come back
    broken_calls: int = 0  #: the first so many calls fail without one
    together: int = 1  #: a call ends when so many are in hand at once


class Distant:
    """Kind `tests.engines.distant:Distant`. Answers with the size of the call."""

    options: ClassVar[type[BaseModel]] = DistantOptions

    def __init__(self, name: str, settings: EngineSettings, *, cache: Path) -> None:
        self.name = name
        self._options = DistantOptions.model_validate(settings.options)
        self._calls, self._lock = 0, threading.Lock()
        self._all_here = threading.Barrier(self._options.together)

    def capabilities(self) -> Capabilities:
        return Capabilities(frozenset({Task.TRANSCRIBE}), max_duration_s=1_500.0, concurrency=4)

    def load(self) -> None:
        return

    def unload(self) -> None:
        return

    def infer(self, task: Task, batch: Sequence[Clip]) -> list[Answer]:
        with self._lock:
            self._calls += 1
            call = self._calls
        if call <= self._options.busy_calls:
            raise EngineUnavailable("Come back later.", retry_after_s=0.0)
        if call <= self._options.broken_calls:
            raise EngineUnavailable("The line broke.")
        self._all_here.wait(30.0)
        return [Answer(self.name, task, text=f"{len(batch)} {call}") for _ in batch]
