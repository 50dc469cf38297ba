"""blocks of sound -> how well it was recorded; one pass, flat memory."""

from array import array
from functools import cache

import numpy as np
import pyloudnorm
from numpy.typing import NDArray
from scipy.signal import sosfilt, tf2sos

from shared.domain.sound import SAMPLE_RATE, Quality

#: Samples at or above this share of full scale count as clipped; fixed in `Quality`.
CLIPPED = 0.999
#: Samples of a level frame: 20 ms, the length the silence share is defined by.
FRAME = SAMPLE_RATE // 50
#: dBFS below which a frame counts as silent.
SILENT_DBFS = -60.0
#: Share of frames that are quieter than the noise estimate.
NOISE_SHARE = 0.10
#: Levels are counted in bins of a tenth of a dB down to the floor of 24-bit sound.
BIN_DB, FLOOR_DBFS = 0.1, -144.0
BINS = round(-FLOOR_DBFS / BIN_DB) + 1

#: ITU-R BS.1770-4, Annex 1: gating blocks of 400 ms overlap by 75 %, so they start every 100 ms.
HOP = SAMPLE_RATE // 10
HOPS_IN_BLOCK = 4
#: LUFS, LU. BS.1770-4, Annex 1, equations 4 to 7.
ABSOLUTE_GATE, RELATIVE_GATE, OFFSET = -70.0, -10.0, -0.691


class QualityMeter:
    """Measures a recording while it streams by."""

    def __init__(self) -> None:
        self._peak = 0.0
        self._n_samples = self._n_clipped = 0
        self._n_frames = self._n_silent = 0
        self._levels = np.zeros(BINS, np.int64)
        self._loudness = LoudnessMeter()
        self._rest = np.zeros(0, np.float32)  # samples that do not fill a frame yet

    def add(self, block: NDArray[np.float32]) -> None:
        """Take the next samples: float32, shape (n,), mono, 16 kHz, -1..1."""
        if not block.size:
            return
        loud = np.abs(block)
        self._peak = max(self._peak, float(loud.max()))
        self._n_clipped += int(np.count_nonzero(loud >= CLIPPED))
        self._n_samples += block.size
        self._loudness.add(block)
        waiting = np.concatenate((self._rest, block))
        whole = waiting.size // FRAME * FRAME
        self._count(waiting[:whole].reshape(-1, FRAME))
        self._rest = waiting[whole:]

    def result(self) -> Quality:
        """What was measured; the last frame may be shorter. More may be added afterwards."""
        n_frames, n_silent, levels = self._n_frames, self._n_silent, self._levels
        if self._rest.size:
            more, quiet, level = _counted(self._rest[np.newaxis])
            n_frames, n_silent, levels = n_frames + more, n_silent + quiet, levels + level
        return Quality(
            peak_dbfs=20 * float(np.log10(self._peak)) if self._peak else None,
            clipped_share=self._n_clipped / self._n_samples if self._n_samples else 0.0,
            loudness_lufs=self._loudness.result(),
            silence_share=n_silent / n_frames if n_frames else 0.0,
            noise_dbfs=_percentile(levels, NOISE_SHARE),
        )

    def _count(self, frames: NDArray[np.float32]) -> None:
        n_frames, n_silent, levels = _counted(frames)
        self._n_frames += n_frames
        self._n_silent += n_silent
        self._levels += levels


def _counted(frames: NDArray[np.float32]) -> tuple[int, int, NDArray[np.int64]]:
    """Frames (n, length) -> how many, how many silent, and a histogram of those not all zero."""
    power = np.mean(np.square(frames, dtype=np.float64), axis=1)  # (n,)
    dbfs = 10 * np.log10(power[power > 0])
    silent = len(frames) - np.count_nonzero(dbfs >= SILENT_DBFS)
    bins = np.clip(np.round((dbfs - FLOOR_DBFS) / BIN_DB), 0, BINS - 1).astype(np.int64)
    return len(frames), int(silent), np.bincount(bins, minlength=BINS)


def _percentile(levels: NDArray[np.int64], share: float) -> float | None:
    """The level below which `share` of the counted frames lie, in dBFS."""
    total = int(levels.sum())
    if not total:
        return None
    bin_ = int(np.searchsorted(np.cumsum(levels), share * total))
    return round(FLOOR_DBFS + bin_ * BIN_DB, 1)


@cache
def k_weighting() -> NDArray[np.float64]:
    """The two filters of BS.1770-4 at our rate, as second-order sections, shape (2, 6)."""
    filters = pyloudnorm.Meter(SAMPLE_RATE)._filters.values()
    return np.vstack([tf2sos(f.b, f.a) for f in filters])


class LoudnessMeter:
    """Integrated loudness of a mono stream, ITU-R BS.1770-4, with pyloudnorm's K-weighting.

    Keeps 8 bytes for each 100 ms (the gate is relative to the whole): 1.2 MB for four hours.
    """

    def __init__(self) -> None:
        self._sections = k_weighting()
        self._state = np.zeros((len(self._sections), 2))
        self._hops = array("d")  # mean squares of 100 ms each
        self._rest = np.zeros(0)

    def add(self, block: NDArray[np.float32]) -> None:
        weighted, self._state = sosfilt(self._sections, block, zi=self._state)
        waiting = np.concatenate((self._rest, weighted))
        whole = waiting.size // HOP * HOP
        if whole:
            hops = waiting[:whole].reshape(-1, HOP)
            self._hops.extend(np.mean(np.square(hops), axis=1))
        self._rest = waiting[whole:]

    def result(self) -> float | None:
        """LUFS; None where no block of 400 ms is louder than the absolute gate."""
        hops = np.array(self._hops)
        if hops.size < HOPS_IN_BLOCK:
            return None
        blocks = np.convolve(hops, np.full(HOPS_IN_BLOCK, 1 / HOPS_IN_BLOCK), "valid")
        blocks = blocks[blocks > _power(ABSOLUTE_GATE)]
        if not blocks.size:
            return None
        relative = blocks.mean() * 10 ** (RELATIVE_GATE / 10)
        return _lufs(float(blocks[blocks > relative].mean()))


def _lufs(power: float) -> float:
    return OFFSET + 10 * float(np.log10(power))


def _power(lufs: float) -> float:
    return float(10 ** ((lufs - OFFSET) / 10))
