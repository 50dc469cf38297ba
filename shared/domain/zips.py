"""The bytes around a zip's entries, each a pure function of what is known before anything is read.

Only what is stored as it is: then every offset follows from names and sizes, and a reader may
begin anywhere. No library lets one begin in the middle (zipstream-ng's issue 19 asks for it,
zipseeker reads all before it again), so these four records are written here.
Source: PKWARE, ".ZIP File Format Specification" 6.3.10, sections 4.3.7, 4.3.12, 4.3.14 to 4.3.16
and 4.5.3.
"""

from dataclasses import dataclass
from datetime import datetime
from struct import Struct

#: What stands in a 32-bit field whose number stands in the ZIP64 extra field, and in a 16-bit one.
MASK, SHORT_MASK = 0xFFFFFFFF, 0xFFFF
#: Version needed to extract: 2.0, or 4.5 for ZIP64. Section 4.4.3.
PLAIN, LONG = 20, 45
#: Made by Unix, so that the mode below is one; a file that its owner reads and writes.
MADE_BY, MODE = 3 << 8 | LONG, 0o100600 << 16
#: Names are UTF-8. Section 4.4.4, bit 11.
UTF8 = 1 << 11
#: Id of the ZIP64 extra field. Section 4.5.3.
ZIP64 = 1
_LOCAL = Struct("<4s5H3L2H")
_CENTRAL = Struct("<4s6H3L5H2L")
_END64 = Struct("<4sQ2H2L4Q")
_LOCATOR = Struct("<4sLQL")
_END = Struct("<4s4H2LH")
_EXTRA = Struct("<2H")


@dataclass(frozen=True, slots=True)
class Member:
    """One entry: its name, and what its header says of its content."""

    path: str  #: ASCII
    size_bytes: int
    crc32: int


def local_header(one: Member, at: datetime) -> bytes:
    """What stands before the content; `at` in UTC."""
    long = one.size_bytes >= MASK
    extra = _extra(one.size_bytes, one.size_bytes) if long else b""
    size = MASK if long else one.size_bytes
    name = one.path.encode("ascii")
    time, date = _moment(at)
    version = LONG if long else PLAIN
    fixed = (version, UTF8, 0, time, date, one.crc32, size, size, len(name), len(extra))
    return _LOCAL.pack(b"PK\3\4", *fixed) + name + extra


def central_header(one: Member, at: datetime, offset: int) -> bytes:
    """The entry's line in the directory; `offset` is where its local header begins."""
    sizes = (one.size_bytes, one.size_bytes) if one.size_bytes >= MASK else ()
    far = (offset,) if offset >= MASK else ()
    extra = _extra(*sizes, *far) if sizes or far else b""
    size = MASK if sizes else one.size_bytes
    name = one.path.encode("ascii")
    time, date = _moment(at)
    version = LONG if extra else PLAIN
    fixed = (MADE_BY, version, UTF8, 0, time, date, one.crc32, size, size, len(name), len(extra))
    rest = (0, 0, 0, MODE, MASK if far else offset)
    return _CENTRAL.pack(b"PK\1\2", *fixed, *rest) + name + extra


def stored_bytes(one: Member) -> int:
    """How many bytes the entry takes with its local header."""
    extra = _EXTRA.size + 16 if one.size_bytes >= MASK else 0
    return _LOCAL.size + len(one.path) + extra + one.size_bytes


def listed_bytes(one: Member, offset: int) -> int:
    """How many bytes its line in the directory takes."""
    numbers = 2 * (one.size_bytes >= MASK) + (offset >= MASK)
    return _CENTRAL.size + len(one.path) + (_EXTRA.size + 8 * numbers if numbers else 0)


def end(members: int, directory_at: int, directory_bytes: int) -> bytes:
    """What ends an archive; always with the ZIP64 records, so that its length is the same."""
    at = directory_at + directory_bytes
    where = (members, members, directory_bytes, directory_at)
    end64 = _END64.pack(b"PK\6\6", _END64.size - 12, MADE_BY, LONG, 0, 0, *where)
    locator = _LOCATOR.pack(b"PK\6\7", 0, at, 1)
    count = min(members, SHORT_MASK)
    last = (0, 0, count, count, min(directory_bytes, MASK), min(directory_at, MASK), 0)
    return end64 + locator + _END.pack(b"PK\5\6", *last)


#: Bytes that `end` has.
END_BYTES = _END64.size + _LOCATOR.size + _END.size


def _extra(*numbers: int) -> bytes:
    body = b"".join(number.to_bytes(8, "little") for number in numbers)
    return _EXTRA.pack(ZIP64, len(body)) + body


def _moment(at: datetime) -> tuple[int, int]:
    """Time and date as DOS writes them, in steps of two seconds. Section 4.4.6."""
    time = at.hour << 11 | at.minute << 5 | at.second // 2
    return time, (at.year - 1980) << 9 | at.month << 5 | at.day
