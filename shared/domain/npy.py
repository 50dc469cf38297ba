"""Arrays as numpy reads them, written without numpy.

Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html, version 1.0.
"""

import struct
from collections.abc import Sequence

MAGIC = b"\x93NUMPY\x01\x00"
#: Bytes. The data begins at a multiple of it, so that it can be mapped into memory.
ALIGNMENT = 64


def npy(kind: str, shape: Sequence[int], data: bytes) -> bytes:
    """A .npy file of `data`, row by row.

    Args:
        kind: numpy's name of the numbers, such as `|i1` (int8) or `<f4` (little-endian float32).
    """
    sizes = "".join(f"{size}, " for size in shape)
    said = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': ({sizes.strip()}), }}"
    taken = len(MAGIC) + 2 + len(said) + 1
    header = said + " " * (-taken % ALIGNMENT) + "\n"
    return MAGIC + struct.pack("<H", len(header)) + header.encode("ascii") + data


def float32(numbers: Sequence[float]) -> bytes:
    """A .npy file of one row of numbers."""
    return npy("<f4", (len(numbers),), struct.pack(f"<{len(numbers)}f", *numbers))
