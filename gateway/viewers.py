"""Who signed in before the door: Identity-Aware Proxy says so in each request, and signs it.

The signature is verified although only the proxy may call us: a proxy that somebody switched off,
or a grant too many, then opens nothing.
Source: Google Cloud, "Securing your app with signed headers" (ES256; `iss` is
`https://cloud.google.com/iap`; an assertion lives ten minutes; of a Cloud Run service the audience
is `/projects/NUMBER/locations/REGION/services/NAME`).
"""

import time
from collections.abc import Callable
from typing import Any

import jwt
from jwt.types import Options
from starlette.datastructures import Headers

from shared.errors import InvalidApiKey
from shared.key_sets import KeySet, key_set
from shared.settings import Settings

#: The proxy takes this header from every request that comes in, and writes its own.
HEADER = "x-goog-iap-jwt-assertion"
ISSUER = "https://cloud.google.com/iap"
ALGORITHM = "ES256"
OPTIONS: Options = {
    "require": ["iss", "aud", "exp", "iat", "sub", "email"],
    "strict_aud": True,
    # Times are looked at by our own clock: `_current`.
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
}
#: Seconds two clocks may differ. Source: as above.
LEEWAY_S = 30


class Viewers:
    """Verifies algorithm, signature, issuer, audience and times of each assertion."""

    def __init__(self, audience: str, keys: KeySet, now: Callable[[], float] = time.time) -> None:
        """`now` is in seconds since the epoch."""
        self._audience, self._keys, self._now = audience, keys, now

    def signed_in(self, headers: Headers) -> str | None:
        """The e-mail of who did; None: the request did not come through the proxy.

        Raises:
            InvalidApiKey: there is an assertion, and it is not the proxy's for us.
            KeysUnavailable: nobody can tell now; asking again will help.
        """
        given = headers.getlist(HEADER)
        if not given:
            return None
        if len(given) > 1:
            raise InvalidApiKey
        try:
            claims = self._claims(given[0])
        except (jwt.PyJWTError, ValueError) as error:
            raise InvalidApiKey from error
        if not self._current(claims):
            raise InvalidApiKey
        return str(claims["email"])

    def _claims(self, token: str) -> dict[str, Any]:
        key = self._keys.find(str(jwt.get_unverified_header(token).get("kid")))
        if key is None:
            raise InvalidApiKey
        return jwt.decode(token, key, [ALGORITHM], OPTIONS, audience=self._audience, issuer=ISSUER)

    def _current(self, claims: dict[str, Any]) -> bool:
        begun, over, now = claims["iat"], claims["exp"], self._now()
        if not all(type(at) in (int, float) for at in (begun, over)):
            return False
        return bool(begun - LEEWAY_S <= now < over + LEEWAY_S)


def viewers(settings: Settings) -> Viewers | None:
    """None where no proxy stands before the door: then nobody's word counts for one.

    Raises:
        InvalidSettings: the keys are a file that holds none.
    """
    if not settings.viewer_audience:
        return None
    keys = key_set(settings.viewer_keys, ALGORITHM, setting="viewer_keys")
    return Viewers(settings.viewer_audience, keys)
