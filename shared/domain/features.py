"""Embeddings of a recording's windows, put together into those of the recording."""

import base64
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from shared.domain.answers import Embedding
from shared.domain.cascade import Decided
from shared.domain.npy import float32, npy
from shared.domain.sound import Segment

#: Names of the files beside the result.
VECTOR, FRAMES = "vector.npy", "features.npy"
#: A window, and what it sounds like.
Felt = tuple[Segment, Embedding]


@dataclass(frozen=True, slots=True)
class Pooled:
    """What a whole recording sounds like."""

    engine: str
    vector: tuple[float, ...]  #: means over the recording, then standard deviations
    frames: bytes  #: int8, (n_frames, dims), row by row; frame i is at i / frames_per_s
    dims: int
    frames_per_s: float


def pooled(windows: Sequence[Segment], decided: Sequence[Decided]) -> Pooled | None:
    """One vector and one row of frames; None where no window has an embedding.

    Means and variances of the windows are combined by their seconds, so that the vector is that
    of all the sound at once: var = sum w (s^2 + m^2) / sum w - mean^2 (law of total variance;
    Chan et al. 1979, "Updating Formulae", eq. 1.5 is the same for two). Numbers of two engines
    mean different things: the engine that heard most seconds is taken, the others left out.
    """
    plan = {window.index: window for window in windows}
    felt = defaultdict[tuple[str, int, int], list[Felt]](list)
    for d in sorted(decided, key=lambda d: d.segment):
        if (e := d.answer.embedding) is not None:
            felt[d.answer.engine, len(e.vector), e.dims].append((plan[d.segment], e))
    if not felt:
        return None
    most = max(felt, key=lambda key: sum(window.duration_s for window, _ in felt[key]))
    chosen, (engine, _, dims) = felt[most], most
    rate = chosen[0][1].frames_per_s
    return Pooled(engine, _vector(chosen), _frames(windows, chosen, rate, dims), dims, rate)


def _vector(felt: Sequence[Felt]) -> tuple[float, ...]:
    half = len(felt[0][1].vector) // 2
    total, sums, squares = 0.0, [0.0] * half, [0.0] * half
    for window, embedding in felt:
        weight = window.duration_s
        total += weight
        pairs = zip(embedding.vector[:half], embedding.vector[half:], strict=True)
        for i, (mean, deviation) in enumerate(pairs):
            sums[i] += weight * mean
            squares[i] += weight * (deviation * deviation + mean * mean)
    means = [s / total for s in sums]
    deviations = (
        math.sqrt(max(0.0, s / total - m * m)) for s, m in zip(squares, means, strict=True)
    )
    return (*means, *deviations)


def _frames(
    windows: Sequence[Segment], felt: Sequence[Felt], frames_per_s: float, dims: int
) -> bytes:
    """All frames on one time line; zeros where no engine felt anything.

    A window's last frame may be missing or one too many (models round at the edges): each
    window's frames begin where its time says, so that the error never adds up.
    """
    rows = {window.index: base64.b64decode(e.frames) for window, e in felt}
    if not any(rows.values()):
        return b""
    line = bytearray()
    for window in windows:
        wanted = dims * round(window.end_s * frames_per_s) - len(line)
        row = rows.get(window.index, b"")[:wanted]
        # At most a frame is missing of a window that was heard: the last one stands for it.
        line += row + row[-dims:] * ((wanted - len(row)) // dims if row else 0)
        line += bytes(dims * round(window.end_s * frames_per_s) - len(line))
    return bytes(line)


def files(features: Pooled | None) -> dict[str, bytes]:
    """What is kept beside the result, by name."""
    if features is None:
        return {}
    kept = {VECTOR: float32(features.vector)}
    if features.frames:
        shape = (len(features.frames) // features.dims, features.dims)
        kept[FRAMES] = npy("|i1", shape, features.frames)
    return kept
