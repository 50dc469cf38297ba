"""The key that signs our pushes, and the gateway's calls: one machine has no Google to do it.

Source of the claims: Google Cloud, "Authentication for push subscriptions".
"""

import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from jwt.algorithms import RSAAlgorithm

from local.whole_files import write_whole
from shared.adapters.embedded.home_identity import Claims, HomeIdentity, key_id, read_key
from shared.errors import NotRunning
from shared.ports import Clock

ISSUER = "https://earwitness.local"
AUDIENCE = "earwitness"
EMAIL = "push@earwitness.local"
SUBJECT = "local-push"
#: The gateway's own identity: whoever may ring for work may not hear for a tenant.
GATEWAY_EMAIL = "gateway@earwitness.local"
GATEWAY_SUBJECT = "local-gateway"
#: Whoever may read this HOME's key may load and unload engines.
OPERATOR_EMAIL = "operator@earwitness.local"
OPERATOR_SUBJECT = "local-operator"
#: The key's file in HOME/keys.
PEM = "push.pem"
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
        self.pem, self.jwks = folder / PEM, folder / "push.jwks.json"
        key = read_key(self.pem) or _make(self.pem)
        write_whole(self.jwks, json.dumps({"keys": [_public(key)]}).encode())
        self._identity = HomeIdentity(key, Claims(ISSUER, AUDIENCE, EMAIL, SUBJECT), now)

    def authorization(self) -> str:
        """The value of an Authorization header; the token is made once and renewed in time."""
        return self._identity.authorization()


def operator(folder: Path, now: Clock) -> HomeIdentity:
    """Whoever operates the stack of this HOME: proves it with the HOME's own key.

    Raises:
        NotRunning: there is no key, so nothing has run here.
    """
    key = read_key(folder / PEM)
    if key is None:
        raise NotRunning
    return HomeIdentity(key, Claims(ISSUER, AUDIENCE, OPERATOR_EMAIL, OPERATOR_SUBJECT), now)


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
    """The JSON Web Key."""
    jwk: dict[str, Any] = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return jwk | {"kid": key_id(key), "use": "sig", "alg": "RS256"}
