"""Keys that sign tokens, as their owner publishes them: an https address or a file.

Source: RFC 7517, "JSON Web Key (JWK)", section 5; Google publishes its own at
https://www.googleapis.com/oauth2/v3/certs and changes them every few days.
"""

import http.client
import json
import logging
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.error import URLError

import jwt

from shared.errors import InvalidSettings, KeysUnavailable

log = logging.getLogger("earwitness.keys")

#: Seconds a key set counts. A key that was withdrawn is refused after this at the latest.
FRESH_S = 3600.0
#: Seconds between two looks at the same set: whoever sends unknown key ids does not make us
#: ask Google for each, and a server that is down is left alone for so long.
PAUSE_S = 30.0
#: Seconds the owner has to answer; a push waits for it.
PATIENCE_S = 5.0
#: Bytes. Google's set is some 2,000.
MAX_BYTES = 1 << 20
#: What a key of an algorithm calls itself. Source: RFC 7518, section 6.1.
KEY_TYPES = {"RS256": "RSA", "ES256": "EC"}

Read = Callable[[], bytes]


class KeySet:
    """Keys of one algorithm by id, read again when they are old or when an unknown id shows up."""

    def __init__(
        self,
        read: Read,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        algorithm: str = "RS256",
    ) -> None:
        self._read, self._monotonic = read, monotonic
        self.algorithm = algorithm
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._good_until = self._quiet_until = float("-inf")
        self._failed = False
        self._lock = threading.Lock()

    def find(self, kid: str) -> jwt.PyJWK | None:
        """The key of this id, or None if the owner publishes none.

        Raises:
            KeysUnavailable: nobody can tell now, neither yes nor no; repeating will help.
        """
        with self._lock:
            if kid not in self._keys or self._monotonic() >= self._good_until:
                self._look()
            if self._monotonic() >= self._good_until or (self._failed and kid not in self._keys):
                raise KeysUnavailable
            return self._keys.get(kid)

    def _look(self) -> None:
        """Read the set, unless that was done just now."""
        now = self._monotonic()
        if now < self._quiet_until:
            return
        self._quiet_until = now + PAUSE_S
        try:
            self._keys, self._failed = parse(self._read(), self.algorithm), False
            self._good_until = now + FRESH_S
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._failed = True
            log.warning("the keys of tokens cannot be read: %s", type(error).__name__)


def parse(document: bytes, algorithm: str = "RS256") -> dict[str, jwt.PyJWK]:
    """The signing keys of a key set for this algorithm, by id; others in it are not for us.

    Raises:
        ValueError: it is no key set, or one without such a key.
    """
    try:
        listed = json.loads(document)["keys"]
        kind = KEY_TYPES[algorithm]
        fit = [k for k in listed if k.get("kty") == kind and k.get("use", "sig") == "sig"]
        found = {str(k["kid"]): jwt.PyJWK(k, algorithm=algorithm) for k in fit if k.get("kid")}
    except (KeyError, TypeError, AttributeError, jwt.PyJWTError) as error:
        raise ValueError("no key set") from error
    if not found:
        raise ValueError(f"no key for {algorithm} in the set")
    return found


def key_set(where: str, algorithm: str = "RS256", *, setting: str = "push_keys") -> KeySet:
    """The key set at an https address, or in a file, which is read at once.

    A server that does not answer keeps nobody from starting: the first token asks again.

    Raises:
        InvalidSettings: it is neither, or the file holds no key set.
    """
    if where.startswith("https://"):
        return KeySet(lambda: _fetched(where), algorithm=algorithm)
    path = Path(where)
    try:
        parse(path.read_bytes(), algorithm)
    except (OSError, ValueError) as error:
        raise InvalidSettings(f"EARWITNESS_{setting.upper()} names no readable key set.") from error
    return KeySet(path.read_bytes, algorithm=algorithm)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A key set is where it was set to be; a redirect could lead off https."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _fetched(url: str) -> bytes:
    """The document at the address; the server's certificate is verified (SSL_CERT_FILE counts).

    Raises:
        OSError, http.client.HTTPException: there was no good answer.
    """
    opener = urllib.request.build_opener(_NoRedirects)
    with opener.open(url, timeout=PATIENCE_S) as answer:
        body: bytes = answer.read(MAX_BYTES + 1)
    if len(body) > MAX_BYTES:
        raise URLError("the key set is too large")
    return body
