"""Where somebody may be speaking, found while the sound streams past.

Silero VAD v6 as faster-whisper ships it (MIT): one probability for each 32 ms.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.domain.sound import SAMPLE_RATE

#: Samples the model judges at a time (its training window at 16 kHz), and the samples of the
#: window before that it is shown again.
WINDOW, CONTEXT = 512, 64
WINDOW_S = WINDOW / SAMPLE_RATE
#: Width of the model's recurrent state.
STATE = 128
#: Windows judged in one call; bounds the memory (2 MB) whatever the size of a block.
BATCH = 1024

Block = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Rules:
    """How probabilities become spans.

    Measured on 80 single words (four flite voices, trimmed to 0.18 s at the least, clean and
    with noise) and 15 minutes of white, pink and brown noise: every word has two windows at
    0.5 or more, no noise has.
    """

    start_at: float = 0.5  #: a span begins at this probability (Silero's own default)
    stay_at: float = 0.35  #: and lasts while it stays here (Silero: 0.15 lower)
    min_windows: int = 2  #: windows at `start_at` a span needs; one alone is a click
    min_silence_s: float = 0.3  #: a shorter dip is inside a span; pauses between phrases are longer
    #: Added on both sides. Silero marks onsets of soft consonants up to 0.2 s late
    #: (Whisper then loses the word), so this leans to hearing too much.
    pad_s: float = 0.25


RULES = Rules()


class VoiceActivity:
    """Give it the sound block by block, then ask where the speech is.

    Memory: 32 s of sound, and one byte per 32 ms (1.35 MB for 12 h). Not thread-safe.
    """

    def __init__(self, rules: Rules = RULES) -> None:
        self._rules = rules
        self._model = _silero()
        self._state = (np.zeros((1, 1, STATE), np.float32),) * 2
        self._tail = np.zeros(CONTEXT, np.float32)
        self._rest = np.zeros(0, np.float32)
        self._samples = 0
        self._levels = bytearray()  # probability x 255; 0.5 keeps its side when rounded

    def add(self, block: Block) -> None:
        """Take the next samples: float32, shape (n,), mono, 16 kHz, -1..1, any n."""
        self._samples += block.size
        sound = np.concatenate([self._rest, block])
        whole = sound.size - sound.size % (BATCH * WINDOW)
        for at in range(0, whole, BATCH * WINDOW):
            self._judge(sound[at : at + BATCH * WINDOW])
        self._rest = sound[whole:]

    def result(self) -> list[tuple[float, float]]:
        """Spans of speech in seconds, sorted, apart, inside the sound. May be asked repeatedly."""
        return spans(self.probabilities(), self._samples / SAMPLE_RATE, self._rules)

    def probabilities(self) -> NDArray[np.float32]:
        """Probability of speech in each 32 ms, shape (n_windows,), steps of 1/255.

        Ends the sound: a window cut short is filled up with silence.
        """
        self._finish()
        levels = np.frombuffer(bytes(self._levels), np.uint8)
        return (levels / 255).astype(np.float32)

    def so_far(self, first: int = 0) -> NDArray[np.float32]:
        """As `probabilities`, from window `first` on and of whole windows: the sound goes on."""
        whole = self._rest.size - self._rest.size % WINDOW
        if whole:
            self._judge(self._rest[:whole])
            self._rest = self._rest[whole:]
        return (np.frombuffer(self._levels[first:], np.uint8) / 255).astype(np.float32)

    def highest(self, start_s: float, end_s: float) -> float:
        """The highest probability of speech of any window that reaches into start_s..end_s."""
        self._finish()
        levels = self._levels[int(start_s / WINDOW_S) : ceil(end_s / WINDOW_S)]
        return max(levels, default=0) / 255

    def quietest(self, start_s: float, end_s: float) -> float:
        """The moment in start_s..end_s where speech is least likely: the best place to cut.

        The probability is averaged over 5 windows (160 ms) so that a pause wins over a stop
        consonant. Among moments nearly as good (0.05) the latest, since fuller pieces cost less.
        """
        first, last = ceil(start_s / WINDOW_S), int(end_s / WINDOW_S)
        levels = self.probabilities()[first : max(last, first + 1)]
        if not levels.size:
            return end_s
        smooth = _smooth(levels)
        latest = int(np.flatnonzero(smooth <= smooth.min() + 0.05)[-1])
        return min(max((first + latest + 0.5) * WINDOW_S, start_s), end_s)

    def goes_on(self, moment_s: float) -> bool:
        """Whether somebody speaks through this moment: no pause of 160 ms lies around it."""
        window = int(moment_s / WINDOW_S)
        levels = self.probabilities()[max(0, window - 2) : window + 3]
        return bool(levels.size) and float(levels.mean()) >= self._rules.stay_at

    def _finish(self) -> None:
        """Judge what is left, the last window filled up with silence: a short clip in one go."""
        if self._rest.size:
            silence = np.zeros(-self._rest.size % WINDOW, np.float32)
            self._judge(np.concatenate([self._rest, silence]))
            self._rest = self._rest[:0]

    def _judge(self, sound: Block) -> None:
        windows = sound.reshape(-1, WINDOW)
        before = np.concatenate([self._tail[None], windows[:-1, -CONTEXT:]])
        seen = np.concatenate([before, windows], axis=1)  # (n_windows, CONTEXT + WINDOW)
        odds, h, c = self._model.run(
            None, {"input": seen, "h": self._state[0], "c": self._state[1]}
        )
        self._state, self._tail = (h, c), windows[-1, -CONTEXT:].copy()
        self._levels += np.rint(odds.ravel() * 255).astype(np.uint8).tobytes()


def spans(
    probabilities: Sequence[float] | NDArray[np.float32],
    duration_s: float,
    rules: Rules = RULES,
) -> list[tuple[float, float]]:
    """Spans of speech out of the probability of each 32 ms window; pure.

    Hysteresis as in Silero's `get_speech_timestamps`; where the padding of two neighbours
    would meet, each gets half of the silence between them.
    """
    found = _heard(np.asarray(probabilities, np.float32), rules)
    padded: list[tuple[float, float]] = []
    for i, (start, end) in enumerate(found):
        before = start - found[i - 1][1] if i else np.inf
        after = found[i + 1][0] - end if i + 1 < len(found) else np.inf
        left = max(0.0, start - min(rules.pad_s, before / 2))
        right = min(duration_s, end + min(rules.pad_s, after / 2))
        if right > left:
            padded.append((float(left), float(right)))
    return padded


def _smooth(levels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means over 5 windows, shape as given."""
    return np.convolve(np.pad(levels, 2, mode="edge"), np.full(5, 0.2, np.float32), mode="valid")


