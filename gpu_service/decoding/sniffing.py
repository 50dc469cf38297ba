"""What a file is, by its first bytes; the demuxer is chosen here and never guessed by FFmpeg.

Names and content types are not looked at: a wrong extension does not matter, and a playlist
under a media name never meets a demuxer that would follow it.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from gpu_service.decoding.sealed_file import SealedFile
from shared.errors import DamagedAudio, NotAudio, ReferencesElsewhere, UnsupportedAudio

#: Bytes looked at. Real MP3 files have up to some ten kB of padding before the first frame.
HEAD_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class Kind:
    """A container we hear."""

    container: str  #: our short name
    demuxer: str  #: FFmpeg's name


@dataclass(frozen=True, slots=True)
class Mark:
    """How a container begins."""

    pattern: re.Pattern[bytes]
    kind: Kind


def _mark(pattern: bytes, container: str, demuxer: str) -> Mark:
    return Mark(re.compile(pattern, re.DOTALL), Kind(container, demuxer))


MP4 = "mov,mp4,m4a,3gp,3g2,mj2"
#: First match wins.
HEARD = (
    _mark(rb"RIFF....WAVE|R[FI](?:64|FX)....WAVE", "wav", "wav"),
    _mark(rb"fLaC", "flac", "flac"),
    _mark(rb"OggS", "ogg", "ogg"),
    _mark(rb"FORM....AIF[FC]", "aiff", "aiff"),
    _mark(rb"\x1aE\xdf\xa3.{0,48}webm", "webm", "matroska,webm"),
    _mark(rb"\x1aE\xdf\xa3", "matroska", "matroska,webm"),
    _mark(rb"....(?:ftypqt  |moov|mdat|wide|pnot|skip|free)", "mov", MP4),
    _mark(rb"....ftyp(?!avi[fs]|hei[cfmsx]|mif1|msf1|jxl |crx )", "mp4", MP4),
)
#: The first bytes are right and the rest of the header is missing.
CUT_HEADERS = re.compile(rb"(?:RIFF|RF64|FORM).{0,7}\Z|....ftyp.{0,3}\Z", re.DOTALL)
#: Sound or video, but not heard. Each widens what hostile bytes can reach; ask for it first.
UNSUPPORTED = {
    "AVI": re.compile(rb"RIFF....AVI ", re.DOTALL),
    "ASF or WMA": re.compile(rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),
    "Flash video": re.compile(rb"FLV\x01"),
    "RealMedia": re.compile(rb"\.RMF|\.ra\xfd"),
    "AMR": re.compile(rb"#!AMR"),
    "CAF": re.compile(rb"caff"),
    "AU": re.compile(rb"\.snd"),
    "MIDI": re.compile(rb"MThd|RIFF....RMID", re.DOTALL),
    "WavPack": re.compile(rb"wvpk"),
    "Monkey's Audio": re.compile(rb"MAC "),
    "Wave64": re.compile(rb"riff\x2e\x91\xcf\x11"),
    "DSD": re.compile(rb"DSD |FRM8"),
    "MPEG stream": re.compile(rb"\x00\x00\x01\xba|\x47.{187}\x47.{187}\x47", re.DOTALL),
}
#: HLS, concat, SDP, DASH, Smooth Streaming, ASX, SMIL, PLS, RTSP text, XSPF, plain URL lists.
REFERENCES = re.compile(
    r"\s*(?:#EXTM3U|ffconcat|v=0\s|\[playlist\]|\[reference\]|rtsptext|"
    r"(?:https?|rtsp|rtmp|ftp|file|concat|data|crypto|async|cache|tcp|udp|gopher):|subfile,)"
    r"|<(?:MPD|SmoothStreamingMedia|ASX|smil|playlist|manifest)[\s>]"
    r"|^\s*file\s+['\"]",
    re.IGNORECASE | re.MULTILINE,
)
#: Characters of a text in which a reference is looked for.
TEXT_CHARS = 4096


def kind_of(file: SealedFile) -> Kind:
    """Which container this is.

    Raises:
        ReferencesElsewhere: text that names other files or addresses.
        UnsupportedAudio: sound in a container that is not heard.
        DamagedAudio: the header ends before it says anything.
        NotAudio: everything else.
    """
    head = file.at(0, HEAD_BYTES)
    kind = _heard(head) or _frames(_after_tag(file, head))
    if kind is not None:
        return kind
    if CUT_HEADERS.match(head):
        raise DamagedAudio
    for name, begins in UNSUPPORTED.items():
        if begins.match(head):
            raise UnsupportedAudio(
                f"{name} files are not heard. Convert it to WAV, FLAC, MP3, Ogg, M4A or WebM."
            )
    _refuse_references(head)
    raise NotAudio


def _heard(head: bytes) -> Kind | None:
    return next((m.kind for m in HEARD if m.pattern.match(head)), None)


def _refuse_references(head: bytes) -> None:
    text = _text(head)
    if text is not None and REFERENCES.search(text[:TEXT_CHARS]):
        raise ReferencesElsewhere


def _text(head: bytes) -> str | None:
    """The head as text, or None where it is binary."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return head[: len(head) & ~1].decode("utf-16", "replace")
    return None if b"\0" in head else head.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")


