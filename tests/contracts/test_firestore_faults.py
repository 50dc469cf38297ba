"""What only Firestore can do to us: races without a lock, lost answers, no answers."""

from dataclasses import replace
from functools import partial

import pytest
from google.api_core.exceptions import PermissionDenied, ServiceUnavailable
from google.cloud.firestore import Client
from google.cloud.firestore_v1.batch import WriteBatch

from shared.adapters.gcp import firestore_client
from shared.adapters.gcp.firestore_changes import FirestoreChanges
from shared.adapters.gcp.firestore_client import Documents
from shared.adapters.gcp.firestore_jobs import FirestoreJobs
from shared.adapters.gcp.firestore_passages import CHUNK_WORDS, Passages
from shared.adapters.gcp.firestore_recordings import FirestoreRecordings
from shared.adapters.gcp.firestore_tenants import FirestoreTenants
from shared.domain.lanes import Lane
from shared.domain.recording import Checkpoint, Ledger, Outcome, Passage
from shared.domain.states import State
from shared.domain.tenants import Tier
from shared.errors import StaleLease, StoreUnavailable
from shared.ports import Jobs, Recordings
from tests.builders import NOW, placed, recording
from tests.contracts.patience import at_once, patiently

LANES = [Lane.HIGH, Lane.LOW]
OUTCOME = Outcome("results/acme/rec00001/1", 12.5, "en", 0.9, review=False)


@pytest.fixture
def store(firestore_store):
    firestore_store.tenants.ensure("acme", Tier.FREE, NOW)
    return firestore_store


def heard(store, lease, *texts):
    said = tuple(Passage(float(n), n + 1.0, text) for n, text in enumerate(texts))
    return store.jobs.complete(lease, replace(OUTCOME, passages=said), [], NOW)


class TestRaces:
    def test_eight_workers_lease_every_job_once(self, store):
        for n in range(40):
            store.recordings.create_or_get(recording(n), lambda _, n=n: placed(start_tag=n))

        def drain(worker):
            next_one = partial(store.jobs.lease_next, LANES, worker, NOW, 60)
            leases = iter(lambda: patiently(next_one), None)
            return [(lease.recording.id, lease.token) for lease in leases]

        leased = [one for many in at_once(8, drain, "abcdefgh") for one in many]

        assert sorted(leased) == [(recording(n).id, 1) for n in range(40)]

    def test_each_of_eight_intakes_is_one_step_of_the_ledger(self, store):
        def take(n):
            step = lambda ledger: placed(start_tag=ledger.next_tag + 1)  # noqa: E731
            store.recordings.create_or_get(recording(n), step)

        at_once(8, take, range(24))

        last = []
        store.recordings.create_or_get(recording(99), lambda led: last.append(led) or placed())
        assert last == [Ledger(next_tag=24.0)]

    def test_of_many_that_complete_one_does(self, store):
        store.recordings.create_or_get(recording(1), lambda _: placed())
        lease = store.jobs.lease_next(LANES, "w", NOW, 60)

        def complete(_):
            try:
                return heard(store, lease, "a fox")
            except StaleLease:
                return None

        done = [one for one in at_once(8, complete, range(8)) if one]

        assert [one.state for one in done] == [State.DONE]
        assert len(store.recordings.find("acme", "fox")) == 1


class AnswerLost(WriteBatch):
    """Commits, and then the connection breaks before the answer."""

    def commit(self, *args, **kwargs):
        super().commit(*args, **kwargs)
        raise ServiceUnavailable("the answer was lost")


class Refused(WriteBatch):
    """The store is not there for this commit."""

    def commit(self, *args, **kwargs):
        raise ServiceUnavailable("nobody there")


class Faulty(Client):
    """A client whose first commits fail, each in its way."""

    faults: list[type[WriteBatch]]

    def batch(self):
        return self.faults.pop(0)(self) if self.faults else super().batch()


@pytest.fixture
def faulty(firestore_client):
    client = Faulty(project=firestore_client.project)
    client.faults = []
    yield client
    client.close()


class Resent(AnswerLost):
    """As AnswerLost, but what is sent again reaches the store."""

    def __init__(self, client):
        super().__init__(client)
        self._lost = False

    def commit(self, *args, **kwargs):
        if self._lost:
            return WriteBatch.commit(self, *args, **kwargs)
        self._lost, writes = True, list(self._write_pbs)
        try:
            return super().commit(*args, **kwargs)
        finally:
            self._write_pbs = writes  # the client forgets them once it had an answer


