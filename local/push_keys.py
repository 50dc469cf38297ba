"""The key that signs our pushes: one machine has no Google to do it.

Source of the claims: Google Cloud, "Authentication for push subscriptions".
"""

import json
import threading
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from jwt.algorithms import RSAAlgorithm

from local.whole_files import write_whole
from shared.ports import Clock

ISSUER = "https://earwitness.local"
AUDIENCE = "earwitness"
EMAIL = "push@earwitness.local"
SUBJECT = "local-push"
#: How long a token is valid. Google's live an hour too.
LIFETIME = timedelta(hours=1)
#: A token this close to its end is replaced, so that none expires on its way.
MARGIN = timedelta(minutes=5)
#: Bits. NIST SP 800-57: enough until 2030; the key never leaves this machine.
KEY_BITS = 2048


class PushKeys:
    """A private key in HOME/keys (0600), its public half as a key set, and tokens signed by it."""

    def __init__(self, folder: Path, now: Clock) -> None:
        """Load the key, or make one; the public key set is written anew each time.

        Raises:
            DiskFull: there is no room for a key.
        """
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.jwks = folder / "push.jwks.json"
        self._key = _load(folder / "push.pem") or _make(folder / "push.pem")
        public = _public(self._key)
        self._kid = public["kid"]
        write_whole(self.jwks, json.dumps({"keys": [public]}).encode())
        self._now = now
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
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "azp": SUBJECT,
            "sub": SUBJECT,
            "email": EMAIL,
            "email_verified": True,
            "iat": now,
            "exp": now + LIFETIME,
        }
        return jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": self._kid})


def _load(path: Path) -> RSAPrivateKey | None:
    """The key in the file; None if there is none, or none that can be read."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (FileNotFoundError, ValueError):
        return None
    return key if isinstance(key, RSAPrivateKey) else None


def _make(path: Path) -> RSAPrivateKey:
    key = generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    write_whole(path, pem, mode=0o600)
    return key


def _public(key: RSAPrivateKey) -> dict[str, Any]:
    """The JSON Web Key; its id is a digest of the public key, so a new key has a new id."""
    public = key.public_key()
    der = public.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    digest = hashes.Hash(hashes.SHA256())
    digest.update(der)
    jwk: dict[str, Any] = RSAAlgorithm.to_jwk(public, as_dict=True)
    return jwk | {"kid": digest.finalize().hex()[:32], "use": "sig", "alg": "RS256"}
