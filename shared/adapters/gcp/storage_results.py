"""Implements `Results` on the results bucket.

IAM on the bucket: GPU service and `reconcile` roles/storage.objectUser, the gateway
roles/storage.objectViewer; on the bucket for a day, where plans of exports lie, gateway and
`retire` roles/storage.objectUser; terraform/stack/storage.tf. Emulator: fake-gcs-server, found by
STORAGE_EMULATOR_HOST.

The files of a folder do not appear together as they do on a disk. Nobody looks at them
before `complete` points to the folder, and that comes after `save` has returned.
"""

from itertools import groupby, islice

from google.api_core.exceptions import NotFound as Missing
from google.api_core.exceptions import PreconditionFailed
from google.cloud.storage import Blob, Client

from shared.adapters.gcp.storage_answers import PATIENCE_S, answered, patience
from shared.domain.recording import Kept

CONTENT_TYPES = {
    "json": "application/json",
    "srt": "application/x-subrip; charset=utf-8",
    "vtt": "text/vtt; charset=utf-8",
    "txt": "text/plain; charset=utf-8",
}
_ROOT = "results/"


class StorageResults:
    """One client for all threads; made once at start."""

    def __init__(self, client: Client, bucket: str, patience_s: float = PATIENCE_S) -> None:
        self._client = client
        self._patience = patience(patience_s)
        self._bucket = client.bucket(bucket)

    def save(self, folder: str, files: dict[str, bytes]) -> None:
        for name, content in files.items():
            self._create(f"{folder}/{name}", content)

    def _create(self, name: str, content: bytes) -> None:
        kind = CONTENT_TYPES.get(name.rpartition(".")[2], "application/octet-stream")
        with answered():
            try:
                self._bucket.blob(name).upload_from_string(
                    content, content_type=kind, if_generation_match=0, **self._patience
                )
            except PreconditionFailed:
                return  # there already, or ours was taken and its answer lost

    def load(self, folder: str, name: str) -> bytes:
        with answered("This recording has no such result."):
            content: bytes = self._bucket.blob(f"{folder}/{name}").download_as_bytes(
                **self._patience
            )
        return content

    def names(self, folder: str) -> list[str]:
        with answered():
            found = self._client.list_blobs(self._bucket, prefix=f"{folder}/", **self._patience)
            return sorted(str(blob.name).removeprefix(f"{folder}/") for blob in found)

    def folders(self, after: str | None = None, limit: int = 500) -> list[Kept]:
        with answered():
            found = self._client.list_blobs(
                self._bucket,
                prefix=_ROOT,
                start_offset=after and f"{after}0",  # "0" is the character behind the slash
                **self._patience,
            )
            return [
                Kept(folder, max(blob.time_created for blob in blobs))
                for folder, blobs in islice(groupby(found, _folder), limit)
            ]

    def all_of(self, tenant: str, recording_id: str) -> list[str]:
        with answered():
            found = self._client.list_blobs(
                self._bucket,
                prefix=f"{_ROOT}{tenant}/{recording_id}/",
                versions=True,
                **self._patience,
            )
            return sorted({_folder(blob) for blob in found})

    def remove(self, folder: str) -> None:
        """Of every generation, should the bucket keep them."""
        with answered():
            for blob in self._client.list_blobs(
                self._bucket, prefix=f"{folder}/", versions=True, **self._patience
            ):
                try:
                    blob.delete(**self._patience)
                except Missing:
                    continue


def _folder(blob: Blob) -> str:
    return str(blob.name).rpartition("/")[0]
