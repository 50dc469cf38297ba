"""Implements `Permits` on Cloud Storage: V4 signed URLs of the uploads bucket.

IAM: whoever uploads acts as the gateway's identity, which may create objects in the bucket
(roles/storage.objectUser; terraform/stack/storage.tf) and has itself signed for by IAM's signBlob
(roles/iam.serviceAccountTokenCreator on itself; terraform/stack/gateway.tf): no key exists that
could be lost. Emulator: fake-gcs-server takes signed requests and believes each
(tests/cloud/test_known_faults.py).

Source: Cloud Storage, "Signed URLs", "Resumable uploads" (x-goog-resumable: start); IAM Service
Account Credentials API, projects.serviceAccounts.signBlob.
"""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import google.auth
from google.auth.transport.requests import Request
from google.cloud.storage import Client
from google.oauth2 import service_account

from shared.adapters.gcp.storage_answers import answered
from shared.domain.permits import Brought, Permit, Signed
from shared.errors import InvalidSettings, NotFound

#: Who signs, as `Blob.generate_signed_url` takes it.
Signing = Callable[[], dict[str, Any]]
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_DATE = "%Y%m%dT%H%M%SZ"


class StoragePermits:
    """One client for all threads; made once at start."""

    def __init__(
        self, client: Client, bucket: str, signer: Signing, *, sessions: bool = True
    ) -> None:
        """`sessions` False on the emulator: it begins one for an object without a name."""
        self._bucket, self._signer = client.bucket(bucket), signer
        self.bucket_url: str | None = f"{client.api_endpoint}/{bucket}/"
        self.sessions = sessions

    def sign(
        self, permit: Permit, door: str, valid: timedelta, *, resumable: bool = False
    ) -> Signed:
        """As the port says; the bucket has a door of its own, wherever the asker found us."""
        headers = permit.headers(resumable=resumable)
        method = "POST" if resumable else "PUT"
        with answered():
            url = self._bucket.blob(permit.name).generate_signed_url(
                version="v4",
                expiration=valid,
                method=method,
                headers=dict(headers),  # the client adds its own
                **self._signer(),
            )
        return Signed(method, url, headers, _expiry(url))

    def opened(self, request: Brought) -> Permit:
        """Raises NotFound, always: the bucket lets in, and nobody comes by here."""
        raise NotFound("Uploads go to the bucket. Ask POST /v1/uploads for an address.")


def _expiry(url: str) -> datetime:
    """Until when, as the address itself says: its clock is the one that counts."""
    said = parse_qs(urlsplit(url).query)
    at = datetime.strptime(said["X-Goog-Date"][0], _DATE).replace(tzinfo=UTC)
    return at + timedelta(seconds=int(said["X-Goog-Expires"][0]))


class IamSigner:
    """The identity this process runs as; IAM signs in its name."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._credentials: Any = None

    def __call__(self) -> dict[str, Any]:
        """Raises InvalidSettings: whoever runs this is no service account."""
        with self._lock, answered():
            if self._credentials is None:
                self._credentials, _ = google.auth.default(scopes=[_SCOPE])
            # The metadata server tells the address with the first token.
            if not self._credentials.valid:
                self._credentials.refresh(Request())
            email = getattr(self._credentials, "service_account_email", None)
            if not email:
                raise InvalidSettings("Only a service account can sign upload addresses.")
            return {"service_account_email": email, "access_token": self._credentials.token}


class KeySigner:
    """A private key in a PEM file: for emulators, which look at no signature."""

    def __init__(self, path: Path, email: str) -> None:
        """Raises InvalidSettings: there is no such key."""
        try:
            info = {
                "private_key": path.read_text(encoding="ascii"),
                "client_email": email,
                "token_uri": "https://oauth2.googleapis.com/token",
            }
            # google-auth publishes no types for it.
            made = service_account.Credentials.from_service_account_info(info)  # type: ignore[no-untyped-call]
            self._credentials = made
        except (OSError, ValueError) as error:
            raise InvalidSettings("EARWITNESS_SIGNING_KEY names no key in a PEM file.") from error

    def __call__(self) -> dict[str, Any]:
        return {"credentials": self._credentials}
