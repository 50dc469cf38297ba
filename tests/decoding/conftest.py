import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from numpy.typing import NDArray

from gpu_service.decoding.decoder import Decoder, Decoding
from shared.domain.sound import Limits

LIMITS = Limits(max_seconds=300.0, max_bytes=50_000_000)


@pytest.fixture(scope="session")
def decoder() -> Iterator[Decoder]:
    decoder = Decoder(processes=2)
    decoder.start()
    yield decoder
    decoder.stop()


@contextmanager
def on_disk(data: bytes) -> Iterator[BinaryIO]:
    """`data` as an open file without a name that could help anybody."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        with Path(file.name).open("rb") as sound:
            yield sound


Hear = Callable[..., tuple[NDArray[np.float32], Decoding]]


@pytest.fixture
def hear(decoder: Decoder) -> Hear:
    """Decode bytes to the end: the samples, shape (channels, n), and what was learned."""

    def hear(data: bytes, *, limits: Limits = LIMITS, separate: bool = False, tenant: str = "demo"):
        with (
            on_disk(data) as sound,
            decoder.open(sound, tenant=tenant, limits=limits, separate=separate) as decoding,
        ):
            return np.concatenate([*decoding], axis=1), decoding

    return hear
