"""Small real engines: one that needs torch, one that is elsewhere, one that fails on a GPU."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from threading import Barrier
from typing import Any, ClassVar

from pydantic import BaseModel

from gpu_service.engines.engine import Capabilities, Clip
from gpu_service.engines.registry import EngineSettings, NoOptions
from shared.domain.answers import Answer, Task
from shared.errors import EngineUnavailable

ON_TORCH = "tests.engines.kinds:OnTorch"
DISTANT = "tests.engines.kinds:Distant"
ON_CUDA = "tests.engines.kinds:OnCuda"
ROOMY = "tests.engines.kinds:Roomy"


class Listener:
    options: ClassVar[type[BaseModel]] = NoOptions

    def __init__(self, name: str, settings: EngineSettings, *, cache: Path) -> None:
        self.name, self.settings = name, settings

    def capabilities(self) -> Capabilities:
        return Capabilities(frozenset({Task.TRANSCRIBE}), max_duration_s=28.0)

    def load(self) -> None:
        return

    def unload(self) -> None:
        return

    def infer(self, task: Task, batch: Sequence[Clip]) -> list[Answer]:
        return [Answer(self.name, task, text=self.said(clip)) for clip in batch]

    def said(self, clip: Clip) -> str:
        return f"{clip.samples.size}"


class OnTorch(Listener):
    """Says which torch it runs on, and the mean of the sound by torch."""

    needs_torch: ClassVar[bool] = True

    def said(self, clip: Clip) -> str:
        import torch

        return f"{torch.__version__} {torch.from_numpy(clip.samples).mean().item():.3f}"


class OnCuda(Listener):
    """Fails on `cuda` as torch without a driver does; `cuda:1` kills its process; the CPU works.

    A file named in `options.mended` makes `cuda:2` work while it is there, and a call there with
    a sound that begins with 1.0 kills the process, as an illegal access on a device does.
    """

    class Options(BaseModel):
        mended: str = ""

    options: ClassVar[type[BaseModel]] = Options

    def load(self) -> None:
        if self.settings.device == "cuda":
            raise RuntimeError("Found no NVIDIA driver on your system.")
        if self.settings.device == "cuda:1":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.settings.device == "cuda:2" and not Path(self._mended).exists():
            raise RuntimeError("CUDA error: no CUDA-capable device is detected")

    @property
    def _mended(self) -> str:
        return str(self.settings.options["mended"])

    def said(self, clip: Clip) -> str:
        if self.settings.device != "cpu" and clip.samples[0] == 1.0:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        return f"{self.settings.device} {self.settings.dtype}"


class Distant(Listener):
    """Two calls at once; each waits until the other is there too."""

    meeting: ClassVar[Barrier] = Barrier(2, timeout=300)

    def capabilities(self) -> Capabilities:
        return Capabilities(frozenset({Task.TRANSCRIBE}), max_duration_s=28.0, concurrency=2)

    def said(self, clip: Clip) -> str:
        if clip.tenant == "refused":
            raise EngineUnavailable("The service elsewhere is busy.")
        if clip.tenant == "pair":
            self.meeting.wait()
        return f"{clip.samples.size} {os.getpid()}"


class Paid(Listener):
    """Each call costs money; it is an error to make one in a test."""

    def capabilities(self) -> Capabilities:
        tasks = frozenset({Task.TRANSCRIBE})
        return Capabilities(tasks, max_duration_s=28.0, concurrency=2, paid=True)

    def said(self, clip: Clip) -> str:
        raise AssertionError("money was spent")


class Roomy(Listener):
    """Takes `mb` of memory (2**20 bytes) when loaded, and `mb_per_s` for each second it hears."""

    class Options(BaseModel):
        mb: int = 1
        mb_per_s: int = 1

    options: ClassVar[type[BaseModel]] = Options
    kept: Any = None

    def load(self) -> None:
        self.kept = b"\x01" * (self._option("mb") << 20)

    def said(self, clip: Clip) -> str:
        heard = b"\x01" * (round(clip.samples.size / 16_000) * self._option("mb_per_s") << 20)
        return f"{len(heard)}"

    def _option(self, name: str) -> int:
        return int(str(self.settings.options.get(name, 1)))
