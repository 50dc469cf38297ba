import base64
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.answers import Answer, Embedding, Task
from shared.domain.cascade import Decided
from shared.domain.features import files, pooled
from shared.domain.sound import Segment

RATE, DIMS = 12.5, 2


def window(index, start_s, end_s):
    return Segment(index, start_s, end_s)


def felt(index, hidden=None, rows=(), engine="e", dims=DIMS):
    """What an engine says of a window whose hidden states are `hidden` (n, 3)."""
    embedding = None
    if hidden is not None:
        vector = tuple(np.concatenate([hidden.mean(axis=0), hidden.std(axis=0)]).tolist())
        kept = base64.b64encode(np.array(rows, np.int8).tobytes()).decode()
        embedding = Embedding(vector, kept, dims, RATE)
    return Decided(index, Answer(engine, Task.EMBED, embedding=embedding), ())


def rows(n, value):
    return np.full((n, DIMS), value, np.int8)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(1, 40), min_size=1, max_size=5))
def test_the_vector_is_that_of_all_the_sound_at_once(seed, sizes):
    """Windows of n hidden states, one a second: pooled by window or whole, it is the same."""
    states = np.random.default_rng(seed).normal(3.0, 2.0, (sum(sizes), 3))
    parts = np.split(states, np.cumsum(sizes)[:-1])
    ends = np.cumsum(sizes).astype(float).tolist()
    windows = [window(i, end - n, end) for i, (n, end) in enumerate(zip(sizes, ends, strict=True))]

    made = pooled(windows, [felt(i, part) for i, part in enumerate(parts)])

    whole = np.concatenate([states.mean(axis=0), states.std(axis=0)])
    np.testing.assert_allclose(made.vector, whole, rtol=1e-6, atol=1e-6)


ONES = np.ones((4, 3))


def test_frames_lie_on_one_time_line_whatever_the_models_rounded():
    """A window of 2 s has 25 frames: one is missing of the first, one too many in the second."""
    windows = [window(0, 0.0, 2.0), window(1, 2.0, 4.0), window(2, 4.0, 6.0)]
    decided = [felt(0, ONES, rows(24, 1)), felt(1, ONES, rows(26, 2)), felt(2, ONES, rows(25, 3))]

    made = pooled(windows, decided)

    frames = np.load(io.BytesIO(files(made)["features.npy"]))
    assert frames.shape == (75, DIMS)
    assert [int(frames[i, 0]) for i in (0, 24, 25, 49, 50, 74)] == [1, 1, 2, 2, 3, 3]


def test_a_window_nobody_could_hear_is_zeros_and_weighs_nothing():
    windows = [window(0, 0.0, 2.0), window(1, 2.0, 4.0), window(2, 4.0, 6.0)]

    made = pooled(windows, [felt(0, ONES, rows(25, 1)), felt(1), felt(2, ONES, rows(25, 3))])

    frames = np.load(io.BytesIO(files(made)["features.npy"]))
    assert [int(frames[i, 0]) for i in (24, 25, 49, 50)] == [1, 0, 0, 3]
    assert made.vector == pytest.approx((1.0, 1.0, 1.0, 0.0, 0.0, 0.0))


def test_windows_that_are_no_whole_number_of_frames_do_not_drift():
    third = 100.0 / 3
    windows = [window(i, i * third, (i + 1) * third) for i in range(3)]

    made = pooled(windows, [felt(i, ONES, rows(417, i + 1)) for i in range(3)])

    frames = np.load(io.BytesIO(files(made)["features.npy"]))[:, 0]
    assert len(frames) == 1250
    assert frames[round(third * RATE)] == 2 and frames[round(2 * third * RATE)] == 3


def test_two_engines_are_not_mixed():
    windows = [window(0, 0.0, 2.0), window(1, 2.0, 5.0)]

    made = pooled(windows, [felt(0, ONES, rows(25, 1)), felt(1, 2 * ONES, rows(38, 2), engine="f")])

    assert made.engine == "f"
    assert made.vector[0] == 2.0
    assert not any(made.frames[: 25 * DIMS])


def test_a_vector_without_frames_is_a_file_alone():
    made = pooled([window(0, 0.0, 2.0)], [felt(0, ONES)])

    assert set(files(made)) == {"vector.npy"}
    np.testing.assert_allclose(np.load(io.BytesIO(files(made)["vector.npy"])), made.vector)


def test_nothing_felt_is_nothing_kept():
    assert pooled([window(0, 0.0, 2.0)], [felt(0)]) is None
    assert pooled([], []) is None
    assert files(None) == {}
