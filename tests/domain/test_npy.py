import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.npy import ALIGNMENT, MAGIC, float32, npy


@settings(deadline=None)
@given(st.lists(st.floats(width=32, allow_nan=False), max_size=50))
def test_numpy_reads_a_row_of_numbers_back(numbers):
    read = np.load(io.BytesIO(float32(numbers)))

    assert (read.dtype, read.shape) == (np.dtype("<f4"), (len(numbers),))
    assert read.tolist() == numbers


@pytest.mark.parametrize("shape", [(0, 64), (1, 1), (3, 64), (12_345, 7)])
def test_numpy_reads_rows_of_bytes_back(shape):
    wanted = np.arange(np.prod(shape)).astype(np.int8).reshape(shape)

    read = np.load(io.BytesIO(npy("|i1", shape, wanted.tobytes())), mmap_mode=None)

    assert read.dtype == np.int8
    np.testing.assert_array_equal(read, wanted)


@settings(deadline=None)
@given(st.lists(st.integers(0, 10**12), max_size=6))
def test_the_data_begins_where_it_can_be_mapped(shape):
    header = npy("|i1", shape, b"")

    assert len(header) % ALIGNMENT == 0
    assert header.startswith(MAGIC) and header.endswith(b"\n")
