"""Hidden states -> 64 numbers of 8 bits a frame, always by the same rule.

frame -> length sqrt(hidden_size) -> less the mean -> onto the axes -> divided by the scale -> int8

Mean, axes and scale belong to the projection, never to the clip: two frames that sound the same
have the same bytes in every recording, and distances between recordings mean something.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import WeightsRefused

#: Numbers a frame keeps.
DIMS = 64
#: Seed of the projection that needs no fitting. Another seed is another projection.
SEED = 64
#: Largest magnitude of a stored number; -128 is left out so that negation stays inside.
LARGEST = 127
#: Standard deviations that fill the range. Of normally distributed numbers 6 in 100,000 lie
#: beyond 4 and are clipped.
SPREAD = 4.0
#: What stands in versions where no projection was fitted.
RANDOM = f"random-{DIMS}/1"
FORMAT = "earwitness.projection/1"

Frames = NDArray[np.float32]
Stored = NDArray[np.int8]


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """A fixed map from (n_frames, hidden_size) float32 to (n_frames, dims) int8."""

    name: str  #: stands in versions; frames of different names are never compared
    mean: NDArray[np.float32]  #: (hidden_size,)
    axes: NDArray[np.float32]  #: (dims, hidden_size), orthonormal rows
    scale: float  #: what one step of the int8 is worth; the same on every axis
    provenance: dict[str, Any] = field(default_factory=dict)

    def __call__(self, hidden: Frames) -> Stored:
        """The frames in int8; a frame without any length is the projection of nothing, not NaN."""
        steps = (levelled(hidden) - self.mean) @ self.axes.T / self.scale
        return np.clip(np.rint(steps), -LARGEST, LARGEST).astype(np.int8)


def levelled(hidden: Frames) -> Frames:
    """Every frame at length sqrt(hidden_size), so that the mean square of its numbers is 1.

    Layers differ in magnitude by orders, checkpoints too; direction is what search compares
    (cosine distance), and a fixed length makes a fixed scale possible.
    """
    lengths = np.linalg.norm(hidden, axis=1, keepdims=True)
    root = np.sqrt(np.float32(hidden.shape[1]))
    return np.asarray(hidden * (root / np.maximum(lengths, 1e-12)), np.float32)


def random(hidden_size: int) -> Projection:
    """A projection that needs no data: random orthonormal axes, the same for everybody.

    Distances survive it in expectation; with 64 axes the squared ones have a relative deviation
    of about sqrt(2 / 64) = 18 %, they themselves half of that (Johnson and Lindenstrauss 1984;
    Dasgupta and Gupta 2003). A fitted one is better where frames have few directions; this one
    needs nothing and is always there. Of a frame of
    length sqrt(hidden_size) each number has mean square 1 over random axes, hence the scale.
    """
    dims = min(DIMS, hidden_size)
    # The old generator on purpose: its stream is frozen, that of the new ones may change with
    # numpy (NEP 19), and then the same name would mean other axes.
    drawn = np.random.RandomState(SEED).standard_normal((hidden_size, dims))
    basis, upper = np.linalg.qr(drawn)
    # QR leaves the signs open; fixing them makes the axes the same under every LAPACK.
    axes = (basis * np.sign(np.diag(upper))).T.astype(np.float32)
    mean = np.zeros(hidden_size, np.float32)
    return Projection(RANDOM, mean, axes, SPREAD / LARGEST)


def fitted(frames: Iterable[Frames], provenance: dict[str, Any], dims: int = DIMS) -> Projection:
    """The principal axes of `frames`, arrays of (n_frames, hidden_size) gone through once.

    Fit on recordings like those to be searched, an hour or more: 180,000 frames for 768 axes.
    The same frames in the same order give the same projection. `provenance` says which
    checkpoint (`checkpoint_sha256`, `layer`) and what sound; it is stored with it.

    The range is SPREAD standard deviations of the widest axis, on every axis: with a scale of
    its own each axis would weigh the same, and noise as much as speech.

    Raises:
        ValueError: fewer frames than dims; axes would be invented.
    """
    count, total, products = 0, np.zeros(()), np.zeros(())
    for part in frames:
        level = levelled(part).astype(np.float64)
        count, total, products = (
            count + len(level),
            total + level.sum(0),
            products + level.T @ level,
        )
    if count < dims:
        raise ValueError(f"{count} frames cannot fit {dims} axes; give more sound")
    mean = total / count
    variances, vectors = np.linalg.eigh(products / count - np.outer(mean, mean))
    axes = vectors[:, ::-1][:, :dims].T
    axes = axes * np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:, None]
    kept = float(variances[::-1][:dims].sum() / variances.sum())
    scale = SPREAD * float(np.sqrt(variances[-1])) / LARGEST
    told = {**provenance, "format": FORMAT, "frames": count, "variance_kept": kept}
    return Projection("unsaved", mean.astype(np.float32), axes.astype(np.float32), scale, told)


def name_of(path: Path) -> str:
    """What frames made with the projection in `path` are marked with: by its bytes.

    Whoever fits again, on other sound, has another projection.

    Raises:
        WeightsRefused: there is no such file.
    """
    try:
        return f"pca/{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"
    except OSError as error:
        raise WeightsRefused(f"There is no projection {path.name}.") from error


def save(projection: Projection, path: Path) -> None:
    """Write it as safetensors; the provenance stands in the header as JSON."""
    from safetensors.numpy import save_file

    tensors = {
        "mean": np.ascontiguousarray(projection.mean),
        "axes": np.ascontiguousarray(projection.axes),
        "scale": np.array([projection.scale], np.float64),
    }
    told = json.dumps(projection.provenance, sort_keys=True)
    save_file(tensors, path, metadata={"provenance": told})


def load(path: Path, *, checkpoint_sha256: str, layer: int) -> Projection:
    """The projection in `path`, if it was fitted on this checkpoint and layer.

    Raises:
        WeightsRefused: it is no such file, or belongs to another checkpoint or layer.
    """
    from safetensors import SafetensorError, safe_open

    name = name_of(path)
    try:
        with safe_open(path, "numpy") as file:
            told = json.loads((file.metadata() or {})["provenance"])
            mean, axes, scale = (file.get_tensor(part) for part in ("mean", "axes", "scale"))
    except (OSError, KeyError, ValueError, SafetensorError) as error:
        raise WeightsRefused(f"The projection {path.name} cannot be read.") from error
    if (told.get("checkpoint_sha256"), told.get("layer")) != (checkpoint_sha256, layer):
        raise WeightsRefused(
            f"The projection {path.name} was fitted on another checkpoint or layer. Fit one on"
            f" this checkpoint and layer {layer}, or leave `projection` out."
        )
    return Projection(name, mean, axes, float(scale[0]), told)
