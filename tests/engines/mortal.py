"""A real engine whose fate is in the sound: what the first sample says happens to its process."""

import os
import signal
import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import BaseModel

from gpu_service.engines.engine import Capabilities, Clip
from gpu_service.engines.registry import EngineSettings
from shared.domain.answers import Answer, Task
from shared.errors import EngineUnavailable, WeightsRefused

FINE, KILLED, CRASHES, UNAVAILABLE, HANGS = 0.0, 0.125, 0.25, 0.5, 0.75


class MortalOptions(BaseModel):
    model_config = {"extra": "forbid"}

    gate: int | None = None  #: a port on this machine that is told of each call and lets it begin
    dies_loading: bool = False
    weights: bool = True


class Mortal:
    """Answers with the count of samples; kind `tests.engines.mortal:Mortal`."""

    options: ClassVar[type[BaseModel]] = MortalOptions

    def __init__(self, name: str, settings: EngineSettings, *, cache: Path) -> None:
        self.name = name
        self._options = MortalOptions.model_validate(settings.options)

    def capabilities(self) -> Capabilities:
        return Capabilities(frozenset({Task.TRANSCRIBE, Task.CLASSIFY}), max_duration_s=28.0)

    def load(self) -> None:
        if self._options.dies_loading:
            os.kill(os.getpid(), signal.SIGKILL)
        if not self._options.weights:
            raise WeightsRefused("The model file model.bin is missing.", file="model.bin")

    def unload(self) -> None:
        return

    def infer(self, task: Task, batch: Sequence[Clip]) -> list[Answer]:
        if self._options.gate:
            _pass(self._options.gate, f"{len(batch)} {task}")
        for clip in batch:
            _meet(float(clip.samples[0]))
        return [
            Answer(self.name, task, text=f"{clip.samples.size} {clip.tenant}") for clip in batch
        ]


class Gate:
    """The other end of the option `gate`."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def let_one_begin(self) -> str:
        """Wait for the next call and let it go on; says how many clips and which task."""
        visitor, _ = self._listener.accept()
        with visitor:
            return visitor.recv(100).decode()

    def close(self) -> None:
        self._listener.close()


def _pass(port: int, said: str) -> None:
    with socket.create_connection(("127.0.0.1", port)) as gate:
        gate.sendall(said.encode())
        gate.recv(1)  # returns when the other end closes


def _meet(fate: float) -> None:
    if fate == KILLED:
        os.kill(os.getpid(), signal.SIGKILL)
    if fate == CRASHES:
        raise RuntimeError("a bug in the engine")
    if fate == UNAVAILABLE:
        raise EngineUnavailable("No memory left on the device.", device="cuda:0")
    if fate == HANGS:
        threading.Event().wait()


def doomed(fate: float = FINE, size: int = 160, tenant: str = "acme") -> Clip:
    samples = np.zeros(size, np.float32)
    samples[0] = fate
    return Clip(samples, tenant)
