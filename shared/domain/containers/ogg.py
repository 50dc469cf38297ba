"""Ogg with Vorbis, Opus or FLAC.

Sources: RFC 3533 (pages), RFC 7845 section 5.1 (Opus), Vorbis I section 4.2.2,
"Ogg Encapsulation for FLAC" (xiph.org).
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

from shared.domain.containers.flac import stream_info
from shared.domain.containers.source import HEAD_BYTES, OutOfReach, Probe, Source
from shared.errors import DamagedAudio, NoAudioTrack, UnsupportedAudio

PAGE = struct.Struct("<4sBBqII4xB")  # magic, version, flags, granule, serial, number, segments
FIRST_PAGE = 0x02
#: Hz. Opus counts and decodes at this rate, whatever was recorded.
OPUS_RATE = 48_000
#: First bytes of streams that are pictures or describe others.
SILENT = (b"\x80theora", b"BBCD\0", b"\x01video", b"OVP80", b"fishead", b"\x80kate", b"CMML")
#: No page holds more samples: 255 packets (RFC 3533, section 6) of a FLAC block's 65,535.
MAX_PAGE_SAMPLES = 255 * 65_535
#: Streams a file may have before we stop looking.
MAX_STREAMS = 64


@dataclass(frozen=True, slots=True)
class _Stream:
    serial: int
    probe: Probe
    skipped: int = 0  #: samples at the start that are not played


def ogg(source: Source, start: int, container: str) -> Probe:
    """The first stream of sound that is heard.

    Raises:
        DamagedAudio: the first pages are cut. NoAudioTrack: pictures only.
        UnsupportedAudio: sound in a codec that is not heard (Speex, for one).
    """
    firsts = list(_firsts(source, start))
    streams = (_stream(serial, packet, container) for serial, packet in firsts)
    stream = next((s for s in streams if s), None)
    if stream:
        return replace(stream.probe, duration_s=_duration_s(source, stream))
    if not firsts:
        raise DamagedAudio
    if all(packet.startswith(SILENT) for _, packet in firsts):
        raise NoAudioTrack
    raise UnsupportedAudio


def _firsts(source: Source, at: int) -> Iterator[tuple[int, bytes]]:
    """Serial number and first packet of every stream; these pages all come first."""
    for _ in range(MAX_STREAMS):
        magic, version, flags, _, serial, _, segments = PAGE.unpack(source.take(at, PAGE.size))
        if magic != b"OggS" or version:
            raise DamagedAudio
        if not flags & FIRST_PAGE:
            return
        length = sum(source.take(at + PAGE.size, segments))
        at += PAGE.size + segments
        yield serial, source.take(at, length)
        at += length


def _stream(serial: int, packet: bytes, container: str) -> _Stream | None:
    if packet.startswith(b"\x01vorbis"):
        channels, rate = struct.unpack("<BI", _whole(packet, 30)[11:16])
        return _Stream(serial, Probe(container, "vorbis", rate, channels))
    if packet.startswith(b"OpusHead"):
        channels, skipped = struct.unpack("<BH", _whole(packet, 19)[9:12])
        return _Stream(serial, Probe(container, "opus", OPUS_RATE, channels), skipped)
    if packet.startswith(b"\x7fFLAC"):
        return _Stream(serial, stream_info(_whole(packet, 51)[13:], container))
    return None


def _whole(packet: bytes, length: int) -> bytes:
    if len(packet) < length:
        raise DamagedAudio
    return packet


def _duration_s(source: Source, stream: _Stream) -> float | None:
    """The last page of the stream says how many samples were played by its end."""
    try:
        last = max(_granules(source.tail(), stream.serial), default=0)
    except OutOfReach:
        return None
    first = next(_granules(source.upto(0, HEAD_BYTES), stream.serial), 0)
    # A recorded broadcast counts from the broadcast's start, which may lie days back.
    skipped = first if first > MAX_PAGE_SAMPLES else stream.skipped
    rate = stream.probe.sample_rate_hz
    return (last - skipped) / rate if last and rate else None


def _granules(data: bytes, serial: int) -> Iterator[int]:
    """The sample counts of the stream's pages; headers have none."""
    for found in re.finditer(rb"OggS(?=.{%d})" % (PAGE.size - 4), data, re.DOTALL):
        _, version, _, granule, owner, _, _ = PAGE.unpack_from(data, found.start())
        if version == 0 and owner == serial and granule > 0:
            yield granule
