"""What each address asks of a key: the one table, and what is not in it opens to no key."""

import re
from functools import cache

from shared.domain.api_keys import Scope
from shared.errors import Forbidden, NotFound

R, W = Scope.READ, Scope.WRITE

#: Methods (`*`: any), address, scope. `{}` stands for one part of the address; `/…` at its end
#: takes in all that lies below. The first line that fits decides, so what is particular comes
#: first. A new route is a new line here; without one, tests/gateway/test_rights.py fails and
#: keys are told there is nothing at the address.
TABLE: tuple[tuple[str, str, Scope | None], ...] = (
    # Nobody needs a key for these: whether we live, and what the API is.
    ("GET HEAD", "/healthz", None),
    ("GET HEAD", "/openapi.json", None),
    ("GET", "/metrics", None),
    # Signed by us, and sent by whoever was given the address.
    ("PUT POST", "/v1/uploads/{}/{}", None),
    # What keeps and what ends: each is a right of its own.
    ("*", "/v1/recordings/{}/hold", Scope.HOLD),
    ("DELETE", "/v1/recordings/{}", Scope.ERASE),
    ("*", "/v1/erasures/…", Scope.ERASE),
    ("*", "/v1/exports/…", Scope.EXPORT),
    ("GET", "/v1/audit/…", Scope.AUDIT),
    ("*", "/v1/webhooks/…", Scope.WEBHOOKS),
    ("*", "/v1/keys/…", Scope.KEYS),
    # Everybody's.
    ("GET", "/v1/dead-letters/causes", Scope.EVERYBODY),
    ("POST", "/v1/models/{}/load", Scope.MODELS),
    ("POST", "/v1/models/{}/unload", Scope.MODELS),
    # To look.
    ("GET", "/v1/recordings", R),
    ("GET", "/v1/recordings/{}", R),
    ("GET", "/v1/recordings/{}/history", R),
    ("GET", "/v1/recordings/{}/transcript.{}", R),
    ("GET", "/v1/recordings/{}/decisions.json", R),
    ("GET", "/v1/recordings/{}/corrections", R),
    ("GET", "/v1/recordings/{}/audio", R),
    ("GET", "/v1/recordings/{}/extension", R),
    ("GET", "/v1/search", R),
    ("GET", "/v1/dead-letters", R),
    ("GET", "/v1/dead-letters/{}", R),
    ("GET", "/v1/uploads/{}/{}", R),
    ("GET", "/v1/usage", R),
    ("GET", "/v1/events", R),
    ("GET", "/v1/models", R),
    ("GET", "/v1/models/{}", R),
    # To send, hear and change.
    ("POST", "/v1/recordings/{}/extension", W),
    ("POST", "/v1/recordings/{}/corrections", W),
    ("POST", "/v1/uploads", W),
    ("POST", "/v1/dead-letters/{}/replay", W),
    ("POST", "/v1/dead-letters/{}/discard", W),
    ("POST", "/v1/audio/transcriptions", W),
    ("POST", "/v1/audio/translations", W),
    ("WEBSOCKET", "/v1/audio/stream", W),
    ("POST", "/v1/analyses", W),
)


def needed(method: str, path: str) -> Scope | None:
    """The scope a key needs there; None: nobody needs a key. `path` is decoded, as routes see it.

    Raises:
        NotFound: no line fits; for whoever holds a key there is nothing.
    """
    for methods, address, scope in TABLE:
        fits = methods == "*" or method in methods.split()
        if fits and _pattern(address).fullmatch(path):
            return scope
    raise NotFound("There is nothing at this address.")


def lacking(scope: Scope) -> Forbidden:
    """What somebody is told whose key may not."""
    return Forbidden(
        f"This key may not do that: it takes the scope `{scope}`. Its owner makes one with"
        f" `earwitness keys new --scope {scope}`."
    )


@cache
def _pattern(address: str) -> re.Pattern[str]:
    body, below = address.removesuffix("/…"), "(/.*)?" if address.endswith("/…") else ""
    return re.compile("[^/]+".join(map(re.escape, body.split("{}"))) + below, re.DOTALL)
