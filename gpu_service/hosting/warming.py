"""An engine made ready in its process: loaded, heard a second with, and measured."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from gpu_service.engines.engine import Clip, Engine, Samples
from gpu_service.engines.registry import EngineSettings, build
from gpu_service.hosting.interpreters import needs_torch
from gpu_service.weights.loading import Part, Stopwatch, measured
from shared.domain.answers import Task
from shared.domain.sound import SAMPLE_RATE
from shared.errors import DeviceUnavailable, EarwitnessError, Layer

#: Tenant of the clips nobody asked about.
NOBODY = "warm-up"
#: Seconds of the two clips a footprint is measured with: the least, and enough for the growth
#: to stand out of the noise of an allocator (a second of wav2vec2-base costs some 2 MB).
SHORT_S, LONG_S = 1.0, 9.0
#: Amplitude of the noise: quiet speech, -30 dBFS.
LOUDNESS = 0.03


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a call takes at its peak: `base_mb` and `mb_per_s` for each second, padding counted."""

    base_mb: float
    mb_per_s: float


@dataclass(frozen=True, slots=True)
class Loaded:
    """What loading an engine took."""

    parts_s: dict[str, float] = field(default_factory=dict)  #: by Part
    warm_up_s: dict[str, float] = field(default_factory=dict)  #: one second of sound, by task
    memory_mb: float = 0.0  #: held now, on the device it runs on
    footprint: Footprint | None = None  #: None where it was not warmed up

    def begun(self, took_s: float) -> "Loaded":
        """With the time that only who waits for the process sees: its start."""
        start = max(0.0, took_s - sum(self.parts_s.values()))
        return replace(self, parts_s={Part.START.value: round(start, 4), **self.parts_s})


def loaded(
    name: str, settings: EngineSettings, cache: Path, watch: Stopwatch
) -> tuple[Engine, Loaded]:
    """Build and load the engine in this process; warm it up where its settings say so.

    Raises:
        WeightsRefused, InvalidSettings: it cannot be loaded.
        DeviceUnavailable: torch sees no such GPU.
    """
    meter = _meter(settings.device)
    with measured(watch):
        with watch.part(Part.IMPORT):
            _import_libraries(settings)
        with watch.part(Part.BUILD):
            engine = build(name, settings, cache=cache)
            engine.load()
        warm_up_s: dict[str, float] = {}
        footprint = None
        if wants_warm_up(settings):
            with watch.part(Part.WARM_UP):
                footprint = _warmed_up(engine, warm_up_s, meter)
    held = meter.held_mb()
    parts = {name: round(seconds, 4) for name, seconds in watch.seconds.items()}
    return engine, Loaded(parts, warm_up_s, held, footprint)


def wants_warm_up(settings: EngineSettings) -> bool:
    """As the settings say; unsaid, where a first call costs more than a later one.

    On torch and on a GPU kernels are chosen and memory is pooled at the first call. The others
    gain nothing, and whoever waits for the first answer would wait a call longer.
    """
    if settings.warm_up is not None:
        return settings.warm_up
    return settings.device != "cpu" or needs_torch(settings)


def _import_libraries(settings: EngineSettings) -> None:
    if needs_torch(settings):
        import torch
        import transformers  # timed here; the engine finds both loaded

        transformers.utils.logging.disable_progress_bar()  # nobody watches a child's stderr
        if settings.threads:
            torch.set_num_threads(settings.threads)
        if settings.device != "cpu" and not _is_there(settings.device, torch.cuda.device_count()):
            # Before a model is built for it, which may take minutes.
            raise DeviceUnavailable(
                f"There is no {settings.device} here: torch sees {torch.cuda.device_count()} GPUs.",
                device=settings.device,
            )


def _is_there(device: str, gpus: int) -> bool:
    return int(device.partition(":")[2] or 0) < gpus


def _warmed_up(engine: Engine, warm_up_s: dict[str, float], meter: "Meter") -> Footprint:
    """Every task once with a second and once with more; the largest growth counts."""
    longest = min(LONG_S, engine.capabilities().max_duration_s)
    found = []
    for task in sorted(engine.capabilities().tasks):
        began = time.monotonic()
        small = _peak(engine, task, SHORT_S, meter)
        warm_up_s[task.value] = round(time.monotonic() - began, 4)
        large = _peak(engine, task, longest, meter)
        growth = max(large - small, 0.0) / max(longest - SHORT_S, 1e-3)
        found.append((small - growth * SHORT_S, growth))
    base, growth = (max(column, default=0.0) for column in zip(*found, strict=True))
    return Footprint(round(base, 1), round(growth, 3))


