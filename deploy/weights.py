"""Whisper's pinned weights, put where the GPU service reads them: `python -m deploy.weights`.

The images carry none (terraform/stack/weights.tf). The bytes come from the pinned packages of
requirements/run.txt and are verified by `gpu_service.weights.pinned` before anything is sent.
Create-only: what is there is compared, never replaced.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from google.api_core.exceptions import PreconditionFailed
from google.cloud.storage import Blob, Bucket, Client

from gpu_service.weights import pinned
from gpu_service.weights.pinned import Pinned

#: What is written beside each object, and compared: its sha256, as pinned.
DIGEST = "sha256"
#: Generation 0 = there must be none yet. Source: Cloud Storage, "Request preconditions".
CREATE_ONLY = 0


class ForeignWeights(Exception):
    """The bucket holds something else under the name of a pinned file."""


def send(wanted: Pinned, bucket: Bucket, cache: Path) -> list[str]:
    """The names of the files that were missing and are there now. Safe to repeat, and at once.

    Raises:
        ForeignWeights: nothing was overwritten; somebody must look and delete it.
        WeightsRefused: the pinned packages are not installed, or damaged.
    """
    folder = wanted.folder(Path()).name
    blobs = {name: bucket.blob(f"{folder}/{name}") for name in sorted(wanted.digests)}
    missing = [name for name, blob in blobs.items() if not _there(blob, wanted.digests[name])]
    if missing:
        local = pinned.whisper(wanted, cache)
        for name in missing:
            _create(blobs[name], local / name, wanted.digests[name])
    return [str(blobs[name].name) for name in missing]


def _there(blob: Blob, digest: str) -> bool:
    if not blob.exists():
        return False
    blob.reload()
    if (blob.metadata or {}).get(DIGEST) != digest:
        raise ForeignWeights(
            f"gs://{blob.bucket.name}/{blob.name} is not the pinned file. Look who put it there,"
            " delete it, and build again."
        )
    return True


def _create(blob: Blob, file: Path, digest: str) -> None:
    blob.metadata = {DIGEST: digest}
    try:
        blob.upload_from_filename(str(file), if_generation_match=CREATE_ONLY, checksum="crc32c")
    except PreconditionFailed:
        # Another build was faster; it sent the same, or it is a stranger's.
        _there(blob, digest)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="deploy.weights", description="Puts Whisper's weights into buckets that lack them."
    )
    parser.add_argument("bucket", nargs="+", help="its name, without gs://")
    client = Client()
    with TemporaryDirectory() as cache:
        for name in parser.parse_args(arguments).bucket:
            try:
                sent = send(pinned.BASE, client.bucket(name), Path(cache))
            except ForeignWeights as error:
                print(error, file=sys.stderr)
                return 1
            print(f"gs://{name}: {', '.join(sent) or 'nothing was missing'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
