"""Implements `Uploads` and `Inlet` on the uploads bucket and the archive.

IAM on the bucket of uploads: `on_audio_uploaded`, `reconcile` and GPU service
roles/storage.objectViewer, the gateway, which also writes and holds, and `retire`, which erases,
roles/storage.objectUser. On the archive: GPU service, which compresses, gateway and `retire`
roles/storage.objectUser; terraform/stack/storage.tf. Emulator: fake-gcs-server, found by
STORAGE_EMULATOR_HOST.

A generation never changes, so naming it is the precondition: what has been replaced or
erased is 404, never another sound. Bytes are read as they are stored (raw): the server would
otherwise unpack an object whose metadata says gzip, and its size would mean nothing.
"""

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from google.api_core.exceptions import (
    BadRequest,
    Forbidden,
    PreconditionFailed,
    RequestRangeNotSatisfiable,
)
from google.api_core.exceptions import NotFound as Missing
from google.cloud.storage import Blob, Bucket, Client

from shared.adapters.embedded.disk import full_disk_said
from shared.adapters.gcp.storage_answers import PATIENCE_S, answered, of_blob, patience
from shared.domain.names import ARCHIVED
from shared.domain.permits import sent
from shared.domain.recording import UploadedObject
from shared.errors import AudioTooLarge, InvalidRequest, NotFound, StoreUnavailable, UnderHold
from shared.ports import Fetched

#: Bytes sent at a time; a multiple of 256 KiB, as resumable uploads want it.
CHUNK = 8 << 20
#: Bytes of UTF-8. Source: Cloud Storage, "Object naming requirements".
MOST_NAME_BYTES = 1024
_GONE = "The upload is gone."


