"""What is not heard: references to other places, media we do not know, and no media at all."""

import re

from shared.errors import NotAudio, ReferencesElsewhere, RefusedAudio, UnsupportedAudio

#: HLS, concat, SDP, PLS, RTSP text, FFmpeg's own protocols: how they begin.
BEGINS = re.compile(
    r"\s*(?:#EXTM3U|ffconcat|v=0\s|\[playlist\]|\[reference\]|rtsptext|smiltext|"
    r"(?:concat|subfile|data|crypto|async|cache|tcp|udp|gopher|file):)",
    re.IGNORECASE,
)
#: DASH, Smooth Streaming, ASX, SMIL, XSPF, lists of addresses, scripts of concat: what is in them.
HOLDS = re.compile(
    r"<(?:MPD|SmoothStreamingMedia|ASX|smil|playlist|manifest)[\s>]|^\s*#EXTINF|^c=IN IP|"
    r"^\s*(?:https?|rtsps?|rtmp|mms|ftp|file)://|^\s*file\s+['\"]",
    re.IGNORECASE | re.MULTILINE,
)
#: Characters that no text file has.
BINARY = re.compile(r"[\0-\x08\x0e-\x1a]")
#: Characters of a text in which a reference is looked for.
TEXT_CHARS = 4_096
#: Sound or video that is not heard, by how it begins. Each heard format widens what hostile
#: bytes can reach, so a format is added when somebody needs it.
UNHEARD = {
    "AVI": rb"RIFF....AVI ",
    "MIDI": rb"MThd|RIFF....RMID",
    "ASF or WMA": rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11",
    "Flash video": rb"FLV\x01",
    "RealMedia": rb"\.RMF|\.ra\xfd",
    "AMR": rb"#!AMR",
    "CAF": rb"caff",
    "AU": rb"\.snd",
    "AC-3": rb"\x0b\x77",
    "DTS": rb"\x7f\xfe\x80\x01",
    "AAC (ADIF)": rb"ADIF",
    "WavPack": rb"wvpk",
    "Monkey's Audio": rb"MAC ",
    "True Audio": rb"TTA[12]",
    "Musepack": rb"MPCK|MP\+",
    "OptimFROG": rb"OFR ",
    "TAK": rb"tBaK",
    "Shorten": rb"ajkg",
    "SPHERE": rb"NIST_1A\n",
    "Wave64 or BW64": rb"riff\x2e\x91\xcf\x11|BW64....WAVE",
    "IFF 8SVX": rb"FORM....8SVX",
    "DSD": rb"DSD |FRM8",
    "Creative Voice": rb"Creative Voice File",
    "MPEG stream": rb"\x00\x00\x01[\xba\xb3]|(?:....)?\x47.{187}(?:....)?\x47.{187}(?:....)?\x47",
}
#: No sound at all. Named, so that the message can say it, and looked at before MPEG frames are
#: searched for, which may well lie inside an archive.
OTHER = {
    "a PNG image": rb"\x89PNG",
    "a JPEG image": rb"\xff\xd8\xff",
    "a GIF image": rb"GIF8",
    "a WebP image": rb"RIFF....WEBP",
    "a BMP image": rb"BM....\0\0\0\0",
    "a TIFF image": rb"II\*\0|MM\0\*",
    "an image": rb"....ftyp(?:avi[fs]|hei[cfmsx]|hev[cmsx]|mif1|msf1|jxl |crx )|\0\0\0\x0cjP  ",
    "a PDF document": rb"%PDF",
    "a ZIP archive or an Office document": rb"PK(?:\x03\x04|\x05\x06|\x07\x08)",
    "an Office document": rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    "an archive": rb"\x1f\x8b|BZh|\xfd7zXZ\0|7z\xbc\xaf\x27\x1c|Rar!|\x28\xb5\x2f\xfd|.{257}ustar",
    "a program": rb"\x7fELF|MZ|\xca\xfe\xba\xbe|[\xce\xcf]\xfa\xed\xfe|#!/|\0asm",
    "a database": rb"SQLite format 3\0",
    "a web page": rb"\s*(?i:<!doctype html|<html)",
}


def _any(patterns: dict[str, bytes]) -> dict[str, re.Pattern[bytes]]:
    return {name: re.compile(pattern, re.DOTALL) for name, pattern in patterns.items()}


_UNHEARD, _OTHER = _any(UNHEARD), _any(OTHER)


def refusal(head: bytes) -> RefusedAudio | None:
    """Why a file that begins like this is refused, or None where nothing is known of it."""
    text = _text(head)
    if BEGINS.match(text) or (HOLDS.search(text) and not BINARY.search(text)):
        return ReferencesElsewhere()
    for name, begins in _UNHEARD.items():
        if begins.match(head):
            return UnsupportedAudio(
                f"{name} is not heard. Convert the file to WAV, FLAC, MP3, Ogg, M4A or WebM."
            )
    for name, begins in _OTHER.items():
        if begins.match(head):
            return NotAudio(
                f"The file is {name}, whatever its name says. Upload a sound or video file."
            )
    return None


def _text(head: bytes) -> str:
    """The first characters, were it text."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return head[: 2 * TEXT_CHARS].decode("utf-16", "replace").lstrip("\ufeff")
    return head.removeprefix(b"\xef\xbb\xbf")[:TEXT_CHARS].decode("latin-1")
