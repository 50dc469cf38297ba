"""What is loud, whatever it is: so that nothing loud goes by without a word said about it."""

import numpy as np
from numpy.typing import NDArray

from gpu_service.hearing.quality import NOISE_SHARE, SILENT_DBFS
from shared.domain.sound import SAMPLE_RATE, Span
from shared.domain.stretches import joined

#: Samples a level is measured over: 20 ms, as in `Quality`.
FRAME = SAMPLE_RATE // 50
FRAME_S = FRAME / SAMPLE_RATE
#: Weight of the sample before, taken away: the pre-emphasis of speech coders, 1 - 0.97/z. Wind
#: and traffic, strong below 100 Hz, then no longer swing over the gate (brown noise: half of its
#: frames did, none does).
EMPHASIS = 0.97
#: dB above the noise floor that is loud. Of speech 30, 20 and 10 dB above white noise (24
#: sentences of four flite voices) 76, 64 and 33 % of the frames are; of steady noise, tones and
#: struck chords none.
MARGIN_DB = 12.0
#: Seconds. A quieter moment this long is inside a loud stretch (a stop consonant, a beat), and a
#: shorter loud stretch is a click, a knock or a cough: no detector misses speech for less.
GAP_S, SHORTEST_S = 0.2, 0.5
#: dBFS of the lowest level kept, a byte each.
FLOOR_DBFS = -144

Samples = NDArray[np.float32]


class EnergyGate:
    """Give it the sound block by block, then ask what was loud.

    The noise floor is the level that a tenth of the frames stays below, as in `Quality`, but not
    under -60 dBFS. Memory: one byte per 20 ms (2.2 MB for 12 h). Not thread-safe.
    """

    def __init__(self) -> None:
        self._last = np.zeros(1, np.float32)
        self._rest = np.zeros(0, np.float32)
        self._levels = bytearray()  # dB above FLOOR_DBFS

    def add(self, block: Samples) -> None:
        """Take the next samples: float32, shape (n,), mono, 16 kHz, -1..1, any n."""
        if not block.size:
            return
        before = np.concatenate([self._last, block[:-1]])
        waiting = np.concatenate([self._rest, block - np.float32(EMPHASIS) * before])
        whole = waiting.size // FRAME * FRAME
        power = np.mean(np.square(waiting[:whole].reshape(-1, FRAME), dtype=np.float64), axis=1)
        levels = 10 * np.log10(np.maximum(power, 1e-30)) - FLOOR_DBFS
        self._levels += np.clip(np.rint(levels), 0, 255).astype(np.uint8).tobytes()
        self._last, self._rest = block[-1:].copy(), waiting[whole:]

    def result(self) -> list[Span]:
        """Loud stretches in seconds, sorted and apart, of whole frames. More may be added."""
        levels = np.frombuffer(bytes(self._levels), np.uint8)
        if len(levels) * FRAME_S < SHORTEST_S:
            return []
        floor = max(float(np.quantile(levels, NOISE_SHARE)), SILENT_DBFS - FLOOR_DBFS)
        loud = np.flatnonzero(levels >= floor + MARGIN_DB)
        runs = np.split(loud, np.flatnonzero(np.diff(loud) > 1) + 1) if loud.size else []
        spans = [(float(r[0]) * FRAME_S, float(r[-1] + 1) * FRAME_S) for r in runs]
        return [(a, b) for a, b in joined(spans, GAP_S) if b - a >= SHORTEST_S]