def _after_tag(file: SealedFile, head: bytes) -> bytes:
    """What follows the ID3v2 tags, which may hold megabytes of pictures.

    Source: id3.org, ID3v2.4.0 main structure, section 3.1: 28 bits in four bytes, plus 10.
    """
    start = 0
    while head.startswith(b"ID3") and len(head) >= 10:
        length = 0
        for byte in head[6:10]:
            length = length << 7 | byte & 0x7F
        start += length + 10
        head = file.at(start, HEAD_BYTES)
    return head


def _frames(head: bytes) -> Kind | None:
    """MPEG audio or ADTS: two frames in a row, each beginning where the one before ends."""
    if head.startswith(b"fLaC"):
        return Kind("flac", "flac")
    for found in re.finditer(rb"\xff[\xe2-\xff]", head):
        for length_of, kind in FRAMED:
            if _chained(head, found.start(), length_of):
                return kind
    return None


def _chained(head: bytes, start: int, length_of: Callable[[bytes], int]) -> bool:
    length = length_of(head[start : start + 7])
    following = head[start + length :]
    if not length:
        return False
    # A file of one frame, whole or cut, has nothing to check against: it must begin the sound.
    return length_of(following[:7]) > 0 or (start == 0 and len(following) < 7)


#: kbit/s by layer (3, 2) of MPEG 1, then of MPEG 2 and 2.5. Source: ISO/IEC 11172-3, 2.4.2.3.
BITRATES = {
    (1, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0),
    (1, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 0),
    (2, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0),
    (2, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0),
}
#: Hz of MPEG 1; MPEG 2 has half, MPEG 2.5 a quarter of it.
RATES = (44_100, 48_000, 32_000, 0)
#: The two version bits: what the rate is divided by.
DIVISORS = {0b11: 1, 0b10: 2, 0b00: 4}


def mpeg_frame_bytes(header: bytes) -> int:
    """Length of the MPEG audio frame (layer 2 or 3) that begins here, 0 where none does."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return 0
    divisor, layer = DIVISORS.get(header[1] >> 3 & 3, 0), 4 - (header[1] >> 1 & 3)
    bitrates = BITRATES.get((min(divisor, 2), layer))
    rate = RATES[header[2] >> 2 & 3]
    if not bitrates or not divisor or not rate or not bitrates[header[2] >> 4]:
        return 0
    slots = 72 if layer == 3 and divisor > 1 else 144
    padding = header[2] >> 1 & 1
    return slots * bitrates[header[2] >> 4] * 1000 * divisor // rate + padding


def adts_frame_bytes(header: bytes) -> int:
    """Length of the ADTS frame that begins here, 0 where none does.

    Source: ISO/IEC 14496-3, 1.A.2.2.1: 12 bits of sync, layer 0, 13 bits of length from bit 30.
    """
    if len(header) < 7 or header[0] != 0xFF or header[1] & 0xF6 != 0xF0:
        return 0
    length = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
    return length if length > 7 and header[2] >> 2 & 15 < 13 else 0


FRAMED: tuple[tuple[Callable[[bytes], int], Kind], ...] = (
    (mpeg_frame_bytes, Kind("mp3", "mp3")),
    (adts_frame_bytes, Kind("aac", "aac")),
)
