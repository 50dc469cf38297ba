"""MPEG audio (MP3, MP2) and ADTS: no header, only frames, one behind the other.

Sources: ISO/IEC 11172-3, 2.4.1.3 and 2.4.2.3; ISO/IEC 13818-3, 2.4.2.3; ISO/IEC 14496-3,
1.A.2.2.1 (ADTS); Xing's and Fraunhofer's tags as FFmpeg reads them (libavformat/mp3dec.c).
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from shared.domain.containers.source import HEAD_BYTES, Probe, Source, fields

#: kbit/s by version (1, or 2 and 2.5) and layer; 0 = free format and the forbidden value.
BITRATES = {
    (1, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0),
    (1, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 0),
    (2, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0),
    (2, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0),
}
#: Hz of MPEG 1; what the version's two bits divide it by.
RATES, DIVISORS = (44_100, 48_000, 32_000, 0), (4, 0, 2, 1)
#: Hz by the four bits of MPEG-4 audio. Source: ISO/IEC 14496-3, table 1.18.
AAC_RATES = (
    *(96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000),
    *(22_050, 16_000, 12_000, 11_025, 8_000, 7_350),
)
#: Channels by the channel configuration; 0 = said elsewhere.
AAC_CHANNELS = (0, 1, 2, 3, 4, 5, 6, 8)
#: Frames in a row that are no accident: each must begin where the one before it ends.
CHAIN = 3
#: Frames whose mean bit rate stands for the file's, where no tag counts them.
SAMPLE_FRAMES = 1_000
#: Bytes in which the first frame must begin; real files have up to some ten kB of padding.
SEARCH_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class Frame:
    codec: str
    size: int  #: bytes
    rate: int  #: Hz
    channels: int
    samples: int  #: in each channel


def frames(source: Source, start: int) -> Probe | None:
    """The sound whose first frame begins near `start`, or None where there are no frames."""
    head = source.upto(start, HEAD_BYTES)
    whole = start + len(head) == source.size
    for found in re.finditer(rb"\xff[\xe2-\xff]", head[:SEARCH_BYTES]):
        at = found.start()
        chain = list(islice(_chain(head, at), CHAIN))
        # A file of one or two frames has less to check against, so it must begin with them.
        short = whole and not at and chain and sum(f.size for f in chain) >= len(head)
        if len(chain) == CHAIN or short:
            return _probe(head, at, source.size - start - at)
    return None


def _chain(head: bytes, at: int) -> Iterator[Frame]:
    frame = first = _frame(head, at)
    while first and frame and (frame.codec, frame.rate) == (first.codec, first.rate):
        yield frame
        at += frame.size
        frame = _frame(head, at)


def _probe(head: bytes, at: int, size: int) -> Probe:
    sample = list(islice(_chain(head, at), SAMPLE_FRAMES))
    first, count = sample[0], _counted(head[at : at + sample[0].size], sample[0])
    if not count:
        count = round(size * len(sample) / sum(f.size for f in sample))
    container = "aac" if first.codec == "aac" else "mp3"
    duration_s = count * first.samples / first.rate
    return Probe(container, first.codec, first.rate, first.channels or None, duration_s)


def _counted(frame: bytes, about: Frame) -> int:
    """The number of frames that the tag in the first frame says, 0 where there is none."""
    if frame[36:40] == b"VBRI" and len(frame) >= 54:
        return int(struct.unpack(">I", frame[50:54])[0])
    mpeg1 = about.samples == 1152
    side = (17 if mpeg1 else 9) if about.channels == 1 else (32 if mpeg1 else 17)
    tag = frame[4 + side : 16 + side]
    if tag[:4] in (b"Xing", b"Info") and len(tag) == 12 and tag[7] & 1:
        return int(struct.unpack(">I", tag[8:])[0])
    return 0


def _frame(head: bytes, at: int) -> Frame | None:
    header = head[at : at + 7]
    if len(header) < 7 or header[0] != 0xFF:
        return None
    return _adts(header) if header[1] & 0xF6 == 0xF0 else _mpeg(header)


def _mpeg(header: bytes) -> Frame | None:
    sync, version, layer_bits, bitrate, rate_bits, padding, mode = fields(
        header[:4], (0, 11), (11, 2), (13, 2), (16, 4), (20, 2), (22, 1), (24, 2)
    )
    divisor, layer = DIVISORS[version], 4 - layer_bits
    kbits = BITRATES.get((min(divisor, 2), layer), (0,) * 16)[bitrate]
    if sync != 0x7FF or not kbits or not RATES[rate_bits]:
        return None
    rate = RATES[rate_bits] // divisor
    samples = 576 if layer == 3 and divisor > 1 else 1152
    size = samples // 8 * kbits * 1000 // rate + padding
    return Frame(f"mp{layer}", size, rate, 1 if mode == 3 else 2, samples)


def _adts(header: bytes) -> Frame | None:
    rate, channels, size, blocks = fields(header, (18, 4), (23, 3), (30, 13), (54, 2))
    if rate >= len(AAC_RATES) or size <= 7:
        return None
    return Frame("aac", size, AAC_RATES[rate], AAC_CHANNELS[channels], 1024 * (blocks + 1))


def id3_length(head: bytes) -> int:
    """Bytes of the ID3v2 tag that begins here. Source: id3.org, ID3v2.4.0, section 3.1."""
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    footer = 10 if head[5] & 0x10 else 0
    a, b, c, d = (byte & 0x7F for byte in head[6:10])
    return 10 + (a << 21 | b << 14 | c << 7 | d) + footer
