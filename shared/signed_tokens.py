"""Tokens that somebody signs for us, such as Google's pushes and Identity-Aware Proxy's assertions.

Source: OpenID Connect Core 1.0, section 3.1.3.7; RFC 7519, section 4.1; RFC 8725, "JSON Web Token
Best Current Practices".
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

import jwt
from jwt.types import Options

from shared.key_sets import KeySet

OPTIONS: Options = {
    "require": ["iss", "aud", "exp", "iat", "sub", "email"],
    "strict_aud": True,
    # Times are looked at by our own clock: `_current`.
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
}
#: Header parameters that bring a key along or demand what we do not know (RFC 7515, section 4.1).
UNWANTED = frozenset({"jku", "jwk", "x5u", "x5c", "crit", "zip", "enc", "cty"})
#: Seconds two clocks may differ. Source: Google Cloud, "Securing your app with signed headers".
LEEWAY_S = 30


class SignedTokens:
    """Verifies algorithm, signature, issuer, audience and times; whose a token is, the caller asks.

    One algorithm, and never the one that a token names: the key set has it.
    """

    def __init__(
        self, keys: KeySet, *, issuer: str, audience: str, now: Callable[[], float] = time.time
    ) -> None:
        """`now` is in seconds since the epoch."""
        self._keys, self._issuer, self._audience, self._now = keys, issuer, audience, now

    def claims(self, token: str) -> Mapping[str, Any] | None:
        """What the token says; None: it is not this issuer's for us now, and nobody says why.

        May wait for the keys' owner, at most `key_sets.PATIENCE_S`.

        Raises:
            KeysUnavailable: nobody can tell now; asking again will help.
        """
        try:
            said = self._signed(token)
        except (jwt.PyJWTError, ValueError):
            return None
        return said if said is not None and self._current(said) else None

    def _signed(self, token: str) -> dict[str, Any] | None:
        header = jwt.get_unverified_header(token)
        key = self._keys.find(str(header.get("kid")))
        if key is None or UNWANTED & header.keys():
            return None
        return jwt.decode(
            token,
            key,
            [self._keys.algorithm],
            OPTIONS,
            audience=self._audience,
            issuer=self._issuer,
        )

    def _current(self, claims: Mapping[str, Any]) -> bool:
        """Begun and not over, give or take what two clocks may differ."""
        begun, over, now = (claims["iat"], claims.get("nbf", 0)), claims["exp"], self._now()
        if not all(type(at) in (int, float) for at in (*begun, over)):
            return False
        return bool(max(begun) - LEEWAY_S <= now < over + LEEWAY_S)
