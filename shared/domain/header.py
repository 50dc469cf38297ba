"""What a file is, by a few ranged reads of its header; runs where no decoder can.

Names and content types are not looked at: a wrong extension does not matter. What the header
claims may lie: it ranks and refuses early, decoding has the last word.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from shared.domain.containers.aiff import aiff
from shared.domain.containers.flac import flac
from shared.domain.containers.foreign import refusal
from shared.domain.containers.iso import movie
from shared.domain.containers.matroska import matroska
from shared.domain.containers.mpeg import frames, id3_length
from shared.domain.containers.ogg import ogg
from shared.domain.containers.riff import wav
from shared.domain.containers.source import (
    HEAD_BYTES,
    TAIL_BYTES,
    OutOfReach,
    Probe,
    Reads,
    Source,
)
from shared.domain.sound import MAX_CHANNELS, MAX_RATE_HZ, MIN_RATE_HZ
from shared.errors import DamagedAudio, EmptyAudio, NotAudio, UnusualSignal

__all__ = ["HEAD_BYTES", "TAIL_BYTES", "Probe", "Reads", "probe"]

#: ID3 tags in front of each other; FFmpeg's limit is not stated, files have one or two.
MAX_TAGS = 4
#: Seconds. More than 30 years is no estimate of anything.
MAX_CLAIM_S = 1e9


@dataclass(frozen=True, slots=True)
class _Format:
    begins: re.Pattern[bytes]
    container: str
    parse: Callable[[Source, int, str], Probe]


def _format(pattern: bytes, container: str, parse: Callable[[Source, int, str], Probe]) -> _Format:
    return _Format(re.compile(pattern, re.DOTALL), container, parse)


#: The first that matches wins.
FORMATS = (
    _format(rb"(?:RIFF|RIFX|RF64)....WAVE", "wav", wav),
    _format(rb"fLaC", "flac", flac),
    _format(rb"OggS", "ogg", ogg),
    _format(rb"FORM....AIF[FC]", "aiff", aiff),
    _format(rb"\x1aE\xdf\xa3.{0,48}webm", "webm", matroska),
    _format(rb"\x1aE\xdf\xa3", "matroska", matroska),
    _format(rb"....(?:ftypqt  |moov|mdat|wide|pnot|skip|free)", "mov", movie),
    _format(rb"....ftyp(?!avi[fs]|hei[cfmsx]|hev[cmsx]|mif1|msf1|jxl |crx )....", "mp4", movie),
)
#: The first bytes are right and the rest of the header is missing.
CUT_SHORT = re.compile(rb"(?:(?:RIFF|RIFX|RF64|FORM).{0,7}|....ftyp.{0,3})\Z", re.DOTALL)


def probe(size_bytes: int, read: Reads) -> Probe:
    """What the header says, in at most 3 reads and 1 MiB altogether.

    Raises:
        RefusedAudio: a leaf that says why; repeating will not help. Whatever `read` raises
            passes through.
    """
    source = Source(size_bytes, read)
    start, head = 0, source.upto(0, HEAD_BYTES, HEAD_BYTES)
    if not head:
        raise EmptyAudio
    container = "mp3"  # what an ID3 tag that reaches too far most likely stands before
    try:
        for _ in range(MAX_TAGS):
            known = next((f for f in FORMATS if f.begins.match(head)), None)
            if known:
                container = known.container
                return _checked(known.parse(source, start, container))
            length = id3_length(head)
            if not length:
                return _checked(_unnamed(source, start, head))
            start += length
            head = source.upto(start, HEAD_BYTES)
    except OutOfReach:
        return Probe(container)
    raise DamagedAudio


def _unnamed(source: Source, start: int, head: bytes) -> Probe:
    """MPEG frames have no header of their own; all else is refused."""
    if (start and not head) or CUT_SHORT.match(head):
        raise DamagedAudio
    refused = refusal(head)
    if refused:
        raise refused
    found = frames(source, start)
    if found is None:
        raise NotAudio
    return found


def _checked(said: Probe) -> Probe:
    rate, channels, seconds = said.sample_rate_hz, said.channels, said.duration_s
    unusual_rate = rate is not None and not MIN_RATE_HZ <= rate <= MAX_RATE_HZ
    if unusual_rate or (channels is not None and not 1 <= channels <= MAX_CHANNELS):
        raise UnusualSignal(
            f"The sound has {channels} channels at {rate} Hz; at most {MAX_CHANNELS} channels and"
            f" {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz are heard. Convert the file first."
        )
    possible = seconds is not None and 0 < seconds < MAX_CLAIM_S
    return said if possible else replace(said, duration_s=None)
