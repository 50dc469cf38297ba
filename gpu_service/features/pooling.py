"""Hidden states of a segment -> one vector, and frames thin enough to keep."""

import numpy as np
from numpy.typing import NDArray

#: float32, shape (n_frames, hidden_size).
Hidden = NDArray[np.float32]


def pooled(hidden: Hidden) -> tuple[float, ...]:
    """Means over time, then standard deviations over time (population), 2 · hidden_size numbers.

    Statistics pooling as in x-vectors (Snyder et al. 2018, section 2.1): the means say what it
    sounds like, the deviations how it changes.

    Raises:
        ValueError: there is no frame; nothing is not zero.
    """
    if not len(hidden):
        raise ValueError("no frames to pool")
    exact = hidden.astype(np.float64)
    return tuple(np.concatenate((exact.mean(axis=0), exact.std(axis=0))).tolist())


def thinned(hidden: Hidden, every: int) -> Hidden:
    """Means of `every` frames in a row; the last group may be smaller, none is dropped."""
    if not len(hidden):
        return hidden
    starts = np.arange(0, len(hidden), every)
    sums = np.add.reduceat(hidden, starts, axis=0, dtype=np.float64)
    counts = np.minimum(every, len(hidden) - starts)
    return np.asarray(sums / counts[:, None], np.float32)
