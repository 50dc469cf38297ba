"""A FLAC file -> the WAV or AIFF file that it was made from, byte for byte."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from gpu_service.archiving.chunks import AIFF, RIFF, Form, Stretch
from shared.errors import DamagedAudio

if TYPE_CHECKING:
    from av import AudioFrame

MAGIC = b"fLaC"
#: The kind of a metadata block, and the bit that says it is the last. Source: RFC 9639, 8.1.
APPLICATION, LAST = 2, 0x80
STREAMINFO_BYTES = 34
#: Bytes copied at a time.
BLOCK = 1 << 20
#: FFmpeg's samples by bits; of the latter the uppermost three bytes are the sound.
SAMPLES = {16: "s16", 24: "s32"}
FORMS = {form.application: form for form in (RIFF, AIFF)}


class Sink(Protocol):
    """Whatever takes bytes."""

    def write(self, data: bytes, /) -> object: ...


def restore(flac: BinaryIO, out: Sink, sizes: Iterable[int] | None = None) -> None:
    """Write the file from which this FLAC file, ours or the flac tool's, was made.

    Who knows the bytes of each frame says them in `sizes`. Then FFmpeg need not look for where
    frames begin, which a stranger's numbers can feign, and its decoder gets ours alone. A file with
    feigned frames is damaged to whoever searches, but not to the flac tool.

    Raises:
        DamagedAudio: it does not hold one, or not whole; part of it may have been written.
    """
    form, chunks = _chunks(flac)
    at = _sounding(flac, form, chunks)
    for stretch in chunks[: at + 1]:
        _copy(flac, stretch, out)
    told, heard = Told.by(flac), Heard()
    frames = _searched(flac) if sizes is None else _known(flac, sizes)
    for frame in frames:
        little = heard.add(frame, told.bits)
        out.write(little.tobytes() if form.order == "little" else little[:, ::-1].tobytes())
    told.check(heard)
    out.write(bytes(heard.sound_bytes % 2))
    for stretch in chunks[at + 1 :]:
        _copy(flac, stretch, out)


def _chunks(flac: BinaryIO) -> tuple[Form, list[Stretch]]:
    """What family of files it comes from, and where its chunks stand."""
    found = [(FORMS[name], chunk) for name, chunk in _applications(flac) if name in FORMS]
    if len({form.application for form, _ in found}) != 1:
        raise DamagedAudio("This FLAC file keeps no chunks of one WAV or AIFF file.")
    return found[0][0], [chunk for _, chunk in found]


def _applications(flac: BinaryIO) -> Iterator[tuple[bytes, Stretch]]:
    for kind, block in list(_blocks(flac)):
        if kind == APPLICATION and block.size_bytes >= 4:
            flac.seek(block.start)
            yield _read(flac, 4), Stretch(block.start + 4, block.size_bytes - 4)


def _blocks(flac: BinaryIO) -> Iterator[tuple[int, Stretch]]:
    """The metadata blocks and their kinds. Source: RFC 9639, sections 6 and 8.1."""
    flac.seek(0)
    if _read(flac, len(MAGIC)) != MAGIC:
        raise DamagedAudio("This is no FLAC file.")
    kind = 0
    while not kind & LAST:
        kind, *length = _read(flac, 4)
        block = Stretch(flac.tell(), int.from_bytes(bytes(length), "big"))
        yield kind & ~LAST, block
        flac.seek(block.end)


def _sounding(flac: BinaryIO, form: Form, chunks: list[Stretch]) -> int:
    """Which chunk the sound belongs to."""
    for at, chunk in enumerate(chunks):
        flac.seek(chunk.start)
        if chunk.size_bytes >= 4 and _read(flac, 4) == form.sounding:
            return at
    raise DamagedAudio("This FLAC file does not say where the sound stood.")


def _read(flac: BinaryIO, size_bytes: int) -> bytes:
    found = flac.read(size_bytes)
    if len(found) != size_bytes:
        raise DamagedAudio("This FLAC file ends too soon.")
    return found


def _copy(flac: BinaryIO, stretch: Stretch, out: Sink) -> None:
    flac.seek(stretch.start)
    for start in range(stretch.start, stretch.end, BLOCK):
        out.write(_read(flac, min(BLOCK, stretch.end - start)))


def _searched(flac: BinaryIO) -> "Iterator[AudioFrame]":
    """The frames, by FFmpeg's demuxer."""
    import av

    flac.seek(0)
    try:
        with av.open(flac, "r", format="flac") as container:
            stream = container.streams.audio[0]
            stream.codec_context.thread_count = 1
            yield from container.decode(stream)
    except av.error.FFmpegError as error:
        raise DamagedAudio("The sound of this FLAC file is damaged.") from error


def _known(flac: BinaryIO, sizes: Iterable[int]) -> "Iterator[AudioFrame]":
    """The frames, which stand one behind the other after the last metadata block."""
    import av

    flac.seek(len(MAGIC) + 4)
    decoder = av.CodecContext.create("flac", "r")
    decoder.thread_count, decoder.extradata = 1, _read(flac, STREAMINFO_BYTES)
    *_, (_, last) = _blocks(flac)
    flac.seek(last.end)
    try:
        for size_bytes in sizes:
            yield from decoder.decode(av.Packet(_read(flac, size_bytes)))
        yield from decoder.decode(None)
    except av.error.FFmpegError as error:
        raise DamagedAudio("The sound of this FLAC file is damaged.") from error


class Heard:
    """What was decoded."""

    def __init__(self) -> None:
        self.samples = self.sound_bytes = 0
        self._md5 = hashlib.md5(usedforsecurity=False)

    def add(self, frame: "AudioFrame", bits: int) -> NDArray[np.uint8]:
        """The bytes of each number, little-endian; uint8, shape (frames * channels, bits / 8)."""
        if frame.format.name != SAMPLES[bits]:
            raise DamagedAudio("The sound of this FLAC file is damaged.")
        size = frame.samples * frame.layout.nb_channels * frame.format.bytes
        plane: Any = frame.planes[0]  # a buffer, which PyAV's stubs do not say
        # Little-endian, as every machine is that this runs on.
        numbers = np.frombuffer(plane, np.uint8, size).reshape(-1, frame.format.bytes)
        cut = np.ascontiguousarray(numbers[:, -(bits // 8) :])
        self._md5.update(cut.data)
        self.samples += frame.samples
        self.sound_bytes += cut.size
        return cut

    def md5(self) -> bytes:
        return self._md5.digest()


@dataclass(frozen=True, slots=True)
class Told:
    """What STREAMINFO says of the sound. Source: RFC 9639, section 8.2."""

    bits: int
    samples: int  #: 0: nobody knows
    md5: bytes  #: zeros: nobody knows

    @classmethod
    def by(cls, flac: BinaryIO) -> "Told":
        flac.seek(len(MAGIC) + 4)
        info = _read(flac, STREAMINFO_BYTES)
        packed = int.from_bytes(info[10:18], "big")
        bits = (packed >> 36 & 31) + 1
        if bits not in SAMPLES:
            raise DamagedAudio(f"A sample of this FLAC file has {bits} bits, not 16 or 24.")
        return cls(bits, packed & (1 << 36) - 1, info[18:])

    def check(self, heard: Heard) -> None:
        if self.samples not in (0, heard.samples) or self.md5 not in (bytes(16), heard.md5()):
            raise DamagedAudio("The sound of this FLAC file is not the one it was made of.")
