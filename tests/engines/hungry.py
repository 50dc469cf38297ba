"""A real engine that takes memory for each padded second, under a limit of its own."""

import os
import resource
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import BaseModel

from gpu_service.engines.engine import Capabilities, Clip
from gpu_service.engines.registry import EngineSettings
from gpu_service.serving.batches import cost_s
from shared.domain.answers import Answer, Task
from shared.domain.sound import SAMPLE_RATE

MB = 1 << 20


class HungryOptions(BaseModel):
    model_config = {"extra": "forbid"}

    mb_per_s: int = 8
    room_mb: int = 400  #: beyond what the process has when it is loaded
    ends: Literal["says", "killed"] = "says"  #: what happens where memory runs out


class Hungry:
    """Answers with the size of the batch; kind `tests.engines.hungry:Hungry`."""

    options: ClassVar[type[BaseModel]] = HungryOptions

    def __init__(self, name: str, settings: EngineSettings, *, cache: Path) -> None:
        self.name = name
        self._options = HungryOptions.model_validate(settings.options)

    def capabilities(self) -> Capabilities:
        return Capabilities(frozenset({Task.TRANSCRIBE}), max_duration_s=60.0, padding="batch")

    def load(self) -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        room = pages * resource.getpagesize() + self._options.room_mb * MB
        resource.setrlimit(resource.RLIMIT_AS, (room, room))

    def unload(self) -> None:
        return

    def infer(self, task: Task, batch: Sequence[Clip]) -> list[Answer]:
        padded_s = cost_s([clip.samples.size / SAMPLE_RATE for clip in batch], "batch")
        try:
            held = np.ones(int(padded_s * self._options.mb_per_s * MB), np.uint8)
        except MemoryError:
            if self._options.ends == "killed":
                os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does
            raise
        return [Answer(self.name, task, text=f"{len(batch)} {held[-1]}") for _ in batch]
