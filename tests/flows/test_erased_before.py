"""Content that was erased on request comes again: refused at the door, or before it is decoded."""

import hashlib
import io
from dataclasses import replace

import pytest

from shared.domain import erasures
from shared.domain.erasures import Step, Tombstone
from shared.domain.states import State
from shared.domain.wishes import Wishes
from shared.flows.intake import Intake
from shared.flows.publish import PublishOutbox
from shared.flows.work import Settled
from tests.builders import NOW
from tests.flows.test_reuse import add
from tests.flows.test_work import LANES, SilentBroker, work
from tests.sounds import tone_wav

SOUND = tone_wav(1.0)


def digest(content):
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def erased(store, content):
    """A tombstone, as an erasure lays it."""
    gone = add(store, "gone.wav", b"whatever")
    seen = store.erasures.ask(
        gone.id, lambda k: erasures.of_recording(k, erasures.Cause.REQUEST, "cli", NOW)
    )
    key = store.erasures.key("acme")
    until = erasures.tombstones(seen, key, [digest(content)], 30)[0].until
    stone = Tombstone("acme", erasures.keyed(key, digest(content)), until)
    store.erasures.go_on(seen, seen.at(Step.LISTED), [stone])


def intake(store):
    publish = PublishOutbox(store.outbox, SilentBroker(), lambda: NOW)
    return Intake(store.tenants, store.recordings, store.uploads, publish, lambda: NOW)


def dropped(store, metadata=(), content=SOUND):
    return store.inlet.put(
        "uploads/acme/a.wav",
        io.BytesIO(content),
        content_type="audio/wav",
        metadata=dict(metadata),
        at=NOW,
    )


def test_it_is_refused_at_the_door_by_the_buckets_digest(store):
    erased(store, SOUND)

    made = intake(store)(dropped(store))

    assert (made.state, made.error.code) == (State.REJECTED, "erased_before")


def test_who_insists_is_heard(store):
    erased(store, SOUND)

    made = intake(store)(dropped(store, {"again": "yes"}))

    assert made.state is not State.REJECTED
    assert made.wishes.again
    assert "erased before" in store.recordings.history(made.id)[0].reason


@pytest.mark.parametrize("again", [False, True], ids=["refused", "insisted"])
def test_what_only_fetching_tells_is_refused_before_it_is_decoded(store, again):
    """A bucket that knows no sha256."""
    erased(store, b"sound")
    known = add(store, "b.wav", wishes=Wishes(again=again))

    settled = replace(work(store), erasures=store.erasures)(LANES)

    found = store.recordings.get(known.id)
    told = found.state, found.error and found.error.code
    refused = Settled.REJECTED, (State.REJECTED, "erased_before")
    assert (settled, told) == ((Settled.DONE, (State.DONE, None)) if again else refused)


def test_a_worker_whose_recording_was_erased_takes_its_results_away(store, tmp_path):
    """It wrote them before it was told; nobody will ever point to them."""
    known = add(store, "c.wav")

    class Late:
        """Results of which the recording is erased just after they were saved."""

        def __getattr__(self, name):
            return getattr(store.results, name)

        def save(self, folder, files):
            store.results.save(folder, files)
            store.erasures.ask(
                known.id, lambda k: erasures.of_recording(k, erasures.Cause.REQUEST, "cli", NOW)
            )

    late = replace(work(store), results=Late())

    assert late(LANES) is Settled.LOST
    assert store.results.all_of("acme", known.id) == []
