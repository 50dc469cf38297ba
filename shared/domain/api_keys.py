"""API keys: how one looks, what it may do, and why a digest of it is all that is kept.

A key is 256 random bits, so nobody finds it by guessing however fast a digest is: a slow hash,
made for passwords people think of, would guard nothing and cost each request its time.
"""

import hashlib
import hmac
import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from zlib import crc32

from shared.errors import ScopeOutsideRole

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
#: The longest a key may live that is to end at all, and an old one beside its successor: beyond
#: it nobody remembers what the key was for.
MAX_LIFE, MAX_OVERLAP = timedelta(days=3_660), timedelta(days=30)


class Scope(StrEnum):
    """One right over the things of the key's own tenant; the last two reach further.

    What takes which one, address by address, stands in `gateway.rights`.
    """

    READ = "recordings:read"  #: look: recordings, results, search, letters, usage, models
    WRITE = "recordings:write"  #: upload, transcribe, correct, replay, discard, keep longer
    HOLD = "hold"  #: keep from being erased, and release again
    ERASE = "erase"  #: a recording, whom it is about, or the whole tenant
    EXPORT = "export"  #: everything of the tenant in one file
    AUDIT = "audit"  #: who did what
    WEBHOOKS = "webhooks"  #: whom to tell what happened
    KEYS = "keys"  #: list, make, rotate and revoke keys
    MODELS = "models"  #: load and unload engines, for everybody
    EVERYBODY = "everybody"  #: counts over all tenants


class Role(StrEnum):
    """A named set of scopes."""

    READER = "reader"
    OPERATOR = "operator"
    OWNER = "owner"


#: What each role may do. A scope that comes later is its role's at once, for keys made before, too.
ROLES: dict[Role, frozenset[Scope]] = {
    Role.READER: frozenset({Scope.READ}),
    # Sees to engines and to what waits or died, for everybody; guards nobody's data. Makes keys,
    # but none that may more than itself.
    Role.OPERATOR: frozenset(
        {Scope.READ, Scope.WRITE, Scope.KEYS, Scope.MODELS, Scope.EVERYBODY},
    ),
    # All of the tenant's own, and nothing of the installation's.
    Role.OWNER: frozenset(Scope) - {Scope.MODELS, Scope.EVERYBODY},
}


@dataclass(frozen=True, slots=True)
class Grant:
    """What a key may do: a role, or a part of one."""

    role: Role
    narrowed: frozenset[Scope] | None = None  #: None: all of the role, as it is now and becomes

    def __post_init__(self) -> None:
        """Raise ScopeOutsideRole for a part that is none."""
        if self.narrowed is not None and not frozenset() < self.narrowed <= ROLES[self.role]:
            raise ScopeOutsideRole(_outside(self.role, self.narrowed))

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """In the order of the table, so that they always read alike."""
        mine = ROLES[self.role] if self.narrowed is None else self.narrowed
        return tuple(scope for scope in Scope if scope in mine)

    def covers(self, other: "Grant") -> bool:
        """Whether it may do all that the other may."""
        return set(other.scopes) <= set(self.scopes)


def _outside(role: Role, narrowed: frozenset[Scope]) -> str:
    said, able = ", ".join(sorted(narrowed - ROLES[role])), ", ".join(Grant(role).scopes)
    if not said:
        return "A key that may do nothing opens nothing. Name a scope, or none for the whole role."
    return f"The role {role} has not: {said}. It has: {able}."


READER, OPERATOR, OWNER = Grant(Role.READER), Grant(Role.OPERATOR), Grant(Role.OWNER)
#: What most programs need: look, upload, transcribe.
WRITER = Grant(Role.OWNER, frozenset({Scope.READ, Scope.WRITE}))
#: Words that keys were made with before there were roles; as short names they still hold.
SHORT: dict[str, Grant] = {"read": READER, "write": WRITER, "operator": OPERATOR}


_LEAST_FIRST = (Role.READER, Role.OWNER, Role.OPERATOR)


def granted(role: Role | None = None, scopes: Collection[Scope] = ()) -> Grant:
    """What was asked for: without a role the first that has these scopes, without both WRITER.

    Raises:
        ScopeOutsideRole: the role has not all of them, or no role has.
    """
    if role is None and not scopes:
        return WRITER
    if role is None:
        role = next((one for one in _LEAST_FIRST if ROLES[one] >= set(scopes)), Role.OWNER)
    part = frozenset(scopes)
    return Grant(role, part if part and part != ROLES[role] else None)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is kept of a key."""

    id: str
    tenant: str
    grant: Grant
    name: str  #: what its owner calls it
    digest: str  #: SHA-256 of the whole key, hexadecimal
    made_at: datetime
    revoked_at: datetime | None = None
    used_on: date | None = None  #: UTC; the last day, no finer: that is enough to find idle keys
    expires_at: datetime | None = None  #: from then on it opens nothing; None: never
    rotated_to: str | None = None  #: id of the key that takes its place

    def may(self, wanted: Scope) -> bool:
        return wanted in self.grant.scopes

    @property
    def life(self) -> timedelta | None:
        """How long it was made for; None: for good."""
        return self.expires_at - self.made_at if self.expires_at else None

    def expired(self, now: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= now

    def ends(self, at: datetime) -> "ApiKey":
        """The same, ending then at the latest; never later than it would anyway."""
        return replace(self, expires_at=min(at, self.expires_at) if self.expires_at else at)


def minted(
    tenant: str,
    grant: Grant,
    name: str,
    at: datetime,
    entropy: bytes,
    expires_at: datetime | None = None,
) -> tuple[str, ApiKey]:
    """The key, to be shown once, and what is kept of it. `entropy`: ENTROPY_BYTES, secret."""
    key_id = _base62(entropy[:ID_BYTES], _ID)
    body = f"{PREFIX}{key_id}_{_base62(entropy[ID_BYTES:], _SECRET)}"
    text = body + _check(body)
    return text, ApiKey(key_id, tenant, grant, name, _digest(text), at, expires_at=expires_at)


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
