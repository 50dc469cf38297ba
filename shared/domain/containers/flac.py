"""FLAC. Source: RFC 9639, sections 8.1 and 8.2."""

from shared.domain.containers.source import OutOfReach, Probe, Source, fields
from shared.errors import DamagedAudio

#: Bytes of the marker, a block's header, and the first block's body.
MARKER, BLOCK, INFO = 4, 4, 34


def flac(source: Source, start: int, container: str) -> Probe:
    """Raises DamagedAudio where no frame can follow the header."""
    head = source.take(start, MARKER + BLOCK + INFO)
    said = stream_info(head[MARKER:], container)
    at, last = start + MARKER, False
    try:
        while not last:
            flags, size = fields(source.take(at, BLOCK), (0, 8), (8, 24))
            at, last = at + BLOCK + size, flags >= 0x80
    except OutOfReach:
        return said
    if at >= source.size:
        raise DamagedAudio
    return said


def stream_info(block: bytes, container: str) -> Probe:
    """What STREAMINFO says, its block header included.

    Raises:
        DamagedAudio: the first block is no STREAMINFO.
    """
    kind, size, rate, channels, samples = fields(
        block[: BLOCK + INFO], (1, 7), (8, 24), (112, 20), (132, 3), (140, 36)
    )
    if kind != 0 or size != INFO or not rate:
        raise DamagedAudio
    return Probe(container, "flac", rate, channels + 1, samples / rate if samples else None)