def _peak(engine: Engine, task: Task, seconds: float, meter: "Meter") -> float:
    """MB at the peak of one call; a task that does not take our clip costs nothing."""
    meter.reset()
    try:
        engine.infer(task, [warm_clip(task, seconds)])
    except EarwitnessError as error:
        if error.layer is not Layer.VALIDATION:
            raise
    return meter.peak_mb()


def warm_clip(task: Task, seconds: float) -> Clip:
    """Noise of this length with what the task needs; the same sound every time."""
    n = round(seconds * SAMPLE_RATE)
    noise: Samples = np.random.default_rng(0).standard_normal(n, dtype=np.float32)
    return Clip(
        noise * np.float32(LOUDNESS),
        NOBODY,
        language="en",
        speech=((0.0, seconds),),
        text={Task.ALIGN: "a", Task.ANSWER: "What is heard?"}.get(task),
    )


class Meter:
    """Memory of this process, in MB. Source: proc_pid_status(5), proc_pid_clear_refs(5)."""

    def reset(self) -> None:
        """Forget the peak so far."""
        with suppress(OSError):  # not on Linux, or not allowed: the peak is the whole life's
            Path("/proc/self/clear_refs").write_text("5")

    def peak_mb(self) -> float:
        return resident_mb("self", "VmHWM")

    def held_mb(self) -> float:
        return resident_mb("self", "VmRSS")


class CudaMeter(Meter):
    """Memory on a GPU: of this process as the driver counts it, with CUDA's own share.

    In a container the driver may not know our process id; then what torch holds is told, or of
    other libraries by how much the device has filled since we began.
    Source: NVML API reference, nvmlDeviceGetComputeRunningProcesses.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._filled_before = _filled_mb(device)

    def reset(self) -> None:
        if (torch := sys.modules.get("torch")) is not None:
            torch.cuda.reset_peak_memory_stats(self._device)

    def peak_mb(self) -> float:
        if (torch := sys.modules.get("torch")) is None:
            return self.held_mb()
        beside = max(0.0, self.held_mb() - torch.cuda.memory_reserved(self._device) / 1e6)
        return float(beside + torch.cuda.max_memory_reserved(self._device) / 1e6)

    def held_mb(self) -> float:
        ours = _ours_mb(self._device)
        if ours is not None:
            return ours
        if (torch := sys.modules.get("torch")) is not None:
            return float(torch.cuda.memory_reserved(self._device)) / 1e6
        return max(0.0, _filled_mb(self._device) - self._filled_before)


def _meter(device: str) -> Meter:
    return Meter() if device == "cpu" else CudaMeter(device)


def _ours_mb(device: str) -> float | None:
    """What the driver counts for this process; None where it does not know us."""
    with _driver(device) as (nvml, handle):
        if handle is not None:
            for process in nvml.nvmlDeviceGetComputeRunningProcesses(handle):
                if process.pid == os.getpid() and process.usedGpuMemory:
                    return float(process.usedGpuMemory) / 1e6
    return None


def _filled_mb(device: str) -> float:
    """What everybody holds on the device; 0.0 without a driver."""
    with _driver(device) as (nvml, handle):
        return float(nvml.nvmlDeviceGetMemoryInfo(handle).used) / 1e6 if handle else 0.0


@contextmanager
def _driver(device: str) -> Iterator[tuple[Any, Any]]:
    """NVML and the device's handle in it; None where there is no driver or no such device."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        yield pynvml, None
        return
    try:
        yield pynvml, _handle(pynvml, int(device.partition(":")[2] or 0))
    finally:
        pynvml.nvmlShutdown()


def _handle(nvml: Any, number: int) -> Any:
    """CUDA counts only the devices it was told to see, by number or by name."""
    visible = [v.strip() for v in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if v]
    name = visible[number] if number < len(visible) else str(number)
    try:
        if name.isdigit():
            return nvml.nvmlDeviceGetHandleByIndex(int(name))
        return nvml.nvmlDeviceGetHandleByUUID(name)
    except nvml.NVMLError:
        return None


def resident_mb(pid: int | str, field: str = "VmRSS") -> float:
    """Memory of a process; 0.0 where it is gone or the system does not say."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    lines = (line.split() for line in status.splitlines())
    return next((int(words[1]) * 1024 / 1e6 for words in lines if words[0] == f"{field}:"), 0.0)
