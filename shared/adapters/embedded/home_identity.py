"""Implements `Identity` on one machine: a key of HOME signs what Google would.

Source of the claims: Google Cloud, "Authentication for push subscriptions"; OpenID Connect
Core 1.0, section 2.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import jwt
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from shared.errors import InvalidSettings

#: How long a token is valid. Google's live an hour too.
LIFETIME = timedelta(hours=1)
#: A token this close to its end is replaced, so that none expires on its way.
MARGIN = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Claims:
    """Who calls whom."""

    issuer: str
    audience: str
    email: str
    subject: str


class HomeIdentity:
    """Tokens signed by one private key; any thread may ask."""

    def __init__(self, key: RSAPrivateKey, claims: Claims, now: Callable[[], datetime]) -> None:
        self._key, self._claims, self._now = key, claims, now
        self._kid = key_id(key)
        self._lock = threading.Lock()
        self._token, self._until = "", now()

    def authorization(self) -> str:
        """The value of an Authorization header; the token is made once and renewed in time."""
        with self._lock:
            now = self._now()
            if not self._token or now >= self._until - MARGIN:
                self._token, self._until = self._sign(now), now + LIFETIME
            return f"Bearer {self._token}"

    def _sign(self, now: datetime) -> str:
        c = self._claims
        claims = {
            "iss": c.issuer,
            "aud": c.audience,
            "azp": c.subject,
            "sub": c.subject,
            "email": c.email,
            "email_verified": True,
            "iat": now,
            "exp": now + LIFETIME,
        }
        return jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": self._kid})


def key_id(key: RSAPrivateKey) -> str:
    """A digest of the public key, so that a new key has a new id; 32 hexadecimal digits."""
    der = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    digest = hashes.Hash(hashes.SHA256())
    digest.update(der)
    return digest.finalize().hex()[:32]


def read_key(path: Path) -> RSAPrivateKey | None:
    """The key in the file; None if there is none, or none that can be read."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (FileNotFoundError, ValueError):
        return None
    return key if isinstance(key, RSAPrivateKey) else None


def identity(path: Path, claims: Claims, now: Callable[[], datetime]) -> HomeIdentity:
    """The identity that the key in `path` proves.

    Raises:
        InvalidSettings: there is no such key.
    """
    key = read_key(path)
    if key is None:
        raise InvalidSettings("EARWITNESS_SIGNING_KEY names no RSA private key in a PEM file.")
    return HomeIdentity(key, claims, now)
