"""What histories prove, on every store; and actions, what waits for a seal, and seals."""

import threading
from dataclasses import replace
from uuid import uuid4

import pytest
from google.cloud.storage import Client

from local.emulated.emulators import PROJECT
from shared.adapters.embedded.file_seals import FileSeals
from shared.adapters.embedded.sqlite_chains import SqliteChains
from shared.adapters.embedded.sqlite_database import Database
from shared.adapters.embedded.sqlite_jobs import SqliteJobs
from shared.adapters.gcp.storage_seals import StorageSeals
from shared.domain.audit import EVERYBODY, Kind, Leaf, commitment_of, head_of
from shared.domain.lanes import Lane
from shared.domain.recording import Failure, Outcome
from shared.domain.states import State
from shared.domain.verification import begins
from tests.audited import action
from tests.builders import NOW, placed, recording
from tests.contracts.test_sqlite_database import home_of_version_1
from tests.emulators import reached


def heard(store, number=1):
    """A recording that is done, after one try that failed."""
    store.recordings.create_or_get(recording(number), lambda _: placed(start_tag=-number))
    lease = store.jobs.lease_next([Lane.LOW], "w", NOW, 60)
    store.jobs.give_back(lease, Failure("model_down", "nobody is there", "echo"), NOW, NOW)
    lease = store.jobs.lease_next([Lane.LOW], "w", NOW, 60)
    store.jobs.complete(lease, Outcome("results/x", 1.0, None, None, review=False), [], NOW)


# --- histories ------------------------------------------------------------------------------------


def test_every_line_is_chained_to_the_one_before(store):
    heard(store)

    [chain] = store.chains.page("acme")
    before = None
    for seq, one in enumerate(chain.links, start=1):
        assert one.seq == seq
        assert one.commitment == commitment_of(one.line, one.salt)
        assert one.head == head_of("rec00001", seq, one.line, before, one.commitment)
        before = one.head
    assert (chain.moves, chain.head) == (5, before)
    assert [one.line for one in chain.links] == store.recordings.history("rec00001")
    assert len({one.salt for one in chain.links}) == 5


def test_every_line_waits_for_a_seal_from_its_own_commit_on(store):
    heard(store)

    [chain] = store.chains.page("acme")
    lines = [Leaf(Kind.HISTORY, "rec00001", one.seq, one.head) for one in chain.links]
    assert store.chains.waiting("acme") == lines
    assert len(store.chains.waiting("acme", limit=2)) == 2
    assert store.chains.waiting("nobody") == []


def test_a_refusal_is_a_chain_of_one(store):
    store.recordings.refuse(recording(1, state=State.REJECTED), Failure("not_audio", "no"))

    [chain] = store.chains.page("acme")
    assert [one.head for one in chain.links] == [chain.head]
    assert store.chains.tenants() == ["acme"]


def test_histories_are_paged_by_id(store):
    for n in (2, 1, 3):
        store.recordings.create_or_get(recording(n), lambda _: placed())
    store.recordings.create_or_get(recording(4, tenant="other"), lambda _: placed())

    first = store.chains.page("acme", limit=2)
    second = store.chains.page("acme", first[-1].recording_id, limit=2)

    assert [one.recording_id for one in (*first, *second)] == ["rec00001", "rec00002", "rec00003"]
    assert store.chains.page("acme", "rec00003") == []


def test_what_was_sealed_waits_no_longer_and_twice_is_once(store):
    heard(store)
    store.actions.append(action(1))
    waiting = store.chains.waiting("acme")

    for _ in range(2):
        store.chains.sealed("acme", waiting[:3])

    assert store.chains.waiting("acme") == waiting[3:]
    store.chains.sealed("acme", waiting)
    assert store.chains.tenants() == []


def test_whoever_has_something_waiting_is_told_once(store):
    for n, tenant in enumerate(("beta", "acme", EVERYBODY, "beta", "acme")):
        store.actions.append(action(n, tenant))

    assert store.chains.tenants() == sorted(["acme", "beta", EVERYBODY])


def test_asking_who_waits_reads_a_document_a_tenant(firestore_store, monkeypatch):
    """However many recordings and actions there are."""
    for n, tenant in enumerate(("acme", "beta") * 5):
        firestore_store.actions.append(action(n, tenant))
        firestore_store.recordings.create_or_get(recording(n), lambda _: placed())
    found, read = firestore_store.chains._db.found, []
    monkeypatch.setattr(
        firestore_store.chains._db, "found", lambda q: read.append(found(q)) or read[-1]
    )

    assert firestore_store.chains.tenants() == ["acme", "beta"]
    assert [len(documents) for documents in read] == [1, 1, 0]