class StorageUploads:
    """One client for all threads; made once at start."""

    def __init__(
        self,
        client: Client,
        bucket: str,
        archive: str,
        spool: Path | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """Buckets of uploads and of what is kept long.

        `spool`: the folder of temporary files; the system's if None.
        """
        self._client = client
        self._bucket, self._archive = client.bucket(bucket), client.bucket(archive)
        self._spool = spool
        self._patience = patience(patience_s)

    def stat(self, name: str, generation: int) -> UploadedObject | None:
        with answered(_GONE):
            found = self._of(name).get_blob(name, generation=generation, **self._patience)
        return found and of_blob(found)

    def read(self, name: str, generation: int, start: int, length: int) -> bytes:
        if length <= 0:
            return b""
        blob = self._of(name).blob(name, generation=generation)
        with answered(_GONE):
            try:
                content: bytes = blob.download_as_bytes(
                    start=start, end=start + length - 1, raw_download=True, **self._patience
                )
            except RequestRangeNotSatisfiable:
                return b""  # starts behind the end
        return content

    @contextmanager
    def fetch(self, name: str, generation: int) -> Iterator[Fetched]:
        blob = self._of(name).blob(name, generation=generation)
        with tempfile.TemporaryFile(dir=self._spool) as file:
            digest = self._download(blob, file)
            file.seek(0)
            yield Fetched(file, digest)

    def _download(self, blob: Blob, file: BinaryIO) -> str:
        with answered(_GONE), full_disk_said():
            blob.reload(**self._patience)
            spool = _Spool(file, int(blob.size))
            blob.download_to_file(spool, raw_download=True, **self._patience)
        return spool.sha256()

    def page(self, after: tuple[str, int] | None = None, limit: int = 500) -> list[UploadedObject]:
        with answered():
            found = self._client.list_blobs(
                self._bucket,
                start_offset=after and after[0],  # this name and all behind it
                max_results=limit + 1,
                **self._patience,
            )
            known = (of_blob(blob) for blob in found)
            unseen = (one for one in known if after is None or _place(one) > _key(*after))
            return list(islice(unseen, limit))

    def shelve(
        self,
        name: str,
        content: BinaryIO,
        content_type: str,
        at: datetime,  # the bucket has its own clock
    ) -> UploadedObject:
        blob = self._archive.blob(name, chunk_size=CHUNK)
        content.seek(0)
        with answered():
            try:
                blob.upload_from_file(
                    content,
                    content_type=content_type,
                    if_generation_match=0,
                    checksum="crc32c",
                    **self._patience,
                )
            except PreconditionFailed:
                blob.reload(**self._patience)
        return of_blob(blob)

    def intact(self, name: str, generation: int) -> bool:
        """Cloud Storage compared it with its checksum when it came, and looks after that itself:
        a generation never changes. Source: "Data validation and change detection"."""
        return self.stat(name, generation) is not None

    def shelved(self, folder: str, after: str = "", limit: int = 500) -> list[UploadedObject]:
        with answered():
            found = self._client.list_blobs(
                self._archive,
                prefix=folder,
                start_offset=after or None,  # this name and all behind it
                max_results=limit + 1,
                **self._patience,
            )
            known = (of_blob(blob) for blob in found)
            return list(islice((one for one in known if one.name > after), limit))

    def _of(self, name: str) -> Bucket:
        """Where an object of that name lies. No tenant can upload one that is called as those of
        the archive are."""
        return self._archive if ARCHIVED.fullmatch(name) else self._bucket

    def hold(self, name: str, generation: int) -> None:
        """Cloud Storage's temporary hold: who has every right cannot delete or replace it then.

        Source: Cloud Storage, "Object holds". fake-gcs-server keeps none.
        """
        self._set_hold(name, generation, held=True)

    def unhold(self, name: str, generation: int) -> None:
        with suppress(NotFound):
            self._set_hold(name, generation, held=False)

    def _set_hold(self, name: str, generation: int, *, held: bool) -> None:
        blob = self._of(name).blob(name, generation=generation)
        blob.temporary_hold = held
        with answered(_GONE):
            blob.patch(**self._patience)

    def generations(self, name: str) -> list[UploadedObject]:
        with answered():
            found = self._client.list_blobs(
                self._of(name), prefix=name, versions=True, **self._patience
            )
            its = [of_blob(blob) for blob in found if blob.name == name]
        return sorted(its, key=lambda one: one.generation)

    def delete(self, name: str, generation: int) -> None:
        """Naming the generation is the condition: a newer one under the name is not touched.

        Raises:
            UnderHold: as the port says.
        """
        blob = self._of(name).blob(name, generation=generation)
        with answered():
            try:
                blob.delete(**self._patience)
            except Missing:
                return
            except Forbidden as error:
                if self._on_hold(name, generation):
                    raise UnderHold from error
                raise

    def _on_hold(self, name: str, generation: int) -> bool:
        found = self._of(name).get_blob(name, generation=generation, **self._patience)
        return bool(found and (found.temporary_hold or found.event_based_hold))

    def put(
        self,
        name: str,
        content: BinaryIO,
        *,
        content_type: str,
        metadata: Mapping[str, str],
        at: datetime,  # the bucket has its own clock
        max_bytes: int | None = None,
    ) -> UploadedObject:
        """As the port says, in one resumable upload; the bucket announces the object itself.

        Raises:
            InvalidRequest: no object can have this name. AudioTooLarge: as the port says.
        """
        _check(name)
        blob = self._bucket.blob(name, chunk_size=CHUNK)
        blob.metadata = sent(metadata)
        with answered():
            try:
                blob.upload_from_file(
                    _Counted(content, max_bytes), content_type=content_type, **self._patience
                )
            except BadRequest as error:
                raise InvalidRequest("The bucket does not take this upload.") from error
        return of_blob(blob)


def _key(name: str, generation: int) -> tuple[bytes, int]:
    """The bucket lists by the bytes of a name."""
    return name.encode(), generation


def _place(upload: UploadedObject) -> tuple[bytes, int]:
    return _key(upload.name, upload.generation)


def _check(name: str) -> None:
    """Said here: the emulator takes what the bucket refuses."""
    try:
        fits = 0 < len(name.encode()) <= MOST_NAME_BYTES
    except UnicodeEncodeError:
        fits = False
    if not fits or "\r" in name or "\n" in name:
        raise InvalidRequest(
            f"An upload's name has at most {MOST_NAME_BYTES} bytes of UTF-8 and no line break."
        )


class _Spool:
    """A file being written, its digest, and no byte more than promised."""

    def __init__(self, file: BinaryIO, size_bytes: int) -> None:
        self._file, self._room = file, size_bytes
        self._digest = hashlib.sha256()

    def write(self, block: bytes) -> int:
        self._room -= len(block)
        if self._room < 0:
            raise StoreUnavailable(detail="more bytes than the object has")
        self._digest.update(block)
        return self._file.write(block)

    def sha256(self) -> str:
        if self._room:
            raise StoreUnavailable(detail="fewer bytes than the object has")
        return self._digest.hexdigest()


class _Counted:
    """A stream from its beginning, which may be no pipe's end and no longer than allowed."""

    def __init__(self, content: BinaryIO, max_bytes: int | None) -> None:
        self._content, self._max_bytes = content, max_bytes
        self._at = 0

    def read(self, size: int = -1) -> bytes:
        block = self._content.read(size)
        self._at += len(block)
        if self._max_bytes is not None and self._at > self._max_bytes:
            # The session is left behind; the bucket forgets it and keeps no object of it.
            raise AudioTooLarge(f"The upload is larger than the {self._max_bytes:,} bytes allowed.")
        return block

    def tell(self) -> int:
        return self._at
