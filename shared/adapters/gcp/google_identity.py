"""Implements `Identity` on Google Cloud: the metadata server vouches for who we are."""

import threading
import time
from collections.abc import Callable

import jwt
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import Request
from google.oauth2.id_token import fetch_id_token

from shared.errors import IdentityUnavailable

#: Seconds before its end at which a token is replaced, so that none expires on its way.
MARGIN_S = 300.0


class GoogleIdentity:
    """ID tokens for one audience, each kept until shortly before it expires.

    IAM: the calling service account has roles/run.invoker on the service it calls. There is
    no emulator; GOOGLE_APPLICATION_CREDENTIALS may name a service account's key file.
    """

    def __init__(self, audience: str, now: Callable[[], float] = time.time) -> None:
        """`now` is in seconds since the epoch."""
        self._audience, self._now = audience, now
        self._lock = threading.Lock()
        self._token, self._until_s = "", 0.0

    def authorization(self) -> str:
        """The value of an Authorization header; may wait for the metadata server.

        Raises:
            IdentityUnavailable: it did not answer; asking again may help.
        """
        with self._lock:
            if self._now() >= self._until_s - MARGIN_S:
                self._token = self._fetched()
                self._until_s = _expiry_s(self._token)
            return f"Bearer {self._token}"

    def _fetched(self) -> str:
        try:
            # google-auth publishes no types for it.
            return str(fetch_id_token(Request(), self._audience))  # type: ignore[no-untyped-call]
        except GoogleAuthError as error:
            raise IdentityUnavailable from error


def _expiry_s(token: str) -> float:
    """When it expires, in seconds since the epoch; its signature is for whom it is shown to."""
    return float(jwt.decode(token, options={"verify_signature": False})["exp"])