class TestFaults:
    def test_a_commit_whose_answer_was_lost_is_known_to_be_ours(self, store, faulty):
        store.recordings.create_or_get(recording(1), lambda _: placed())
        jobs: Jobs = FirestoreJobs(faulty)

        faulty.faults = [Resent]
        lease = jobs.lease_next(LANES, "w", NOW, 60)
        assert lease is not None
        assert lease.token == 1

        faulty.faults = [Resent]
        done = jobs.complete(lease, OUTCOME, [], NOW)

        assert done.state is State.DONE
        assert [m.state for m in store.recordings.history(done.id)] == [
            *(State.RECEIVED, State.PROCESSING, State.DONE)
        ]

    def test_a_lost_answer_to_an_intake_is_one_intake(self, store, faulty):
        faulty.faults = [Resent]
        recordings: Recordings = FirestoreRecordings(faulty)

        made = recordings.create_or_get(
            recording(1), lambda ledger: placed(start_tag=ledger.next_tag + 1)
        )

        assert store.recordings.get(made.id) == made
        assert len(store.outbox.pending()) == 1

    def test_a_store_that_stays_away_is_unavailable_and_nothing_was_written(
        self, store, faulty, monkeypatch
    ):
        monkeypatch.setattr(firestore_client, "PATIENCE_S", 0.3)
        faulty.faults = [Refused]

        with pytest.raises(StoreUnavailable):
            FirestoreRecordings(faulty).create_or_get(recording(1), lambda _: placed())

        assert store.recordings.get(recording(1).id) is None

    def test_nobody_listening_is_unavailable_for_every_read(self, monkeypatch, unused_tcp_port):
        monkeypatch.setattr(firestore_client, "PATIENCE_S", 0.3)
        monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", f"127.0.0.1:{unused_tcp_port}")
        client = Client(project="nobody")

        for ask in (
            lambda: FirestoreTenants(client).get("acme"),
            lambda: FirestoreTenants(client).all(),
            lambda: FirestoreRecordings(client).counts(),
            lambda: FirestoreJobs(client).lease_next(LANES, "w", NOW, 60),
            FirestoreChanges(client),
        ):
            with pytest.raises(StoreUnavailable):
                ask()
        client.close()

    def test_a_missing_role_is_said_at_once(self, store, faulty):
        class Denied(WriteBatch):
            def commit(self, *args, **kwargs):
                raise PermissionDenied("roles/datastore.user")

        faulty.faults = [Denied]

        with pytest.raises(StoreUnavailable):
            FirestoreTenants(faulty).ensure("fresh", Tier.FREE, NOW)


class TestSearch:
    def test_a_long_transcript_is_found_from_end_to_end(self, store):
        store.recordings.create_or_get(recording(1), lambda _: placed())
        texts = [f"passage number{n} " + "and so on " * 20 for n in range(CHUNK_WORDS)]
        heard(store, store.jobs.lease_next(LANES, "w", NOW, 60), *texts)

        for n in (0, CHUNK_WORDS // 2, CHUNK_WORDS - 1):
            [hit] = store.recordings.find("acme", f"passage number{n}")
            assert hit.passage.start_s == n

    def test_what_a_lost_lease_left_is_never_found_and_goes(self, store, firestore_client):
        store.recordings.create_or_get(recording(1), lambda _: placed())
        stale = store.jobs.lease_next(LANES, "w1", NOW, 60)
        Passages(Documents(firestore_client)).lay(stale, [Passage(0.0, 1.0, "a ghost")])
        store.jobs.hand_over(stale, NOW)
        assert store.recordings.find("acme", "ghost") == []

        heard(store, store.jobs.lease_next(LANES, "w2", NOW, 60), "a fox")

        assert store.recordings.find("acme", "ghost") == []
        assert [p.id for p in firestore_client.collection("passages").stream()] == ["rec00001-2-0"]

    def test_better_hits_come_first_and_of_equals_the_newer(self, store):
        texts = ["a fox among many hens and geese", "fox fox", "one fox", "one fox"]
        for n, text in enumerate(texts):
            made = replace(recording(n), received_at=NOW.replace(minute=n))
            store.recordings.create_or_get(made, lambda _: placed())
            heard(store, store.jobs.lease_next(LANES, "w", NOW, 60), text)

        assert [h.recording.id[-1] for h in store.recordings.find("acme", "fox")] == list("1320")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "__x__", "x" * 1501, "x\ny/z"])
def test_any_name_may_be_asked_for(store, name):
    assert store.recordings.get(name) is None
    assert store.recordings.history(name) == []
    assert store.tenants.get(name) is None


def test_more_checkpoints_than_one_commit_deletes_all_go(store, firestore_client):
    store.recordings.create_or_get(recording(1), lambda _: placed())
    lease = store.jobs.lease_next(LANES, "w", NOW, 60)
    done = [Checkpoint("p", "transcribe", n, "{}") for n in range(450)]
    store.jobs.checkpoint(lease, done, 0.5, NOW)

    store.jobs.complete(lease, OUTCOME, [], NOW)

    assert list(firestore_client.collection_group("segments").stream()) == []


def test_the_number_of_changes_differs_after_each(store, firestore_client):
    changes = FirestoreChanges(firestore_client)
    seen = [changes()]
    store.recordings.create_or_get(recording(1), lambda _: placed())
    seen.append(changes())
    lease = store.jobs.lease_next(LANES, "w", NOW, 60)
    seen.append(changes())
    store.jobs.checkpoint(lease, [], 0.5, NOW)
    seen.append(changes())

    assert len(set(seen)) == 4
    assert changes() == seen[-1]
