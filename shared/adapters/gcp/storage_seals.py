"""Implements `Seals` on the audit bucket: audit/{tenant}/{number}.json, create-only.

The bucket keeps each for its retention period, whoever asks otherwise (terraform/stack/audit.tf).
IAM on the bucket: `seal` roles/storage.objectCreator and roles/storage.objectViewer, which can
neither replace nor delete; the gateway roles/storage.objectViewer. Emulator: fake-gcs-server,
found by STORAGE_EMULATOR_HOST; it knows no retention.
"""

from google.api_core.exceptions import PreconditionFailed
from google.cloud.storage import Client

from shared.adapters.gcp.storage_answers import PATIENCE_S, answered, patience
from shared.errors import NotFound

_ROOT = "audit/"
#: Digits of a number in an object's name, so that names sort as numbers do.
DIGITS = 10


class StorageSeals:
    """One client for all threads; made once at start."""

    def __init__(self, client: Client, bucket: str, patience_s: float = PATIENCE_S) -> None:
        self._client = client
        self._patience = patience(patience_s)
        self._bucket = client.bucket(bucket)

    def put(self, tenant: str, number: int, content: bytes) -> bool:
        blob = self._bucket.blob(_name(tenant, number))
        with answered():
            try:
                blob.upload_from_string(
                    content,
                    content_type="application/json",
                    if_generation_match=0,
                    **self._patience,
                )
            except PreconditionFailed:
                # Somebody else's; or ours was taken and its answer lost.
                return self.get(tenant, number) == content
        return True

    def get(self, tenant: str, number: int) -> bytes | None:
        try:
            with answered("no such seal"):
                blob = self._bucket.blob(_name(tenant, number))
                content: bytes = blob.download_as_bytes(**self._patience)
        except NotFound:
            return None
        return content

    def numbers(self, tenant: str, after: int = 0, limit: int | None = None) -> list[int]:
        with answered():
            found = self._client.list_blobs(
                self._bucket,
                prefix=f"{_ROOT}{tenant}/",
                start_offset=_name(tenant, after + 1),
                max_results=limit,
                **self._patience,
            )
            return [int(one.name.rpartition("/")[2].removesuffix(".json")) for one in found]

    def tenants(self) -> list[str]:
        with answered():
            listing = self._client.list_blobs(
                self._bucket, prefix=_ROOT, delimiter="/", **self._patience
            )
            for _ in listing:  # folders are told page by page
                pass
            return sorted(one.removeprefix(_ROOT).rstrip("/") for one in listing.prefixes)


def _name(tenant: str, number: int) -> str:
    return f"{_ROOT}{tenant}/{number:0{DIGITS}}.json"