def test_asking_who_waits_looks_at_nothing_else(tmp_path):
    db = Database(tmp_path / "s.db")
    seen = []
    db.connection().set_trace_callback(seen.append)

    SqliteChains(db).tenants()

    [plan] = db.connection().execute(f"EXPLAIN QUERY PLAN {seen[0]}").fetchall()
    assert plan["detail"] == "SCAN unsealed"


# --- actions --------------------------------------------------------------------------------------


def test_actions_are_the_newest_first_then_by_id_of_one_tenant_or_of_all(store):
    old, new, other = action(1), action(9), action(5, "other")
    same = replace(action(2), at=new.at)
    for one in (old, same, other, new):
        store.actions.append(one)
    latest = sorted((new, same), key=lambda one: one.id, reverse=True)

    assert store.actions.page() == [*latest, other, old]
    assert store.actions.page("acme") == [*latest, old]
    assert store.actions.page("nobody") == []
    assert store.actions.page("acme", limit=1) == latest[:1]
    assert store.actions.page("acme", before=(latest[0].at, latest[0].id)) == [latest[1], old]


def test_appending_twice_is_once(store):
    one = action(1)
    for _ in range(2):
        store.actions.append(one)
    store.actions.append(replace(one, status=500))

    assert store.actions.page("acme") == [one]
    assert store.chains.waiting("acme") == [Leaf(Kind.ACTION, one.id, 0, one.commitment)]


# --- seals ----------------------------------------------------------------------------------------


@pytest.fixture
def in_bucket(storage_emulator, monkeypatch):
    reached(storage_emulator, monkeypatch)
    bucket = Client(PROJECT).create_bucket(f"test-{uuid4().hex[:12]}")
    return StorageSeals(bucket.client, bucket.name)


@pytest.fixture(params=["in_files", "in_bucket"])
def seals(request, tmp_path):
    if request.param == "in_files":
        return FileSeals(tmp_path)
    return request.getfixturevalue(request.param)


def test_a_seal_is_kept_as_it_was_put_and_never_replaced(seals):
    assert seals.put("acme", 1, b"one") is True
    assert seals.put("acme", 1, b"two") is False
    assert seals.put("acme", 1, b"one") is True

    assert seals.get("acme", 1) == b"one"
    assert seals.get("acme", 2) is None
    assert seals.get("other", 1) is None


def test_numbers_ascend_beyond_ten_and_can_be_asked_from_one_on(seals):
    for n in (11, 2, 10, 1):
        seals.put("acme", n, b"x")
    seals.put("acme-two", 3, b"x")
    seals.put(EVERYBODY, 7, b"x")

    assert seals.numbers("acme") == [1, 2, 10, 11]
    assert seals.numbers("acme", after=2) == [10, 11]
    assert seals.numbers("acme", after=2, limit=1) == [10]
    assert seals.numbers("acme", after=11) == seals.numbers("nobody") == []
    assert seals.tenants() == sorted(["acme", "acme-two", EVERYBODY])


def test_nobody_has_seals_at_first(seals):
    assert seals.tenants() == []


def test_of_many_who_put_different_ones_one_writes(seals):
    begun, wrote = threading.Barrier(8), []

    def put(n):
        begun.wait()
        wrote.append((seals.put("acme", 1, b"%d" % n), b"%d" % n))

    threads = [threading.Thread(target=put, args=(n,)) for n in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()

    [winner] = [content for made, content in wrote if made]
    assert seals.get("acme", 1) == winner


def test_on_disk_a_seal_is_read_only_and_a_torn_one_is_none(tmp_path):
    seals = FileSeals(tmp_path)
    seals.put("acme", 1, b"one")
    (tmp_path / "audit/acme/.part-torn").write_bytes(b"tw")

    assert (tmp_path / "audit/acme/0000000001.json").stat().st_mode & 0o777 == 0o400
    assert seals.numbers("acme") == [1]


def test_a_store_from_before_chains_begins_them_with_the_next_line(tmp_path):
    home_of_version_1(tmp_path / "s.db")
    db = Database(tmp_path / "s.db")

    SqliteJobs(db).replay("waits", "cli", NOW)

    [_, chain] = SqliteChains(db).page("acme")
    *old, new = chain.links
    assert {(one.salt, one.commitment, one.head) for one in old} == {(None, None, None)}
    assert new.head == head_of("waits", 7, new.line, None, new.commitment) == chain.head
    assert (chain.moves, begins(chain)) == (7, 7)
    assert [leaf.seq for leaf in SqliteChains(db).waiting("acme")] == [7]