def _heard(probabilities: NDArray[np.float32], rules: Rules) -> list[tuple[float, float]]:
    """Unpadded spans: runs at `stay_at` or more that contain enough windows at `start_at`."""
    # So many windows below `stay_at` in a row end a run.
    patience = ceil(rules.min_silence_s / WINDOW_S)
    loud = np.flatnonzero(probabilities >= rules.stay_at)
    runs = np.split(loud, np.flatnonzero(np.diff(loud) > patience) + 1) if loud.size else []
    found: list[tuple[float, float]] = []
    for run in runs:
        sure = run[probabilities[run] >= rules.start_at]
        if sure.size >= rules.min_windows:
            found.append((float(sure[0]) * WINDOW_S, float(run[-1] + 1) * WINDOW_S))
    return found


@cache
def _silero() -> Any:
    """The session; one per process, as it holds no state between calls."""
    import onnxruntime
    from faster_whisper.utils import get_assets_path

    settings = onnxruntime.SessionOptions()
    # One thread: 0.2 % of real time already, and the cores belong to the engine.
    settings.inter_op_num_threads = settings.intra_op_num_threads = 1
    settings.enable_cpu_mem_arena = False
    settings.log_severity_level = 4
    path = Path(get_assets_path()) / "silero_vad_v6.onnx"
    return onnxruntime.InferenceSession(str(path), settings, ["CPUExecutionProvider"])
