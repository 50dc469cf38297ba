"""Implements `Signer` with Cloud KMS: the key (EC_SIGN_ED25519) never leaves it.

IAM on the key: `retire` and `seal` roles/cloudkms.signer and roles/cloudkms.publicKeyViewer, the
gateway the latter; terraform/stack/testimony.tf. There is no emulator.

The client is made, and its library imported, at the first need: it weighs a tenth of a second,
and most processes that could sign never do.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from google.api_core.exceptions import GoogleAPIError
from google.auth.exceptions import GoogleAuthError

from shared.errors import InvalidSettings, SignerUnavailable

if TYPE_CHECKING:
    from google.cloud.kms_v1 import KeyManagementServiceClient

#: Seconds a call may take, its repetitions counted in.
PATIENCE_S = 20.0


def _client() -> "KeyManagementServiceClient":
    from google.cloud.kms_v1 import KeyManagementServiceClient

    return KeyManagementServiceClient()


class KmsSigner:
    """One version of one key; any thread may sign."""

    def __init__(
        self, key: str, client: Callable[[], "KeyManagementServiceClient"] = _client
    ) -> None:
        """`key`: projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/V."""
        self._key, self._make = key, client
        self._lock = threading.Lock()
        self._made: KeyManagementServiceClient | None = None
        self._pem: bytes | None = None

    @property
    def key_id(self) -> str:
        from shared.adapters.signatures import id_of, read_pem

        key = read_pem(self.public_key())
        if key is None:
            raise InvalidSettings("EARWITNESS_SIGNING_KMS_KEY names no key of EC_SIGN_ED25519.")
        return id_of(key)

    def public_key(self) -> bytes:
        with self._lock:
            if self._pem is None:
                with _answered():
                    found = self._client().get_public_key(name=self._key, timeout=PATIENCE_S)
                self._pem = str(found.pem).encode()
            return self._pem

    def sign(self, message: bytes) -> bytes:
        """Checksums go both ways: a bit lost on the line is no signature.

        Source: Cloud KMS, "Verifying end-to-end data integrity".
        """
        import google_crc32c

        request = {
            "name": self._key,
            "data": message,
            "data_crc32c": google_crc32c.value(message),
        }
        with self._lock, _answered():
            answer = self._client().asymmetric_sign(request=request, timeout=PATIENCE_S)
        signature = bytes(answer.signature)
        whole = google_crc32c.value(signature) == int(answer.signature_crc32c)
        if not (answer.verified_data_crc32c and whole and answer.name == self._key):
            raise SignerUnavailable(detail="damaged on the line")
        return signature

    def _client(self) -> "KeyManagementServiceClient":
        """Called under the lock."""
        if self._made is None:
            self._made = self._make()
        return self._made


@contextmanager
def _answered() -> Iterator[None]:
    try:
        yield
    except (GoogleAPIError, GoogleAuthError) as error:
        raise SignerUnavailable(detail=type(error).__name__) from error
