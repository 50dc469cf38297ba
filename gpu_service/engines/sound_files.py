"""Samples as files, for engines that are asked over a network."""

import io
import wave

import numpy as np

from gpu_service.engines.engine import Samples
from shared.domain.sound import SAMPLE_RATE

#: Bytes a second of 16-bit mono: what WAV takes, and more than FLAC ever does but for its
#: header (FLAC keeps a block verbatim where it cannot be made smaller; RFC 9639, 9.2.2).
BYTES_PER_S = 2 * SAMPLE_RATE
#: Base64 makes four characters of three bytes.
BASE64 = 4 / 3


def flac(samples: Samples) -> bytes:
    """16-bit FLAC: the same samples as WAV in about half the bytes.

    Args:
        samples: float32, shape (n_samples,), -1..1 (beyond is clipped), 16 kHz mono.
    """
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="flac") as file:
        stream = file.add_stream("flac", rate=SAMPLE_RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(_int16(samples)[None], format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return buffer.getvalue()


def wav(samples: Samples) -> bytes:
    """16-bit WAV; arguments as for `flac`."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(_int16(samples).tobytes())
    return buffer.getvalue()


def _int16(samples: Samples) -> "np.ndarray[tuple[int], np.dtype[np.int16]]":
    whole = np.rint(np.clip(samples, -1.0, 1.0) * np.iinfo(np.int16).max)
    return np.ascontiguousarray(whole, dtype="<i2")
