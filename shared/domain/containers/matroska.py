"""Matroska and WebM: EBML elements. Sources: RFC 8794 (EBML), RFC 9559 (Matroska)."""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from shared.domain.containers.source import OutOfReach, Probe, Source
from shared.errors import DamagedAudio, NoAudioTrack, UnsupportedAudio

EBML, DOC_TYPE, SEGMENT = 0x1A45DFA3, 0x4282, 0x18538067
INFO, SCALE, DURATION = 0x1549A966, 0x2AD7B1, 0x4489
TRACKS, TRACK, TRACK_TYPE, CODEC_ID = 0x1654AE6B, 0xAE, 0x83, 0x86
AUDIO, RATE, OUTPUT_RATE, CHANNELS, BITS = 0xE1, 0xB5, 0x78B5, 0x9F, 0x6264
CLUSTER = 0x1F43B675
SOUND = 2  #: track type
#: Nanoseconds of a tick, and Hz, where the file does not say.
DEFAULT_SCALE, DEFAULT_RATE = 1_000_000, 8_000
#: Codecs we hear, by the beginning of their id; `{}` = bits of a sample.
CODECS = {
    "A_OPUS": "opus",
    "A_VORBIS": "vorbis",
    "A_AAC": "aac",
    "A_FLAC": "flac",
    "A_ALAC": "alac",
    "A_MPEG/L3": "mp3",
    "A_MPEG/L2": "mp2",
    "A_AC3": "ac3",
    "A_EAC3": "eac3",
    "A_PCM/INT/LIT": "pcm_s{}le",
    "A_PCM/INT/BIG": "pcm_s{}be",
    "A_PCM/FLOAT/IEEE": "pcm_f{}le",
}
#: Codecs that need reading elsewhere to be named; decoding will find out.
UNCERTAIN = ("A_MS/ACM", "A_QUICKTIME")


@dataclass(frozen=True, slots=True)
class _Element:
    id: int
    body: int
    size: int | None  #: None = up to the next element of the same level


def matroska(source: Source, start: int, container: str) -> Probe:
    """The first track of sound that is heard.

    Raises:
        DamagedAudio: the tracks are missing or cut.
        NoAudioTrack, UnsupportedAudio: as their names say.
    """
    head = next(_elements(source, start, source.size))
    if head.size is None or _text(_values(source, head), DOC_TYPE) not in ("matroska", "webm"):
        raise UnsupportedAudio
    segment = next(_elements(source, head.body + head.size, source.size), None)
    if segment is None or segment.id != SEGMENT:
        raise DamagedAudio
    try:
        parts = _parts(source, segment)
    except OutOfReach:
        return Probe(container)
    if TRACKS not in parts:
        raise DamagedAudio
    duration_s = _duration_s(_values(source, parts[INFO])) if INFO in parts else None
    return _sound(source, parts[TRACKS], container, duration_s)


def _parts(source: Source, segment: _Element) -> Mapping[int, _Element]:
    """What the segment says before the sound begins, and behind it where tracks lie there."""
    end = source.size if segment.size is None else segment.body + segment.size
    found: dict[int, _Element] = {}
    for part in _elements(source, segment.body, min(end, source.size)):
        if part.id == CLUSTER and (TRACKS in found or part.size is None):
            break
        found.setdefault(part.id, part)
    return found


def _elements(source: Source, at: int, end: int) -> Iterator[_Element]:
    while at < end:
        head = source.upto(at, 12)
        id_length, size_length = _length(head, 0), _length(head, _length(head, 0))
        body = id_length + size_length
        if id_length > 4 or len(head) < body:
            raise DamagedAudio
        size = int.from_bytes(head[id_length:body], "big") & (1 << 7 * size_length) - 1
        unknown = size == (1 << 7 * size_length) - 1
        number = int.from_bytes(head[:id_length], "big")
        yield _Element(number, at + body, None if unknown else size)
        if unknown:
            return
        at += body + size


def _length(head: bytes, at: int) -> int:
    """Bytes of a number: one more than the zero bits it begins with."""
    if at >= len(head) or not head[at]:
        raise DamagedAudio
    return 9 - head[at].bit_length()


#: Bytes of a value that are looked at; what is longer is no number and no name.
MAX_VALUE = 64


def _values(source: Source, parent: _Element) -> dict[int, bytes]:
    """The children's values, the first of each kind, cut at MAX_VALUE."""
    found: dict[int, bytes] = {}
    for child in _children(source, parent):
        if child.id not in found:
            found[child.id] = source.take(child.body, min(child.size or 0, MAX_VALUE))
    return found


def _children(source: Source, parent: _Element) -> Iterator[_Element]:
    if parent.size is None or parent.body + parent.size > source.size:
        raise DamagedAudio
    return _elements(source, parent.body, parent.body + parent.size)


def _sound(source: Source, tracks: _Element, container: str, duration_s: float | None) -> Probe:
    known, refused = 0, ""
    for track in _children(source, tracks):
        values = _values(source, track) if track.id == TRACK else {}
        known += track.id == TRACK
        if _number(values, TRACK_TYPE, 0) != SOUND:
            continue
        audio = next((e for e in _children(source, track) if e.id == AUDIO), None)
        about = _values(source, audio) if audio else {}
        codec_id = _text(values, CODEC_ID)
        codec = _codec(codec_id, _number(about, BITS, 16))
        if codec or codec_id.startswith(UNCERTAIN):
            rate = int(_real(about, OUTPUT_RATE) or _real(about, RATE) or DEFAULT_RATE)
            return Probe(container, codec, rate, _number(about, CHANNELS, 1), duration_s)
        refused = codec_id
    if refused:
        raise UnsupportedAudio(
            f"Sound coded as {refused!r} is not heard."
            " Convert it to WAV, FLAC, MP3, Ogg, M4A or WebM."
        )
    raise NoAudioTrack if known else DamagedAudio


def _codec(codec_id: str, bits: int) -> str | None:
    named = next((c for begin, c in CODECS.items() if codec_id.startswith(begin)), "")
    return "pcm_u8" if named == "pcm_s{}le" and bits == 8 else named.format(bits) or None


def _duration_s(info: Mapping[int, bytes]) -> float | None:
    ticks = _real(info, DURATION)
    return ticks * _number(info, SCALE, DEFAULT_SCALE) / 1e9 if ticks else None


def _number(values: Mapping[int, bytes], key: int, default: int) -> int:
    return int.from_bytes(values[key][:8], "big") if values.get(key) else default


def _real(values: Mapping[int, bytes], key: int) -> float | None:
    """A float that is above 0 and no infinity, or None."""
    form = {4: ">f", 8: ">d"}.get(len(values.get(key, b"")))
    number = struct.unpack(form, values[key])[0] if form else 0.0
    return float(number) if 0.0 < number < 1e18 else None


def _text(values: Mapping[int, bytes], key: int) -> str:
    return values.get(key, b"").rstrip(b"\0").decode("ascii", "replace")
