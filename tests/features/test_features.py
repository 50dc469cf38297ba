"""Pooling, thinning and projection: the same frames are the same bytes everywhere."""

import hashlib

import numpy as np
import pytest
from numpy.typing import NDArray

from gpu_service.features import projection
from gpu_service.features.pooling import pooled, thinned


def states(n_frames: int, size: int = 768, seed: int = 0) -> NDArray[np.float32]:
    """Frames of which a few directions carry nearly everything, as hidden states do."""
    rng = np.random.default_rng(seed)
    strengths = np.geomspace(5.0, 0.01, size)
    return (rng.standard_normal((n_frames, size)) * strengths).astype(np.float32)


def test_pooled_holds_the_means_and_then_the_deviations() -> None:
    vector = pooled(np.array([[1, 5], [3, 5]], np.float32))

    assert vector == (2.0, 5.0, 1.0, 0.0)


def test_pooling_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="no frames"):
        pooled(np.zeros((0, 4), np.float32))


@pytest.mark.parametrize("n_frames, kept", [(0, 0), (1, 1), (4, 1), (5, 2), (8, 2)])
def test_thinning_drops_no_frame(n_frames: int, kept: int) -> None:
    assert len(thinned(np.ones((n_frames, 3), np.float32), 4)) == kept


def test_the_last_group_is_the_mean_of_what_is_left() -> None:
    rows = np.array([[0], [2], [4], [6], [9]], np.float32)

    assert thinned(rows, 4).tolist() == [[3.0], [9.0]]


def test_the_random_projection_is_the_same_for_everybody() -> None:
    """Vectors are stored under its name: another draw needs another name."""
    axes = projection.random(768).axes
    digest = hashlib.sha256(np.round(axes * 1e4).astype("<i4").tobytes()).hexdigest()

    assert digest == "3c754970e22391a8f2e77faca07d67a296b3147be75508b35513df515091e71a"
    np.testing.assert_allclose(axes @ axes.T, np.eye(64), atol=1e-5)


def test_random_projection_keeps_distances() -> None:
    hidden = np.random.default_rng(3).standard_normal((60, 768)).astype(np.float32)
    small = projection.random(768)(hidden).astype(np.float64)

    true = _distances(projection.levelled(hidden))
    kept = _distances(small) * projection.random(768).scale * np.sqrt(768 / 64)
    assert abs(float(np.mean(kept / true)) - 1) < 0.02
    assert float(np.std(kept / true)) < 0.12


def test_a_frame_has_the_same_bytes_in_every_recording() -> None:
    fixed, frame = projection.random(768), states(1, seed=9)
    quiet, loud = states(20, seed=1) * 0.01, states(20, seed=2) * 100

    beside = [fixed(np.concatenate((frame, other)))[0] for other in (quiet, loud)]
    assert (beside[0] == beside[1]).all()
    assert (beside[0] == fixed(frame)[0]).all()


def test_a_frame_of_zeros_is_projected_to_zeros() -> None:
    assert not projection.random(16)(np.zeros((2, 16), np.float32)).any()


def test_a_fitted_projection_keeps_most_where_the_random_one_keeps_a_share() -> None:
    seen, unseen = states(4_000, 256), states(500, 256, seed=5)
    fitted = projection.fitted([seen[:1_000], seen[1_000:]], {"layer": 8})

    level = projection.levelled(unseen)
    assert _kept(level - fitted.mean, fitted.axes) > 0.95
    assert _kept(level, projection.random(256).axes) < 0.6
    assert fitted.provenance["frames"] == 4_000
    assert fitted.provenance["variance_kept"] > 0.95


def test_fitting_in_parts_is_fitting_in_one_and_repeatable() -> None:
    seen = states(600, 128)
    parts = projection.fitted([seen[:100], seen[100:]], {})
    whole = projection.fitted([seen], {})

    np.testing.assert_allclose(parts.axes, whole.axes, atol=1e-3)
    assert (projection.fitted([seen], {}).axes == whole.axes).all()


def test_numbers_beyond_the_range_are_clipped_symmetrically() -> None:
    fixed = projection.Projection("x", np.zeros(2, np.float32), np.eye(2, dtype=np.float32), 1e-6)

    assert fixed(np.array([[1, -1]], np.float32)).tolist() == [[127, -127]]


def test_axes_are_not_invented_out_of_too_few_frames() -> None:
    with pytest.raises(ValueError, match="63 frames"):
        projection.fitted([states(63)], {})


def _distances(frames: NDArray[np.floating]) -> NDArray[np.float64]:
    apart = np.linalg.norm(frames[:, None] - frames[None], axis=2)
    return apart[np.triu_indices(len(frames), 1)].astype(np.float64)


def _kept(frames: NDArray[np.float32], axes: NDArray[np.float32]) -> float:
    return float(((frames @ axes.T) ** 2).sum() / (frames**2).sum())
