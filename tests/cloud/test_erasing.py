"""E1 on Google's emulators: no document, no object and no name of one has a canary afterwards."""

import io
import json
from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import pytest
from google.cloud import firestore, storage

from local import receipts
from local.emulated.emulators import PROJECT
from shared import wiring
from shared.domain.erasures import Step
from shared.domain.tenants import Tier
from tests.builders import NOW
from tests.emulators import reached
from tests.flows.erasing import CANARIES, WHO, filled, forms

LATER = NOW + timedelta(days=1)
#: What only one machine keeps, or only for as long as a job is worked on.
NOT_HERE = {"checkpoint", "paid"}


def documents(client) -> Iterator[str]:
    """Every document of every collection, from the root down, as text."""

    def below(collections):
        for collection in collections:
            for reference in collection.list_documents():
                yield f"{reference.path} {reference.get().to_dict()}"
                yield from below(reference.collections())

    yield from below(client.collections())


def objects(client) -> Iterator[bytes]:
    """Every object of every bucket: name, what is said of it, and its bytes."""
    for bucket in client.list_buckets(prefix=client.project):
        for blob in client.list_blobs(bucket, versions=True):
            said = f"{blob.name} {blob.content_type} {blob.metadata}".encode()
            yield said + blob.download_as_bytes(raw_download=True)


def found(project) -> set[str]:
    with_firestore = firestore.Client(project=project)
    lying = [*objects(storage.Client(project)), *(d.encode() for d in documents(with_firestore))]
    wanted = [(where, form) for where, word in CANARIES.items() for form in forms(word)]
    return {where for where, form in wanted if any(form in one for one in lying)}


@pytest.fixture
def parts(cloud):
    cloud.parts.tenants.ensure(WHO, Tier.FREE, NOW)
    return cloud.parts


def test_no_canary_is_found_after(parts):
    project = parts.settings.project
    id = filled(parts)
    assert found(project) >= set(CANARIES) - NOT_HERE

    erase = wiring.erase(parts)
    done = erase.run(erase.ask(id, "cli", LATER), LATER)

    assert done.step is Step.DONE
    assert found(project) == set()
    pems = {parts.signer.key_id: parts.signer.public_key()}
    assert receipts.verdict(json.loads(done.receipt), pems) is receipts.Verdict.OK


def test_a_whole_tenant_goes(parts):
    filled(parts)

    erase = wiring.erase(parts)
    done = erase.run(erase.ask_tenant(WHO, "cli", LATER), LATER)

    assert done.step is Step.DONE
    assert parts.tenants.get(WHO) is None
    assert found(parts.settings.project) == set()


def test_content_that_comes_again_is_refused_by_its_md5(parts):
    """The bucket knows an md5; nobody reads the sound to refuse it."""
    id = filled(parts)
    erase = wiring.erase(parts)
    upload = parts.uploads.stat(parts.recordings.get(id).name, parts.recordings.get(id).generation)

    erase.run(erase.ask(id, "cli", LATER), LATER)

    assert [one.partition(":")[0] for one in upload.digests] == ["md5"]
    assert parts.erasures.erased_before(WHO, upload.digests, LATER)


# --- what the emulator of Cloud Storage gets wrong ------------------------------------------------


@pytest.fixture
def bucket(storage_emulator, monkeypatch):
    reached(storage_emulator, monkeypatch)
    return storage.Client(PROJECT).create_bucket(f"test-{uuid4().hex[:12]}")


def test_the_emulator_deletes_what_is_under_a_temporary_hold(bucket):
    """Production: 403, objectUnderActiveHold."""
    blob = bucket.blob("a")
    blob.upload_from_string(b"content")
    blob.temporary_hold = True
    blob.patch()

    bucket.blob("a", generation=blob.generation).delete()

    assert not bucket.blob("a").exists()


def test_the_emulator_forgets_a_generation_that_was_replaced(bucket):
    """Production with versioning: both, and `versions=True` lists them."""
    bucket.versioning_enabled = True
    bucket.patch()
    for content in (b"1", b"2"):
        bucket.blob("a").upload_from_file(io.BytesIO(content))

    listed = list(bucket.client.list_blobs(bucket, versions=True))

    assert len(listed) == 1
