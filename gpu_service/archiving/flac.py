"""An upload -> a smaller FLAC file -> the same upload, compared byte for byte.

The chunks of the file stand in APPLICATION blocks as the flac tool's `--keep-foreign-metadata`
writes them, so `flac -d --keep-foreign-metadata` is a second way back. Sources: RFC 9639, "Free
Lossless Audio Codec", section 8; the flac tool's src/flac/foreign_metadata.c, which keeps a file's
header in one block of 12 bytes (its doc/foreign_metadata_storage.md tells of two).
"""

import hashlib
import logging
import os
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from gpu_service.archiving.chunks import Form, Read, Shape, Stretch, layout_of
from gpu_service.archiving.encoder import Encoder
from gpu_service.archiving.restoring import APPLICATION, BLOCK, LAST, MAGIC, restore
from shared.errors import DamagedAudio, NotCompressible

log = logging.getLogger("earwitness.archiving")

#: Kinds of metadata blocks. Source: RFC 9639, section 8.1.
STREAMINFO, COMMENT = 0, 4
#: The mask of 1 to 8 channels that need none. Source: the flac tool's src/flac/decode.c.
USUAL = (0x4, 0x3, 0x7, 0x33, 0x607, 0x60F, 0x70F, 0x63F)


def compress(read: Read, size_bytes: int, into: BinaryIO, alive: Callable[[], None]) -> str:
    """The port `Compressor`. Safe to repeat into another file: all it does is in `into`.

    Memory does not follow the size. `alive` is called for about every MiB read or compared.

    Raises:
        NotCompressible: it stays as it came, and why; repeating says the same.
    """

    def watched(start: int, length: int) -> bytes:
        alive()
        return read(start, length)

    encoded = encode(watched, size_bytes, into)
    flac_bytes = into.seek(0, os.SEEK_END)
    if flac_bytes >= size_bytes:
        raise NotCompressible(f"As FLAC it has {flac_bytes} bytes, as it came {size_bytes}.")
    _compare(into, encoded, alive)
    return encoded.sha256


@dataclass(frozen=True, slots=True)
class Encoded:
    sha256: str  #: of the file as it was read
    sizes: "array[int]"  #: bytes of each FLAC frame


def encode(read: Read, size_bytes: int, into: BinaryIO) -> Encoded:
    """Write the file as FLAC, smaller or not.

    Raises:
        NotCompressible: it is no file that comes back byte for byte, and why.
    """
    layout = layout_of(read, size_bytes)
    encoder, sha256 = Encoder(layout.shape), hashlib.sha256()
    into.write(MAGIC + _block(STREAMINFO, encoder.streaminfo()))
    for stretch in (*layout.before, *layout.after):
        _keep(read, layout.form, stretch, into)
    into.write(_block(COMMENT | LAST, _comment(layout.shape)))
    for block in _blocks(read, Stretch(0, layout.sound.start)):
        sha256.update(block)
    for block in _blocks(read, layout.sound, encoder.block_bytes):
        sha256.update(block)
        into.write(encoder.add(block))
    into.write(encoder.rest())
    # What follows the sound is read again: the hash takes the file in its own order.
    for block in _blocks(read, Stretch(layout.sound.end, size_bytes - layout.sound.end)):
        sha256.update(block)
    into.seek(len(MAGIC))
    into.write(_block(STREAMINFO, encoder.streaminfo()))
    return Encoded(sha256.hexdigest(), encoder.sizes)


class Comparison:
    """What would be restored, as its hash; says about every MiB that it still works."""

    def __init__(self, alive: Callable[[], None]) -> None:
        self._alive, self._since, self._sha256 = alive, BLOCK, hashlib.sha256()

    def write(self, data: bytes) -> None:
        self._sha256.update(data)
        self._since += len(data)
        if self._since >= BLOCK:
            self._since = 0
            self._alive()

    def hexdigest(self) -> str:
        return self._sha256.hexdigest()


def _compare(flac: BinaryIO, encoded: Encoded, alive: Callable[[], None]) -> None:
    restored = Comparison(alive)
    try:
        restore(flac, restored, encoded.sizes)
    except DamagedAudio as error:
        log.exception("a FLAC file just written is damaged")
        raise NotCompressible("The FLAC file could not be read again.") from error
    if restored.hexdigest() != encoded.sha256:
        log.error("a FLAC file gave back %s, not %s", restored.hexdigest(), encoded.sha256)
        raise NotCompressible("The FLAC file did not bring it back byte for byte.")


def _keep(read: Read, form: Form, stretch: Stretch, into: BinaryIO) -> None:
    """One chunk in a block of its own; `layout_of` found that it fits."""
    size_bytes = len(form.application) + stretch.size_bytes
    into.write(bytes([APPLICATION]) + size_bytes.to_bytes(3, "big") + form.application)
    for block in _blocks(read, stretch):
        into.write(block)


def _block(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + len(body).to_bytes(3, "big") + body


def _comment(shape: Shape) -> bytes:
    """Who wrote this and, where it is unusual, which channel is for which speaker.

    Source: RFC 9639, sections 8.6 and 8.6.2.
    """
    unusual = shape.speakers is not None and shape.speakers != USUAL[shape.channels - 1]
    tags = [b"WAVEFORMATEXTENSIBLE_CHANNEL_MASK=0x%04X" % (shape.speakers or 0)] * unusual
    vendor, *fields = (len(text).to_bytes(4, "little") + text for text in (b"Earwitness", *tags))
    return vendor + len(fields).to_bytes(4, "little") + b"".join(fields)


def _blocks(read: Read, stretch: Stretch, size_bytes: int = BLOCK) -> Iterator[bytes]:
    """The stretch, in blocks of this size; it was found to lie within the file."""
    for start in range(stretch.start, stretch.end, size_bytes):
        length = min(size_bytes, stretch.end - start)
        block = read(start, length)
        if len(block) != length:
            raise NotCompressible("The file has fewer bytes than its store says.")
        yield block
