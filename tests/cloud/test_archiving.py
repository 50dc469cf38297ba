"""An original becomes FLAC in the archive's bucket, on Google's emulators, real decoder and all."""

import io
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from google.cloud import storage

from gpu_service.archiving import flac
from gpu_service.archiving.restoring import restore
from shared import wiring
from shared.domain.erasures import Step
from shared.domain.lanes import Lane
from shared.domain.long_term import GRACE
from shared.domain.names import recording_id
from shared.domain.recording import Outcome
from shared.domain.tenants import Tier
from tests.builders import placed, recording
from tests.sounds import tone_wav

SOUND = tone_wav(3.0)


@pytest.fixture
def parts(cloud):
    return cloud.parts


@pytest.fixture
def known(cloud, parts):
    """Heard, and to be compressed now."""
    upload, now = cloud.drop(SOUND), datetime.now(UTC)
    draft = recording(
        id=recording_id(upload.bucket, upload.name, upload.generation),
        bucket=upload.bucket,
        name=upload.name,
        generation=upload.generation,
        size_bytes=upload.size_bytes,
        uploaded_at=upload.created_at,
        received_at=now,
        kept_until=now + timedelta(days=365),
    )
    parts.recordings.create_or_get(draft, lambda _: placed())
    lease = parts.jobs.lease_next([Lane.LOW], "w", now, 60)
    outcome = Outcome("results/x", 3.0, None, None, False, compress_at=now)
    return parts.jobs.complete(lease, outcome, [], now)


def objects(parts, kind):
    return list(
        storage.Client(parts.settings.project).list_blobs(f"{parts.settings.project}-{kind}")
    )


def tick(parts, at):
    found = Counter()
    wiring.retire(parts).shelves(at, found)
    return found


def test_an_original_is_kept_as_flac_and_what_was_uploaded_goes(parts, known):
    rung = tick(parts, datetime.now(UTC) + timedelta(days=8))["archive_rung"]

    done = wiring.compress(parts, flac.compress)(lambda: False)
    both = len(objects(parts, "uploads")), len(objects(parts, "archive"))
    cleared = tick(parts, datetime.now(UTC) + GRACE)["uploads_cleared"]

    assert (rung, done, both, cleared) == (1, 1, (1, 1), 1)
    assert objects(parts, "uploads") == []
    [kept] = objects(parts, "archive")
    assert kept.content_type == "audio/flac"
    there = parts.recordings.get(known.id)
    assert (there.original.name, there.original.size_bytes) == (kept.name, kept.size)
    restored = io.BytesIO()
    with parts.uploads.fetch(there.original.name, there.original.generation) as fetched:
        restore(fetched.file, restored)
    assert restored.getvalue() == SOUND


def test_under_hold_nothing_of_it_happens_and_after_the_release_it_does(parts, known):
    keep, compress = wiring.keep(parts), wiring.compress(parts, flac.compress)
    keep.hold(known, "a lawsuit", "cli")
    held = compress(lambda: False)
    keep.release(parts.recordings.get(known.id), "cli")
    done = compress(lambda: False)
    keep.hold(parts.recordings.get(known.id), "a lawsuit", "cli")

    cleared = tick(parts, datetime.now(UTC) + GRACE)["uploads_cleared"]

    assert (held, done, cleared) == (0, 1, 0)
    assert (len(objects(parts, "uploads")), len(objects(parts, "archive"))) == (1, 1)


def test_it_is_erased_with_its_flac(parts, known):
    parts.tenants.ensure("acme", Tier.FREE, datetime.now(UTC))
    wiring.compress(parts, flac.compress)(lambda: False)
    tick(parts, datetime.now(UTC) + GRACE)

    erase, now = wiring.erase(parts), datetime.now(UTC)
    done = erase.run(erase.ask(known.id, "cli", now), now)

    assert (done.step, objects(parts, "archive")) == (Step.DONE, [])
    assert '"store": "archive"' in done.receipt
    assert replace(done.after, counts=()).empty
