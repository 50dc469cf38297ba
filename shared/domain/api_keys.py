"""API keys: how one looks, what it may do, and why a digest of it is all that is kept.

A key is 256 random bits, so nobody finds it by guessing however fast a digest is: a slow hash,
made for passwords people think of, would guard nothing and cost each request its time.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from zlib import crc32

#: The first characters of every key, for whoever finds one where none should be.
PREFIX = "ew_"
#: Bytes of randomness a key is made from: its id's and its secret's.
ID_BYTES, SECRET_BYTES = 6, 32
ENTROPY_BYTES = ID_BYTES + SECRET_BYTES
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#: Base-62 digits that hold so many bytes: ceil(8 n / log2(62)).
_ID, _SECRET, _CHECK = 9, 43, 6
_KEY = re.compile(rf"ew_([0-9A-Za-z]{{{_ID}}})_[0-9A-Za-z]{{{_SECRET + _CHECK}}}")
MAX_NAME = 80


class Scope(StrEnum):
    """What a key may do; each may do what those before it may."""

    READ = "read"  #: look at the tenant's recordings and results
    WRITE = "write"  #: upload, transcribe, replay, discard
    OPERATOR = "operator"  #: load and unload models, look at what is everybody's


_ORDER = tuple(Scope)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is kept of a key."""

    id: str
    tenant: str
    scope: Scope
    name: str  #: what its owner calls it
    digest: str  #: SHA-256 of the whole key, hexadecimal
    made_at: datetime
    revoked_at: datetime | None = None
    used_on: date | None = None  #: UTC; the last day, no finer: that is enough to find idle keys

    def may(self, wanted: Scope) -> bool:
        return _ORDER.index(self.scope) >= _ORDER.index(wanted)


def minted(
    tenant: str, scope: Scope, name: str, at: datetime, entropy: bytes
) -> tuple[str, ApiKey]:
    """The key, to be shown once, and what is kept of it. `entropy`: ENTROPY_BYTES, secret."""
    key_id = _base62(entropy[:ID_BYTES], _ID)
    body = f"{PREFIX}{key_id}_{_base62(entropy[ID_BYTES:], _SECRET)}"
    text = body + _check(body)
    return text, ApiKey(key_id, tenant, scope, name, _digest(text), at)


def id_of(text: str) -> str | None:
    """The id in a key, or None if this is no key at all: mistyped, cut short, another's.

    The checksum tells without asking the store; it proves nothing.
    """
    match = _KEY.fullmatch(text)
    return match[1] if match and _check(text[:-_CHECK]) == text[-_CHECK:] else None


def looks_like_one(text: str) -> bool:
    """Whether somebody meant to send a key of ours."""
    return text.startswith(PREFIX)


def opens(key: ApiKey, text: str) -> bool:
    """Whether `text` is this key and it was not revoked; tells nothing by how long it takes."""
    same = hmac.compare_digest(_digest(text), key.digest)
    return same and key.revoked_at is None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _check(body: str) -> str:
    return _base62(crc32(body.encode()).to_bytes(4, "big"), _CHECK)


def _base62(content: bytes, digits: int) -> str:
    number, text = int.from_bytes(content, "big"), ""
    for _ in range(digits):
        number, digit = divmod(number, len(_DIGITS))
        text = _DIGITS[digit] + text
    return text
