"""Frames of a client -> mono float32 at 16 kHz."""

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gpu_service.engines.engine import Samples
from gpu_service.streaming.protocol import Config, Encoding
from shared.domain.sound import SAMPLE_RATE
from shared.errors import GarbageInStream

if TYPE_CHECKING:
    from gpu_service.streaming.resampling import Resampler

#: One step of 16-bit sound is this share of full scale, as FFmpeg counts it too.
PCM16_SCALE = np.float32(1 / 32768)


class Intake:
    """Takes the frames of one stream, in order. Not thread-safe."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._resampler = _resampler(config.sample_rate)
        self._tail = b""
        self.received = 0  #: samples of each channel taken so far; what overlaps counts once
        self.mismatched = False  #: an overlap did not repeat what came before

    def take(self, frame: bytes) -> Samples:
        """The new sound of a frame, shape (n,), maybe none yet.

        Raises:
            GarbageInStream: the frame is none of this stream; nothing of it was taken.
        """
        fresh = self._without_overlap(self._checked(frame))
        heard = self._decoded(fresh)
        if self._config.overlap_bytes:
            self._tail = frame[-self._config.overlap_bytes :]
        self.received += len(fresh) // self._config.frame_bytes
        return self._resampler.push(heard) if self._resampler else heard

    def rest(self) -> Samples:
        """What the resampler still held; nothing may be taken afterwards."""
        return self._resampler.flush() if self._resampler else np.zeros(0, np.float32)

    def part(self) -> None:
        """Forget the last frame: the next one, after a break, repeats nothing."""
        self._tail = b""

    def _checked(self, frame: bytes) -> bytes:
        size, longest = len(frame), self._config.chunk_bytes
        if size % self._config.frame_bytes:
            raise GarbageInStream(
                f"A frame of {size} bytes is no whole number of samples of"
                f" {self._config.frame_bytes} bytes. Check encoding and channels.",
                bytes=size,
            )
        if size > longest:
            raise GarbageInStream(
                f"A frame of {size} bytes is longer than chunk_ms allows ({longest} bytes).",
                bytes=size,
            )
        return frame

    def _without_overlap(self, frame: bytes) -> bytes:
        if not self._tail:
            return frame
        overlap = len(self._tail)
        if len(frame) < overlap:
            raise GarbageInStream("A frame is shorter than overlap_ms, which it should repeat.")
        self.mismatched = self.mismatched or frame[:overlap] != self._tail
        return frame[overlap:]

    def _decoded(self, frame: bytes) -> Samples:
        """Mono, -1..1: the mean of all channels, as the decoder mixes files."""
        kind = "<i2" if self._config.encoding is Encoding.PCM16 else "<f4"
        samples: NDArray[np.float32] = np.frombuffer(frame, kind).astype(np.float32)
        if self._config.encoding is Encoding.PCM16:
            samples *= PCM16_SCALE
        # A NaN or an infinity makes the sum one, which is cheaper to see than every sample.
        elif not math.isfinite(float(samples.sum(dtype=np.float64))):
            raise GarbageInStream("A frame holds NaN or infinity. Check encoding and byte order.")
        mono: Samples = samples.reshape(-1, self._config.channels).mean(axis=1, dtype=np.float32)
        np.clip(mono, -1.0, 1.0, out=mono)
        return mono


def _resampler(rate_hz: int) -> "Resampler | None":
    if rate_hz == SAMPLE_RATE:
        return None
    # FFmpeg is not loaded before a stream needs it: 0.2 s and 32 MB.
    from gpu_service.streaming.resampling import Resampler

    return Resampler(rate_hz)
