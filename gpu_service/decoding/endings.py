"""Whether a file ends before its container said it would.

FFmpeg hears what is there and keeps silent about the rest; the reader of a transcript must know.
"""

import struct

from gpu_service.decoding.sealed_file import SealedFile

#: Bytes; an Ogg page is at most 65,307 bytes long (RFC 3533, section 6).
OGG_PAGE_BYTES = 65_307
#: Flag "last page of a logical bitstream" (RFC 3533, section 6, header_type_flag).
OGG_LAST = 0x04
#: Chunks walked in a RIFF file before we give up; real files have fewer than ten.
MAX_CHUNKS = 64
#: A RIFF size that means "see the ds64 chunk", or "a stream: not known" (EBU Tech 3306, 3).
NOT_HERE = 0xFFFFFFFF


def is_cut(file: SealedFile, container: str) -> bool:
    """True where the bytes alone show that more was meant to come."""
    if container == "ogg":
        return _ogg_is_cut(file)
    if container == "wav":
        return _wav_is_cut(file)
    return False


def _ogg_is_cut(file: SealedFile) -> bool:
    tail = file.at(max(0, file.size - OGG_PAGE_BYTES), OGG_PAGE_BYTES)
    page = tail[tail.rfind(b"OggS") :]
    if len(page) < 27 or len(page) < 27 + page[26]:
        return True
    length = 27 + page[26] + sum(page[27 : 27 + page[26]])
    return len(page) < length or not page[5] & OGG_LAST


def _wav_is_cut(file: SealedFile) -> bool:
    """The data chunk is longer than the file. Source: Microsoft RIFF; ds64 of EBU Tech 3306."""
    offset, data_bytes_64 = 12, None
    for _ in range(MAX_CHUNKS):
        head = file.at(offset, 24)
        if len(head) < 8:
            return False
        name, size = struct.unpack_from("<4sI", head)
        if name == b"ds64" and len(head) == 24:
            data_bytes_64 = struct.unpack_from("<Q", head, 16)[0]
        if name == b"data":
            promised = size if size != NOT_HERE else data_bytes_64
            return promised is not None and offset + 8 + promised > file.size
        offset += 8 + size + (size & 1)
    return False


def has_frame_count(head: bytes) -> bool:
    """True where the first MPEG frame tells how many follow.

    Source: the Xing / Info header as LAME writes it; without one FFmpeg estimates the
    duration from the bit rate, which for variable rates is no promise.
    """
    return b"Xing" in head or b"Info" in head or b"VBRI" in head
