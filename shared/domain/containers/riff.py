"""WAV: RIFF, RIFX and RF64.

Sources: Microsoft, "Multiple Channel Audio Data and WAVE Files" (the extensible format);
EBU Tech 3306 (RF64).
"""

import struct
from collections.abc import Iterator

from shared.domain.containers.source import Probe, Source
from shared.errors import DamagedAudio, UnsupportedAudio

PCM, FLOAT, A_LAW, MU_LAW, EXTENSIBLE = 0x0001, 0x0003, 0x0006, 0x0007, 0xFFFE
#: What follows the format tag in the GUID of an extensible format.
GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")
#: A size that says: see ds64, or nobody knew when the header was written.
UNKNOWN_SIZE = 0xFFFFFFFF
NO_SOUND = "The WAV file holds no sound: its sizes leave nothing to read. Export the file again."


def wav(source: Source, start: int, container: str) -> Probe:
    """Walk the chunks up to the sound.

    Raises:
        DamagedAudio: the header is cut short, or nothing is left for the sound.
        UnsupportedAudio: neither PCM, float nor G.711.
    """
    order = ">" if source.take(start, 4) == b"RIFX" else "<"
    form, long_size = b"", None
    for name, body, size in _chunks(source, start + 12, order):
        if name == b"ds64":
            long_size = struct.unpack("<Q", source.take(body + 8, 8))[0]
        if name == b"fmt ":
            form = source.take(body, min(max(size, 16), 40))
        if name == b"data":
            claimed = size if long_size is None or size != UNKNOWN_SIZE else long_size
            return _sound(container, form, order, _left(source, body, claimed))
    raise DamagedAudio(NO_SOUND)


def _chunks(source: Source, at: int, order: str) -> Iterator[tuple[bytes, int, int]]:
    while head := source.upto(at, 8):
        if len(head) < 8:
            return
        name, size = struct.unpack(order + "4sI", head)
        yield name, at + 8, size
        at += 8 + size + size % 2


def _left(source: Source, body: int, claimed: int) -> int:
    """Bytes of sound that are really there; a size of 0 means up to the end, as in FFmpeg."""
    there = source.size - body
    return there if claimed in (0, UNKNOWN_SIZE) else min(claimed, there)


def _sound(container: str, form: bytes, order: str, size: int) -> Probe:
    if len(form) < 16:
        raise DamagedAudio
    tag, channels, rate, _, _, bits = struct.unpack(order + "HHIIHH", form[:16])
    if tag == EXTENSIBLE and form[26:40] == GUID_TAIL:
        (tag,) = struct.unpack(order + "H", form[24:26])
    width = (bits + 7) // 8
    codec = _codec(tag, width, order)
    frame = width * channels
    if not frame or not rate or size < frame:
        raise DamagedAudio(NO_SOUND)
    return Probe(container, codec, rate, channels, size / frame / rate)


def _codec(tag: int, width: int, order: str) -> str:
    end = "be" if order == ">" else "le"
    known = {
        (PCM, 1): "pcm_u8",
        **{(PCM, n): f"pcm_s{8 * n}{end}" for n in (2, 3, 4)},
        **{(FLOAT, n): f"pcm_f{8 * n}{end}" for n in (4, 8)},
        (A_LAW, 1): "pcm_alaw",
        (MU_LAW, 1): "pcm_mulaw",
    }
    if (tag, width) in known:
        return known[tag, width]
    if tag in (PCM, FLOAT, A_LAW, MU_LAW) and not width:
        raise DamagedAudio
    raise UnsupportedAudio(
        f"The WAV file holds {8 * width}-bit sound of type 0x{tag:04X}, which is not heard."
        " Save it as PCM, float, µ-law or A-law."
    )
