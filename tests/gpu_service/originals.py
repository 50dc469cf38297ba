"""WAV and AIFF files written field by field, right and wrong ones, and stores to read them from."""

import struct
from dataclasses import dataclass, field

PCM_GUID = bytes.fromhex("0100000000001000800000aa00389b71")


def chunk(name: bytes, body: bytes, order: str = "<", pad: bytes = b"\0") -> bytes:
    return name + struct.pack(f"{order}I", len(body)) + body + pad * (len(body) % 2)


def pcm_format(channels=1, rate=8_000, bits=16, tag=1) -> bytes:
    frame = channels * bits // 8
    return struct.pack("<HHIIHH", tag, channels, rate & 0xFFFFFFFF, rate * frame, frame, bits)


def extensible_format(channels, rate, bits, speakers, valid=None, guid=PCM_GUID, extra=22) -> bytes:
    more = struct.pack("<HHI", extra, valid or bits, speakers) + guid
    return pcm_format(channels, rate, bits, 0xFFFE) + more


def riff(*chunks: bytes, kind: bytes = b"WAVE", size: int | None = None) -> bytes:
    body = kind + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body) if size is None else size) + body


def wave(sound=b"", form: bytes | None = None, before=(), between=(), after=()) -> bytes:
    """A WAV file; the chunks around are whole ones, as `chunk` makes them."""
    described = chunk(b"fmt ", pcm_format() if form is None else form)
    return riff(*before, described, *between, chunk(b"data", sound), *after)


def extended(rate: int) -> bytes:
    """The 80 bits in which AIFF writes a whole number."""
    exponent = max(rate.bit_length() - 1, 0)
    return struct.pack(">HQ", 16_383 + exponent if rate else 0, rate << (63 - exponent))


def common(channels: int, frames: int, bits: int, rate: bytes) -> bytes:
    return struct.pack(">HIH", channels, frames, bits) + rate


def aiff(
    sound=b"", channels=1, rate=8_000, bits=16, before=(), between=(), after=(), **other
) -> bytes:
    """An AIFF file; `other` replaces what its chunks say: `comm`, `aligned`, `kind`."""
    frames = len(sound) // max(channels * bits // 8, 1)
    comm = other.get("comm", common(channels, frames, bits, extended(rate)))
    sounding = chunk(b"SSND", other.get("aligned", bytes(8)) + sound, ">")
    parts = (*before, chunk(b"COMM", comm, ">"), *between, sounding, *after)
    body = other.get("kind", b"AIFF") + b"".join(parts)
    return b"FORM" + struct.pack(">I", len(body)) + body


@dataclass
class Store:
    """Gives the bytes of a file as a bucket does, and counts what it gave."""

    content: bytes
    given: int = 0

    def __call__(self, start: int, length: int) -> bytes:
        assert start >= 0 and length >= 0
        found = self.content[start : start + length]
        self.given += len(found)
        return found


@dataclass
class Sparse:
    """A large file of zeros but for some places."""

    size_bytes: int = 0
    places: dict[int, bytes] = field(default_factory=dict)

    def put(self, head: bytes, zeros: int = 0) -> None:
        self.places[self.size_bytes] = head
        self.size_bytes += len(head) + zeros

    def __call__(self, start: int, length: int) -> bytes:
        end = min(start + length, self.size_bytes)
        found = bytearray(end - start)
        for at, head in self.places.items():
            low, high = max(at, start), min(at + len(head), end)
            if low < high:
                found[low - start : high - start] = head[low - at : high - at]
        return bytes(found)
