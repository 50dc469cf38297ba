"""Raw numbers -> FLAC frames. FFmpeg's codec gets nothing but them: no demuxer, no muxer."""

import hashlib
from array import array
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gpu_service.archiving.chunks import Shape

if TYPE_CHECKING:
    from av import AudioFrame

#: Of FFmpeg's 0 to 12. On speech, noise and 24-bit music 8 takes an eighth to a half more time,
#: the comparison included, for at most 1 % less; 3 makes speech up to 4 % larger.
LEVEL = 5
#: Samples of a frame. Slow rates are those of speech, which changes within the quarter of a second
#: that 4,096 samples are at 16 kHz: there 1,152 make it 4 % smaller, more than any level does.
FRAME_SAMPLES, FRAME_SAMPLES_OF_SPEECH, SPEECH_HZ = 4096, 1152, 24_000
#: Bytes of sound taken at a time, about.
BLOCK = 1 << 20
#: What FFmpeg calls that many channels in FLAC's order. Source: RFC 9639, section 9.1.3.
SPEAKERS = ("mono", "stereo", "3.0", "quad", "5.0", "5.1", "6.1", "7.1")
SAMPLES = {16: "s16", 24: "s32"}

Numbers = NDArray[np.int16] | NDArray[np.int32]


class Encoder:
    """The sound of one file, in order, and what STREAMINFO says of it. Not thread-safe."""

    def __init__(self, shape: Shape) -> None:
        # FFmpeg is not loaded before there is something to compress: 0.2 s and 32 MB.
        import av

        self._shape, self._md5 = shape, hashlib.md5(usedforsecurity=False)
        self._samples = 0
        self.sizes = array("I")  #: bytes of each frame so far; 4 GB of speech have 7 MB of these
        self._step = FRAME_SAMPLES if shape.rate_hz > SPEECH_HZ else FRAME_SAMPLES_OF_SPEECH
        self._codec = av.CodecContext.create("flac", "w")
        self._codec.sample_rate = shape.rate_hz
        self._codec.format = SAMPLES[shape.bits]
        self._codec.layout = SPEAKERS[shape.channels - 1]
        self._codec.thread_count = 1
        self._codec.options = {
            "compression_level": str(LEVEL),
            "frame_size": str(self._step),
            "bits_per_raw_sample": str(shape.bits),
        }
        self._codec.open()

    @property
    def block_bytes(self) -> int:
        """How much `add` wants at a time: whole frames of FLAC, about a MiB."""
        frame_bytes = self._step * self._shape.frame_bytes
        return BLOCK // frame_bytes * frame_bytes

    def add(self, block: bytes) -> bytes:
        """The frames that the sound goes on with; `block` has `block_bytes`, or is the last.

        FFmpeg cuts it into frames: a call from here for each takes as long as encoding it.
        """
        little, numbers = numbers_of(block, self._shape)
        self._md5.update(little)
        return self._frames(numbers) if len(numbers) else b""

    def rest(self) -> bytes:
        """The last frames; nothing may be added afterwards."""
        return self._packets(None)

    def streaminfo(self) -> bytes:
        """What was encoded so far. Source: RFC 9639, section 8.2."""
        shape, size = self._shape, self._step.to_bytes(2, "big")
        packed = shape.rate_hz << 44 | (shape.channels - 1) << 41 | (shape.bits - 1) << 36
        least, most = min(self.sizes, default=0), max(self.sizes, default=0)
        sizes = least.to_bytes(3, "big") + most.to_bytes(3, "big")
        told = (packed | self._samples).to_bytes(8, "big")
        return size + size + sizes + told + self._md5.digest()

    def _frames(self, numbers: Numbers) -> bytes:
        from av import AudioFrame

        kind, speakers = SAMPLES[self._shape.bits], SPEAKERS[self._shape.channels - 1]
        frame = AudioFrame.from_ndarray(numbers.reshape(1, -1), format=kind, layout=speakers)
        frame.sample_rate, frame.pts = self._shape.rate_hz, self._samples
        self._samples += frame.samples
        return self._packets(frame)

    def _packets(self, frame: "AudioFrame | None") -> bytes:
        """Of the last call, one packet is empty: it only brings FFmpeg's own STREAMINFO."""
        packets = [packet for packet in map(bytes, self._codec.encode(frame)) if packet]
        self.sizes.extend(map(len, packets))
        return b"".join(packets)


def numbers_of(block: bytes, shape: Shape) -> tuple[bytes, Numbers]:
    """The sound little-endian, as MD5 wants it, and as FFmpeg does, 24 bits on top of 32.

    int16 or int32, shape (frames * channels,).
    """
    raw = np.frombuffer(block, np.uint8).reshape(-1, shape.bits // 8)
    little = raw if shape.order == "little" else np.ascontiguousarray(raw[:, ::-1])
    if shape.bits == 16:
        return little.tobytes(), little.view("<i2").reshape(-1)
    wide = np.zeros((len(little), 4), np.uint8)
    wide[:, 1:] = little
    return little.tobytes(), wide.view("<i4").reshape(-1)
