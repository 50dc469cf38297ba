"""MP4, M4A and QuickTime: boxes in boxes.

Sources: ISO/IEC 14496-12 (boxes), ISO/IEC 14496-14 and 14496-1 section 7.2.6 (esds),
ISO/IEC 14496-3 section 1.6 (AAC), Apple, "QuickTime File Format Specification".
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from shared.domain.containers.mpeg import AAC_CHANNELS, AAC_RATES
from shared.domain.containers.source import OutOfReach, Probe, Source, fields
from shared.errors import DamagedAudio, NoAudioTrack, ReferencesElsewhere, UnsupportedAudio

#: Sample formats we hear, as FFmpeg names them; `{}` = bits of a sample. mp4a, lpcm: see below.
CODECS = {
    b"mp4a": "aac",
    b".mp3": "mp3",
    b"ms\0U": "mp3",
    b"alac": "alac",
    b"Opus": "opus",
    b"fLaC": "flac",
    b"ac-3": "ac3",
    b"ec-3": "eac3",
    b"sowt": "pcm_s{}le",
    b"twos": "pcm_s{}be",
    b"raw ": "pcm_u8",
    b"ulaw": "pcm_mulaw",
    b"alaw": "pcm_alaw",
    b"in24": "pcm_s24be",
    b"in32": "pcm_s32be",
    b"fl32": "pcm_f32be",
    b"fl64": "pcm_f64be",
}
#: Sound we know and do not hear: ADPCM, GSM, AMR, QDesign, DTS, and what is encrypted.
UNHEARD = (
    *(b"ima4", b"ms\0\x02", b"ms\0\x11", b"agsm", b"samr", b"sawb", b"QDMC", b"QDM2", b"MAC3"),
    *(b"MAC6", b"dtsc", b"dtsh", b"dtsl", b"enca", b"drms", b"Qclp", b"sqcp", b"sevc"),
)
#: Object types of mp4a. Source: mp4ra.org.
OBJECT_TYPES = {0x40: "aac", 0x66: "aac", 0x67: "aac", 0x68: "aac", 0x69: "mp3", 0x6B: "mp3"}
#: QuickTime's enda box, saying that a sample's lowest byte comes first.
LITTLE_ENDIAN = b"enda\0\1"
#: Bytes of a sound description before its own boxes, in QuickTime's version 0.
ENTRY = 36
#: Bytes of a description that are looked at; the longest we met has some hundred.
MAX_ENTRY = 4_096
UNKNOWN_32, UNKNOWN_64 = (1 << 32) - 1, (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class _Box:
    kind: bytes
    body: int
    end: int


def movie(source: Source, start: int, container: str) -> Probe:
    """Find the movie header wherever it lies, and its first track of sound that is heard.

    Raises:
        DamagedAudio: there is no movie header, or it is cut.
        NoAudioTrack, UnsupportedAudio, ReferencesElsewhere: as their names say.
    """
    moov = next((b for b in _boxes(source, start, source.size) if b.kind == b"moov"), None)
    if moov is None or moov.end > source.size:
        raise DamagedAudio
    return _movie(source, moov, container)


def _movie(source: Source, moov: _Box, container: str) -> Probe:
    tracks, overall_s, refused = 0, None, None
    try:
        for box in _boxes(source, moov.body, moov.end):
            if box.kind == b"mvhd":
                _, overall_s = _clock(source, box)
            if box.kind == b"rmra":
                raise ReferencesElsewhere
            if box.kind == b"cmov":
                raise UnsupportedAudio
            if box.kind == b"trak":
                tracks += 1
                try:
                    sound = _track(source, box, container, overall_s)
                except UnsupportedAudio as error:
                    refused = error
                    continue
                if sound:
                    return sound
    except OutOfReach:
        return Probe(container, duration_s=overall_s)
    raise refused or (NoAudioTrack() if tracks else DamagedAudio())


def _boxes(source: Source, at: int, end: int) -> Iterator[_Box]:
    while at + 8 <= end:
        size, kind = struct.unpack(">I4s", source.take(at, 8))
        body = at + 8
        if size == 1:
            (size,) = struct.unpack(">Q", source.take(body, 8))
            body += 8
        elif size == 0:
            size = end - at
        if size < body - at:
            raise DamagedAudio
        at += size
        yield _Box(kind, body, at)


def _inside(source: Source, box: _Box) -> Mapping[bytes, _Box]:
    """The children, the first of each kind."""
    found: dict[bytes, _Box] = {}
    for child in _boxes(source, box.body, box.end):
        found.setdefault(child.kind, child)
    return found


def _clock(source: Source, box: _Box) -> tuple[int, float | None]:
    """Ticks a second and length of mvhd and mdhd."""
    body = source.take(box.body, 32)
    long = body[0] == 1
    rate, length = struct.unpack_from(">IQ" if long else ">II", body, 20 if long else 12)
    if not rate or length in (0, UNKNOWN_32, UNKNOWN_64):
        return rate, None
    return rate, length / rate


def _track(source: Source, trak: _Box, container: str, overall_s: float | None) -> Probe | None:
    """What a track of sound says; None for other tracks."""
    media = _inside(source, _child(_inside(source, trak), b"mdia"))
    if source.take(_child(media, b"hdlr").body + 8, 4) != b"soun":
        return None
    timescale, length_s = _clock(source, _child(media, b"mdhd"))
    info = _inside(source, _child(media, b"minf"))
    if b"dinf" in info:
        _refuse_references(source, info[b"dinf"])
    table = _inside(source, _child(info, b"stbl"))
    stsd = _child(table, b"stsd")
    codec, rate, channels = _description(source, stsd.body + 8)
    return Probe(container, codec, rate or timescale or None, channels, length_s or overall_s)


def _child(boxes: Mapping[bytes, _Box], kind: bytes) -> _Box:
    if kind not in boxes:
        raise DamagedAudio
    return boxes[kind]


def _refuse_references(source: Source, dinf: _Box) -> None:
    """Bit 0 of an entry's flags says that the sound lies in this file."""
    dref = _inside(source, dinf).get(b"dref")
    if dref is None:
        return
    for entry in _boxes(source, dref.body + 8, dref.end):
        if not source.take(entry.body, 4)[3] & 1:
            raise ReferencesElsewhere


