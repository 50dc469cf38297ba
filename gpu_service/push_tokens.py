"""Is this push ours? Every ticket carries an OIDC token, and it is verified in full.

Source: Google Cloud, "Authentication for push subscriptions"; OpenID Connect Core 1.0,
section 3.1.3.7. There is no off switch: one machine signs with a key of its own.
"""

import hmac
import json
import time
from pathlib import Path
from typing import Any

import jwt

from shared.errors import ForgedTicket, InvalidSettings
from shared.settings import Settings

ALGORITHMS = ["RS256"]
REQUIRED = ["iss", "aud", "exp", "iat", "sub", "email"]
#: Seconds two clocks may differ.
LEEWAY_S = 30


class PushTokens:
    """Verifies signature, issuer, audience, expiry, e-mail, its being verified, and subject."""

    def __init__(self, settings: Settings) -> None:
        """Raises InvalidSettings if no identity is set: then nobody could be told apart."""
        if not settings.push_email or not settings.push_subject:
            raise InvalidSettings(
                "Set EARWITNESS_PUSH_EMAIL and EARWITNESS_PUSH_SUBJECT to the identity that"
                " pushes tickets; without them no ticket can be told from a forged one."
            )
        self._settings = settings
        self._keys = _keys(settings.push_keys)
        #: The last token found to be ours, and until when. The platform sends the same one
        #: for an hour; looking at its signature again costs more than the rest of a ticket.
        self._known: tuple[str, float] = ("", 0.0)

    def verify(self, authorization: str) -> None:
        """Return if the header carries a token of ours.

        Raises:
            ForgedTicket: anything else; nothing is said of what was wrong.
        """
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise ForgedTicket
        known, until = self._known
        if hmac.compare_digest(known.encode(), token.strip().encode()) and time.time() < until:
            return
        try:
            claims = self._claims(token.strip())
        except (jwt.PyJWTError, ValueError) as error:
            raise ForgedTicket from error
        s = self._settings
        ours = claims["email"] == s.push_email and claims["sub"] == s.push_subject
        if not ours or claims.get("email_verified") is not True:
            raise ForgedTicket
        self._known = (token.strip(), float(claims["exp"]))

    def _claims(self, token: str) -> dict[str, Any]:
        key = self._keys.get_signing_key_from_jwt(token)
        return jwt.decode(
            token,
            key,
            algorithms=ALGORITHMS,
            audience=self._settings.push_audience,
            issuer=self._settings.push_issuer,
            leeway=LEEWAY_S,
            options={"require": REQUIRED, "strict_aud": True},
        )


class _FileKeys:
    """The key set in a file of ours, with the lookup of jwt.PyJWKClient."""

    def __init__(self, path: Path) -> None:
        self._keys = jwt.PyJWKSet.from_dict(json.loads(path.read_text(encoding="utf-8")))

    def get_signing_key_from_jwt(self, token: str) -> jwt.PyJWK:
        kid = jwt.get_unverified_header(token).get("kid")
        found = next((k for k in self._keys.keys if k.key_id == kid), None)
        if found is None:
            raise jwt.InvalidKeyError("unknown key id")
        return found


def _keys(where: str) -> "_FileKeys | jwt.PyJWKClient":
    if where.startswith("https://"):
        return jwt.PyJWKClient(where, cache_keys=True, lifespan=3600)
    try:
        return _FileKeys(Path(where))
    except (OSError, ValueError, jwt.PyJWTError) as error:
        raise InvalidSettings("EARWITNESS_PUSH_KEYS names no readable key set.") from error
