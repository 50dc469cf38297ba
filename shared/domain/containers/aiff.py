"""AIFF and AIFF-C. Source: Apple, "Audio Interchange File Format AIFF-C", draft 1991."""

import struct
from dataclasses import dataclass

from shared.domain.containers.source import OutOfReach, Probe, Source
from shared.errors import DamagedAudio, UnsupportedAudio

NO_SOUND = "The AIFF file holds no sound. Export the file again."
#: Compression types we hear; `{}` is the number of bits of a sample.
CODECS = {
    b"NONE": "pcm_s{}be",
    b"twos": "pcm_s{}be",
    b"sowt": "pcm_s{}le",
    b"raw ": "pcm_u8",
    b"in24": "pcm_s24be",
    b"in32": "pcm_s32be",
    b"fl32": "pcm_f32be",
    b"FL32": "pcm_f32be",
    b"fl64": "pcm_f64be",
    b"FL64": "pcm_f64be",
    b"ulaw": "pcm_mulaw",
    b"ULAW": "pcm_mulaw",
    b"alaw": "pcm_alaw",
    b"ALAW": "pcm_alaw",
}
#: Bytes of COMM: without and with the compression type.
COMMON, COMMON_C = 18, 22
#: Bias of the exponent of an 80-bit number, and the position of its mantissa's lowest bit.
BIAS = 16_383 + 63


@dataclass(frozen=True, slots=True)
class _Common:
    probe: Probe
    frames: int
    frame_bytes: int


def aiff(source: Source, start: int, container: str) -> Probe:
    """Find the common and the sound chunk, in either order.

    Raises:
        DamagedAudio: one of them is missing, cut or empty.
        UnsupportedAudio: a compression that is not heard.
    """
    compressed = source.take(start, 12)[8:] == b"AIFC"
    common, sound_bytes, at = None, None, start + 12
    while common is None or sound_bytes is None:
        try:
            name, size = struct.unpack(">4sI", source.take(at, 8))
        except OutOfReach:
            return common.probe if common else Probe(container)
        if name == b"COMM":
            common = _common(source.take(at + 8, COMMON_C if compressed else COMMON), container)
        elif name == b"SSND":
            sound_bytes = min(size, source.size - at - 8) - 8
        at += 8 + size + size % 2
    return _probe(common, sound_bytes)


def _probe(common: _Common, sound_bytes: int) -> Probe:
    frames = min(common.frames, sound_bytes // common.frame_bytes)
    rate = common.probe.sample_rate_hz
    if frames < 1 or not rate:
        raise DamagedAudio(NO_SOUND)
    known = common.probe
    return Probe(known.container, known.codec, rate, known.channels, frames / rate)


def _common(body: bytes, container: str) -> _Common:
    channels, frames, bits = struct.unpack(">HIH", body[:8])
    width = (bits + 7) // 8
    if not channels or not 1 <= width <= 8:
        raise DamagedAudio
    codec = CODECS.get(body[COMMON:COMMON_C] or b"NONE")
    if codec is None:
        kind = body[COMMON:COMMON_C].decode("ascii", "backslashreplace")
        raise UnsupportedAudio(
            f"The AIFF file is compressed as {kind!r}, which is not heard. Save it uncompressed."
        )
    codec = "pcm_s8" if width == 1 and "{}" in codec else codec.format(8 * width)
    frame_bytes = channels * (1 if codec in ("pcm_mulaw", "pcm_alaw") else width)
    return _Common(Probe(container, codec, _rate(body[8:18]), channels), frames, frame_bytes)


def _rate(extended: bytes) -> int:
    """An 80-bit IEEE 754 number as a whole one, 0 where it is none we could mean."""
    exponent, mantissa = struct.unpack(">HQ", extended)
    shift = BIAS - exponent
    return mantissa >> shift if 0 <= shift < 64 else (1 << 40 if shift < 0 else 0)
