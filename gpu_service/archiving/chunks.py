"""Where a WAV or AIFF file keeps its sound, and what stands around it.

What comes in is what somebody uploaded: no length in it is believed before it is compared with
the file's own, and nothing is read but the headers of at most `CHUNKS` chunks and the
description of the sound.

Accepted is only what the flac tool restores byte for byte too (from 1.4.3 on; what older ones
write differently stands in docs/cursed.md), so that a file outlives this program. AIFF-C is left
out: Debian's flac 1.4.2 restores it as AIFF.

Sources: Microsoft and IBM, "Multimedia Programming Interface and Data Specifications 1.0",
chapter 2, for RIFF; Apple, "Audio Interchange File Format", version 1.3, for AIFF.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from shared.errors import NotCompressible

Read = Callable[[int, int], bytes]

#: Bytes of a chunk with its header and pad byte. Source: RFC 9639, sections 8.1 and 8.4: a block
#: has 24 bits for its length, and the application's id takes four bytes of it.
CHUNK_BYTES = (1 << 24) - 1 - 4
#: Bytes of everything but the sound. The largest we know (a BWF file's iXML, pictures) has 2 MB.
KEPT_BYTES = 64 << 20
#: Chunks of one file. The most we know (a sampler's loops and cues) has some 30.
CHUNKS = 200
#: FLAC has three bits for the number of channels, 20 for the rate. Source: RFC 9639, section 8.2.
CHANNELS, RATE_HZ = 8, (1 << 20) - 1
#: Bits of a sample that archives are made of; the tool and FFmpeg agree on both.
DEPTHS = (16, 24)
#: Of `WAVE_FORMAT_EXTENSIBLE`. Source: Microsoft, mmreg.h, KSDATAFORMAT_SUBTYPE_PCM.
PCM, EXTENSIBLE = 1, 0xFFFE
PCM_GUID = bytes.fromhex("0100000000001000800000aa00389b71")


@dataclass(frozen=True, slots=True)
class Stretch:
    """Bytes of a file."""

    start: int
    size_bytes: int

    @property
    def end(self) -> int:
        return self.start + self.size_bytes


@dataclass(frozen=True, slots=True)
class Shape:
    """How the numbers of the sound are written."""

    channels: int
    rate_hz: int
    bits: int
    order: Literal["little", "big"]
    speakers: int | None = None  #: the mask of `WAVE_FORMAT_EXTENSIBLE`

    @property
    def frame_bytes(self) -> int:
        return self.channels * self.bits // 8


@dataclass(frozen=True, slots=True)
class Layout:
    """A file: `before`, `sound`, maybe a zero for a pad byte, `after`; nothing else."""

    form: "Form"
    shape: Shape
    before: tuple[Stretch, ...]  #: the first is the file's header, the last that of the sound
    sound: Stretch
    after: tuple[Stretch, ...]


@dataclass(frozen=True, slots=True)
class Form:
    """A family of files in chunks."""

    application: bytes  #: Source: IANA, "FLAC Application Metadata Block IDs"
    order: Literal["little", "big"]
    describing: bytes  #: the chunk that says what the sound is
    sounding: bytes  #: the chunk that has it
    header_bytes: int  #: what stands in the latter before the sound, its own eight included
    shape: Callable[[bytes, int], Shape]  #: of the describing chunk's body and the sound's bytes


@dataclass(frozen=True, slots=True)
class Chunk:
    name: bytes
    start: int
    size_bytes: int  #: without its header of eight bytes and its pad byte

    @property
    def whole(self) -> Stretch:
        return Stretch(self.start, 8 + self.size_bytes + self.size_bytes % 2)


def layout_of(read: Read, size_bytes: int) -> Layout:
    """What stands where in the file of this size.

    Raises:
        NotCompressible: it is no file that comes back byte for byte, and why.
    """
    form = _form(_exactly(read, 0, min(12, size_bytes)), size_bytes)
    chunks = list(_chunks(read, form, size_bytes))
    at, sounding = _only(chunks, form.sounding)
    described, describing = _only(chunks, form.describing)
    if described > at:
        raise NotCompressible("The sound stands before what describes it.")
    header = Stretch(sounding.start, form.header_bytes)
    sound = Stretch(header.end, 8 + sounding.size_bytes - form.header_bytes)
    shape = form.shape(_described(read, describing), sound.size_bytes)
    _check_sound(read, form, sounding, sound, shape)
    whole = [chunk.whole for chunk in chunks]
    return Layout(form, shape, (Stretch(0, 12), *whole[:at], header), sound, tuple(whole[at + 1 :]))


def _exactly(read: Read, start: int, size_bytes: int) -> bytes:
    found = read(start, size_bytes)
    if len(found) != size_bytes:
        raise NotCompressible("The file has fewer bytes than its store says.")
    return found


def _form(head: bytes, size_bytes: int) -> Form:
    form = FORMS.get((head[:4], head[8:12]))
    if form is None:
        raise NotCompressible(f"{_named(head)} is kept as it came; only WAV and AIFF become FLAC.")
    said = 8 + int.from_bytes(head[4:8], form.order)
    if said > size_bytes:
        raise NotCompressible(f"The header says {said} bytes, the file ends after {size_bytes}.")
    if said < size_bytes:
        raise NotCompressible(f"Bytes stand behind the file's own end: {size_bytes - said}.")
    return form


def _named(head: bytes) -> str:
    """What a file is called that is no WAV or AIFF."""
    if head[:4] in (b"RF64", b"BW64") and head[8:] == b"WAVE":
        return head[:4].decode()
    if head[:4] == b"FORM" and head[8:] == b"AIFC":
        return "AIFF-C"
    return "Wave64" if head == WAVE64 else "This kind of file"


def _chunks(read: Read, form: Form, size_bytes: int) -> Iterator[Chunk]:
    """The chunks in their order; they fill the file, and what is kept of them fits."""
    start, kept, left = 12, 12, CHUNKS
    while start < size_bytes:
        if not left:
            raise NotCompressible(f"The file has more than {CHUNKS} chunks.")
        chunk = _chunk(read, form, start, size_bytes)
        if chunk.name != form.sounding:
            _check_size(chunk)
            kept += chunk.whole.size_bytes
        if kept > KEPT_BYTES:
            raise NotCompressible(f"More than {KEPT_BYTES} bytes of the file are no sound.")
        yield chunk
        start, left = chunk.whole.end, left - 1


def _chunk(read: Read, form: Form, start: int, size_bytes: int) -> Chunk:
    if size_bytes - start < 8:
        raise NotCompressible("The file ends within the header of a chunk.")
    head = _exactly(read, start, 8)
    chunk = Chunk(head[:4], start, int.from_bytes(head[4:], form.order))
    if start + 8 + chunk.size_bytes > size_bytes:
        raise NotCompressible("A chunk says that it is longer than the file.")
    if chunk.whole.end > size_bytes:
        raise NotCompressible("The pad byte of the last chunk is missing.")
    return chunk


def _check_size(chunk: Chunk) -> None:
    if chunk.whole.size_bytes > CHUNK_BYTES:
        raise NotCompressible(f"A chunk has more than the {CHUNK_BYTES} bytes that FLAC can keep.")


def _only(chunks: list[Chunk], name: bytes) -> tuple[int, Chunk]:
    found = [(at, chunk) for at, chunk in enumerate(chunks) if chunk.name == name]
    if len(found) != 1:
        raise NotCompressible(f"The file has {len(found)} chunks {name.decode()!r}, not one.")
    return found[0]


def _described(read: Read, chunk: Chunk) -> bytes:
    """The body of the describing chunk, which no writer of PCM makes longer than this."""
    if chunk.size_bytes > DESCRIPTION_BYTES:
        raise NotCompressible("What describes the sound has a form that the flac tool loses.")
    return _exactly(read, chunk.start + 8, chunk.size_bytes)


def _check_sound(read: Read, form: Form, chunk: Chunk, sound: Stretch, shape: Shape) -> None:
    if sound.size_bytes < 0 or sound.size_bytes % shape.frame_bytes:
        raise NotCompressible("The sound ends in part of a frame.")
    # The two fields of SSND: where the sound begins, and in what blocks. Nobody uses them.
    if any(_exactly(read, chunk.start + 8, form.header_bytes - 8)):
        raise NotCompressible("The sound is aligned in blocks.")
    if sound.size_bytes % 2 and any(_exactly(read, sound.end, 1)):
        raise NotCompressible("The pad byte of the sound is not zero.")


def _checked(shape: Shape) -> Shape:
    if shape.bits not in DEPTHS:
        raise NotCompressible(f"A sample has {shape.bits} bits; 16 and 24 become FLAC.")
    if not 1 <= shape.channels <= CHANNELS:
        raise NotCompressible(f"FLAC holds 1 to {CHANNELS} channels; these are {shape.channels}.")
    if not 1 <= shape.rate_hz <= RATE_HZ:
        raise NotCompressible(f"FLAC holds 1 to {RATE_HZ} Hz; this has {shape.rate_hz}.")
    return shape


def _of_wave(body: bytes, sound_bytes: int) -> Shape:
    """Source: Microsoft, "WAVEFORMATEX" and "WAVEFORMATEXTENSIBLE" (mmreg.h)."""
    tag, channels, rate_hz, bytes_a_second, frame_bytes, bits = _numbers(body, 2, 2, 4, 4, 2, 2)
    if tag not in (PCM, EXTENSIBLE):
        raise NotCompressible(f"The sound is no PCM; its format is {tag}.")
    speakers = _speakers(body, channels, bits) if tag == EXTENSIBLE else None
    shape = _checked(Shape(channels, rate_hz, bits, "little", speakers))
    rest = body[16 if speakers is None else 40 :]
    if rest or (frame_bytes, bytes_a_second) != (shape.frame_bytes, rate_hz * shape.frame_bytes):
        raise NotCompressible("What describes the sound has a form that the flac tool loses.")
    return shape


def _speakers(body: bytes, channels: int, bits: int) -> int:
    """The mask that says which channel is whose.

    Source of the last rule: the flac tool (src/flac/encode.c) refuses a mask of another number of
    channels, and restores a mask of none as the usual one.
    """
    extra, valid_bits, speakers = _numbers(body[16:], 2, 2, 4)
    if extra != 22 or body[24:40] != PCM_GUID:
        raise NotCompressible("The sound is no PCM; its extended format is another.")
    if valid_bits != bits:
        raise NotCompressible(f"Only {valid_bits} of the {bits} bits of a sample are used.")
    if speakers.bit_count() != channels:
        raise NotCompressible("The file does not say which channel is for which speaker.")
    return speakers


def _numbers(body: bytes, *sizes: int) -> tuple[int, ...]:
    """Little-endian numbers of these sizes in bytes, from the beginning of the body."""
    if len(body) < sum(sizes):
        raise NotCompressible("What describes the sound is cut short.")
    ends = [sum(sizes[: n + 1]) for n in range(len(sizes))]
    return tuple(
        int.from_bytes(body[end - size : end], "little")
        for end, size in zip(ends, sizes, strict=True)
    )


def _of_aiff(body: bytes, sound_bytes: int) -> Shape:
    """Source: Apple, "Audio Interchange File Format", version 1.3, "The Common Chunk"."""
    if len(body) != 18:
        raise NotCompressible("What describes the sound has a form that the flac tool loses.")
    channels, frames, bits = (int.from_bytes(body[a:b]) for a, b in ((0, 2), (2, 6), (6, 8)))
    shape = _checked(Shape(channels, _rate_hz(body[8:]), bits, "big"))
    if frames * shape.frame_bytes != sound_bytes:
        raise NotCompressible("The file says another number of frames than it has.")
    return shape


def _rate_hz(extended: bytes) -> int:
    """The rate, 0 where it is no whole number that FLAC could hold.

    Source: Apple Numerics Manual, 80-bit extended: sign and exponent in 16 bits (bias 16,383),
    then 64 bits of which the first counts one.
    """
    exponent, mantissa = int.from_bytes(extended[:2]) - 16_383, int.from_bytes(extended[2:])
    if not 0 <= exponent < RATE_HZ.bit_length():
        return 0
    rate_hz = mantissa >> (63 - exponent)
    whole = rate_hz << (63 - exponent) == mantissa and mantissa >> 63 == 1
    return rate_hz if whole else 0


#: Bytes of the longest description: that of `WAVE_FORMAT_EXTENSIBLE`.
DESCRIPTION_BYTES = 40
#: How Sony's Wave64 begins, in 12 bytes.
WAVE64 = bytes.fromhex("72696666 2e91cf11 a5d628db")
RIFF = Form(b"riff", "little", b"fmt ", b"data", 8, _of_wave)
AIFF = Form(b"aiff", "big", b"COMM", b"SSND", 16, _of_aiff)
FORMS = {(b"RIFF", b"WAVE"): RIFF, (b"FORM", b"AIFF"): AIFF}
