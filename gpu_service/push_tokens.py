"""Is this push ours? Every ticket carries an OIDC token, and it is verified in full.

Source: Google Cloud, "Authentication for push subscriptions" (RS256, `iss` is always
`https://accounts.google.com`, a token is up to an hour old). There is no off switch: one machine
signs with a key of its own.
"""

import hashlib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from shared.errors import ForgedTicket, InvalidSettings
from shared.key_sets import KeySet, key_set
from shared.settings import Settings
from shared.signed_tokens import SignedTokens

#: Characters. Google's tokens have some 800.
MAX_TOKEN = 4096
#: Tokens known at a time: one of each subscription, the one before it, and room.
MOST_KNOWN = 8
#: RFC 7235: the scheme in any case, one space, and three parts of base64url (RFC 7515).
_BEARER = re.compile(r"bearer ([\w-]+\.[\w-]+\.[\w-]+)", re.IGNORECASE | re.ASCII)


class PushTokens:
    """Verifies signature, issuer, audience, times, e-mail, its being verified, and subject."""

    def __init__(
        self,
        settings: Settings,
        keys: KeySet | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`now` is in seconds since the epoch.

        Raises:
            InvalidSettings: no identity is set: then nobody could be told apart; or no keys.
        """
        if not settings.push_email or not settings.push_subject:
            raise InvalidSettings(
                "Set EARWITNESS_PUSH_EMAIL and EARWITNESS_PUSH_SUBJECT to the identity that"
                " pushes tickets; without them no ticket can be told from a forged one."
            )
        self._settings, self._now = settings, now
        self._tokens = SignedTokens(
            keys or key_set(settings.push_keys),
            issuer=settings.push_issuer,
            audience=settings.push_audience,
            now=now,
        )
        #: Digests of tokens found to be ours, and until when. The platform sends the same one
        #: for an hour; looking at its signature again costs more than the rest of a ticket.
        self._known: dict[bytes, float] = {}

    def knows(self, authorization: Sequence[str]) -> bool:
        """Whether this very header was verified before and has not expired since; no waiting."""
        until = self._known.get(_digest(authorization[0])) if len(authorization) == 1 else None
        return until is not None and self._now() < until

    def verify(self, authorization: Sequence[str]) -> None:
        """Return if the request's one Authorization header carries a token of ours.

        May wait for the keys' owner, at most `key_sets.PATIENCE_S`.

        Raises:
            ForgedTicket: anything else; nothing is said of what was wrong.
            KeysUnavailable: nobody can tell now; the push is to come again.
        """
        if self.knows(authorization):
            return
        claims = self._tokens.claims(_token(authorization))
        if claims is None or not self._ours(claims):
            raise ForgedTicket
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known[_digest(authorization[0])] = float(claims["exp"])

    def _ours(self, claims: Mapping[str, Any]) -> bool:
        s = self._settings
        same = claims["email"] == s.push_email and claims["sub"] == s.push_subject
        return same and claims.get("email_verified") is True


def _token(authorization: Sequence[str]) -> str:
    """Raises ForgedTicket: there is not exactly one header with exactly one token."""
    if len(authorization) != 1 or len(authorization[0]) > MAX_TOKEN:
        raise ForgedTicket
    bearer = _BEARER.fullmatch(authorization[0])
    if bearer is None:
        raise ForgedTicket
    return bearer[1]


def _digest(header: str) -> bytes:
    return hashlib.sha256(header.encode("utf-8", "surrogatepass")).digest()
