"""Who signed in before the door: Identity-Aware Proxy says so in each request, and signs it.

The signature is verified although only the proxy may call us: a proxy that somebody switched off,
or a grant too many, then opens nothing.
Source: Google Cloud, "Securing your app with signed headers" (ES256; `iss` is
`https://cloud.google.com/iap`; an assertion lives ten minutes; of a Cloud Run service the audience
is `/projects/NUMBER/locations/REGION/services/NAME`).
"""

import time
from collections.abc import Callable

from starlette.datastructures import Headers

from shared.errors import InvalidApiKey
from shared.key_sets import KeySet, key_set
from shared.settings import Settings
from shared.signed_tokens import SignedTokens

#: The proxy takes this header from every request that comes in, and writes its own.
HEADER = "x-goog-iap-jwt-assertion"
ISSUER = "https://cloud.google.com/iap"
ALGORITHM = "ES256"


class Viewers:
    """Reads who signed in from assertions that the proxy made for us."""

    def __init__(self, audience: str, keys: KeySet, now: Callable[[], float] = time.time) -> None:
        """`now` is in seconds since the epoch."""
        self._assertions = SignedTokens(keys, issuer=ISSUER, audience=audience, now=now)

    def signed_in(self, headers: Headers) -> str | None:
        """The e-mail of who did; None: the request did not come through the proxy.

        Raises:
            InvalidApiKey: there is an assertion, and it is not the proxy's for us.
            KeysUnavailable: nobody can tell now; asking again will help.
        """
        given = headers.getlist(HEADER)
        if not given:
            return None
        claims = self._assertions.claims(given[0]) if len(given) == 1 else None
        if claims is None:
            raise InvalidApiKey
        return str(claims["email"])


def viewers(settings: Settings) -> Viewers | None:
    """None where no proxy stands before the door: then nobody's word counts for one.

    Raises:
        InvalidSettings: the keys are a file that holds none.
    """
    if not settings.viewer_audience:
        return None
    keys = key_set(settings.viewer_keys, ALGORITHM, setting="viewer_keys")
    return Viewers(settings.viewer_audience, keys)
