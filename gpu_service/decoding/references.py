"""Films that keep their samples in another file: found without FFmpeg."""

import struct

from gpu_service.decoding.sealed_file import SealedFile


def refers_elsewhere(file: SealedFile) -> bool:
    """True where an MP4 or QuickTime file keeps its samples in another file.

    Source: ISO/IEC 14496-12, 8.7.2: a data entry without flag 1 is not self-contained. FFmpeg
    would follow Macintosh aliases if told to, and takes URLs for the file itself.
    """
    return any(_external(entry) for entry in _boxes(file, 0, file.size, DREF_PATH))


DREF_PATH = (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref")
#: Size, type, version and flags, and the zero that ends an empty name.
EMPTY_ENTRY_BYTES = 13
#: Boxes looked at, over all levels.
MAX_BOXES = 4096
#: Bytes of a dref box that are read.
DREF_BYTES = 4096


def _boxes(file: SealedFile, start: int, end: int, path: tuple[bytes, ...]) -> list[bytes]:
    """The bodies of all boxes at `path`, the first bytes of each."""
    if not path:
        return [file.at(start, min(end - start, DREF_BYTES))]
    found: list[bytes] = []
    for _ in range(MAX_BOXES):
        head = file.at(start, 16)
        if len(head) < 8 or start >= end:
            break
        size, name = struct.unpack_from(">I4s", head)
        body = 16 if size == 1 else 8
        if size == 1 and len(head) == 16:
            size = struct.unpack_from(">Q", head, 8)[0]
        size = size or end - start
        if size < body:
            break
        if name == path[0]:
            found += _boxes(file, start + body, min(start + size, end), path[1:])
        start += size
    return found


def _external(dref: bytes) -> bool:
    """Any entry of this dref body lies elsewhere."""
    offset = 8
    while len(dref) >= offset + 12:
        size, _, flags = struct.unpack_from(">I4sI", dref, offset)
        # An entry that names no place (its flag forgotten) can only mean the file itself.
        if not flags & 1 and size > EMPTY_ENTRY_BYTES:
            return True
        offset += max(size, 12)
    return False
