"""ULIDs: ids that sort by the time they were made. Source: github.com/ulid/spec."""

import re
from datetime import UTC, datetime, timedelta

#: Crockford's base 32: no I, L, O, U.
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
PATTERN = r"^[0-7][0-9A-HJKMNP-TV-Z]{25}$"
ULID = re.compile(PATTERN)
#: Bytes of randomness after the 48 bits of time.
ENTROPY_BYTES = 10
_DIGITS = 26
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def ulid(at: datetime, entropy: bytes) -> str:
    """26 characters of Crockford's base 32: milliseconds since the epoch, then 80 random bits."""
    milliseconds = (at - _EPOCH) // timedelta(milliseconds=1)
    number = (milliseconds << (8 * ENTROPY_BYTES)) | int.from_bytes(entropy[:ENTROPY_BYTES])
    return "".join(ALPHABET[(number >> shift) & 31] for shift in range(5 * (_DIGITS - 1), -1, -5))
