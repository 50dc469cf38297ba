"""The records of a zip, read by the standard library: also where numbers outgrow 32 bits."""

import io
import zipfile
from bisect import bisect_right
from datetime import UTC, datetime
from itertools import accumulate
from zlib import crc32

import pytest

from shared.domain.zips import (
    END_BYTES,
    MASK,
    Member,
    central_header,
    end,
    listed_bytes,
    local_header,
    stored_bytes,
)

AT = datetime(2026, 3, 1, 12, 30, 42, tzinfo=UTC)


class Stretched(io.RawIOBase):
    """A file of pieces; a number stands for so many zero bytes, which nobody holds."""

    def __init__(self, *pieces):
        self._pieces = pieces
        sizes = [one if isinstance(one, int) else len(one) for one in pieces]
        self._ends = list(accumulate(sizes))
        self._at = 0

    def readable(self):
        return True

    def seekable(self):
        return True

    def seek(self, offset, whence=io.SEEK_SET):
        self._at = offset + {0: 0, 1: self._at, 2: self._ends[-1]}[whence]
        return self._at

    def tell(self):
        return self._at

    def readinto(self, into):
        n = bisect_right(self._ends, self._at)
        if n == len(self._pieces):
            return 0
        size = min(len(into), self._ends[n] - self._at)
        piece = self._pieces[n]
        begin = self._at - (self._ends[n - 1] if n else 0)
        into[:size] = bytes(size) if isinstance(piece, int) else piece[begin : begin + size]
        self._at += size
        return size


def archived(*members):
    """(member, content or how many zeros) -> the whole, as a file."""
    pieces, directory, at = [], b"", 0
    for member, content in members:
        header = local_header(member, AT)
        line = central_header(member, AT, at)
        assert len(line) == listed_bytes(member, at)
        assert len(header) + member.size_bytes == stored_bytes(member)
        pieces += [header, content]
        directory += line
        at += stored_bytes(member)
    last = end(len(members), at, len(directory))
    assert len(last) == END_BYTES
    return io.BufferedReader(Stretched(*pieces, directory, last))


def member(path, content):
    return Member(path, len(content), crc32(content))


def test_the_standard_library_reads_what_was_written():
    contents = {"a.txt": b"first", "b/c.json": b"{}", "empty": b""}

    found = zipfile.ZipFile(archived(*((member(p, c), c) for p, c in contents.items())))

    assert found.testzip() is None
    assert {one: found.read(one) for one in found.namelist()} == contents
    info = found.getinfo("b/c.json")
    assert info.date_time == (2026, 3, 1, 12, 30, 42)
    assert (info.compress_type, info.external_attr >> 16) == (zipfile.ZIP_STORED, 0o100600)


@pytest.mark.parametrize("size", [MASK - 1, MASK, MASK + 1, 5 * MASK])
def test_a_member_of_any_size_and_what_lies_behind_it(size):
    """Nothing but zeros is read of the large one: only that what follows is found."""
    large, small = Member("large", size, 0), member("small", b"behind it")

    found = zipfile.ZipFile(archived((large, size), (small, b"behind it")))

    assert found.getinfo("large").file_size == found.getinfo("large").compress_size == size
    assert found.getinfo("small").header_offset == stored_bytes(large)
    assert found.read("small") == b"behind it"
    with found.open("large") as zeros:
        assert zeros.read(10) == bytes(10)


def test_more_members_than_16_bits_count():
    one = member("x", b"1")
    named = [(Member(str(n), one.size_bytes, one.crc32), b"1") for n in range(0x10000)]

    found = zipfile.ZipFile(archived(*named))

    assert len(found.infolist()) == 0x10000
    assert found.read("65535") == b"1"