def _description(source: Source, at: int) -> tuple[str | None, int | None, int | None]:
    """Codec, rate and channels of the first sample description."""
    size, kind = struct.unpack(">I4s", source.take(at, 8))
    if kind in UNHEARD:
        raise UnsupportedAudio(
            f"Sound coded as {kind.decode('latin-1')!r} is not heard."
            " Convert it to WAV, FLAC, MP3, Ogg, M4A or WebM."
        )
    entry = source.take(at, max(ENTRY, min(size, MAX_ENTRY)))
    version, channels, bits, rate = struct.unpack(">H6xHHxxxxI", entry[16:36])
    codec = _codec(kind, bits, little=LITTLE_ENDIAN in entry)
    if version == 2 and len(entry) >= 64:
        return (_linear(entry) if kind == b"lpcm" else codec), *_wide(entry)
    if kind == b"mp4a":
        return _elementary(entry, rate >> 16, channels)
    return codec, rate >> 16 or None, channels or None


def _codec(kind: bytes, bits: int, *, little: bool) -> str | None:
    """None where a format has no name here; decoding will find out."""
    name = CODECS.get(kind, "").format(bits)
    if name in ("pcm_s8le", "pcm_s8be"):
        return "pcm_s8"
    swaps = little and name[-2:] == "be" and kind != b"twos"
    return (name[:-2] + "le" if swaps else name) or None


def _wide(entry: bytes) -> tuple[int | None, int]:
    """Rate and channels of QuickTime's version 2, which has room for 192 kHz."""
    rate, channels = struct.unpack(">dI", entry[40:52])
    return (int(rate) if 0 < rate < 1e9 else None), channels


def _linear(entry: bytes) -> str:
    bits, flags = struct.unpack(">II", entry[56:64])
    return f"pcm_{'f' if flags & 1 else 's'}{bits}{'be' if flags & 2 else 'le'}"


def _elementary(entry: bytes, rate: int, channels: int) -> tuple[str, int | None, int | None]:
    """What esds says: codec, and for AAC the decoder's own configuration."""
    at = entry.find(b"esds", ENTRY)
    found = dict(_descriptors(entry[at + 8 :])) if at > 0 else {}
    decoder = found.get(4, b"\x40")
    codec = OBJECT_TYPES.get(decoder[0] if decoder else 0)
    if codec is None:
        raise UnsupportedAudio
    if codec == "aac" and len(found.get(5, b"")) >= 2:
        own_rate, own_channels = _aac(found[5])
        rate, channels = own_rate or rate, own_channels or channels
    return codec, rate or None, channels or None


def _descriptors(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and body of the descriptors we look into, each inside the one before."""
    headers = {3: 3, 4: 13, 5: 0}  #: bytes before what is inside
    at = 0
    while at + 1 < len(data):
        tag, size, at = data[at], 0, at + 1
        for _ in range(4):
            byte = data[at] if at < len(data) else 0
            size, at = size << 7 | byte & 0x7F, at + 1
            if byte < 0x80:
                break
        yield tag, data[at : at + size]
        at += headers.get(tag, size)


def _aac(config: bytes) -> tuple[int | None, int]:
    """Rate and channels that decoding gives, with explicit SBR and PS (types 5 and 29)."""
    data, at = config[:16].ljust(16, b"\0"), 9
    kind, index = fields(data, (0, 5), (5, 4))
    rate, at = _aac_rate(data, index, at)
    (layout,) = fields(data, (at, 4))
    if kind in (5, 29):
        (index,) = fields(data, (at + 4, 4))
        rate, _ = _aac_rate(data, index, at + 8)
    channels = AAC_CHANNELS[layout] if layout < len(AAC_CHANNELS) else 0
    return rate, 2 if kind == 29 else channels


def _aac_rate(data: bytes, index: int, at: int) -> tuple[int | None, int]:
    if index == 15:
        (rate,) = fields(data, (at, 24))
        return rate, at + 24
    return (AAC_RATES[index] if index < len(AAC_RATES) else None), at
