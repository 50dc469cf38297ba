"""Each thing that can go missing is injected, found, mended once and said."""

import io
import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from shared.domain.lanes import Lane
from shared.domain.names import recording_id
from shared.domain.recording import Failure, Outcome, Topic
from shared.domain.states import State
from shared.domain.tenants import Tier
from shared.errors import BrokerUnavailable, NotFound, StoreUnavailable
from shared.flows.intake import Intake
from shared.flows.publish import PublishOutbox
from shared.flows.reconcile import (
    GRACE,
    LETTERS_KEPT,
    LISTING_GRACE,
    RESULTS_GRACE,
    Reconcile,
)
from tests.builders import NOW, placed, recording
from tests.contracts.conftest import sqlite_in_memory
from tests.flows.test_work import BrokenBroker, Clock, SilentBroker
from tests.sounds import tone_wav

CAUSE = Failure("decoder_died", "The decoder died.")
SOON = timedelta(seconds=61)


@pytest.fixture
def store(tmp_path):
    made = sqlite_in_memory(tmp_path)
    made.tenants.ensure("acme", Tier.FREE, NOW)
    return made


@pytest.fixture
def clock():
    return Clock()


def reconcile(store, clock, broker=None, **changes):
    broker = broker or SilentBroker()
    publish = PublishOutbox(store.outbox, broker, clock)
    fields = {
        "tenants": store.tenants,
        "recordings": store.recordings,
        "jobs": store.jobs,
        "uploads": store.uploads,
        "arrivals": store.arrivals,
        "results": store.results,
        "bookmarks": store.bookmarks,
        "publisher": broker,
        "publish": publish,
        "intake": Intake(store.tenants, store.recordings, store.uploads, publish, clock),
        "now": clock,
    }
    return Reconcile(**fields | changes)


def put(store, name="1.wav", at=NOW):
    return store.inlet.put(
        f"uploads/acme/{name}", io.BytesIO(tone_wav(1.0)), content_type="", metadata={}, at=at
    )


def job(store, number=1, lane=Lane.LOW):
    made = store.recordings.create_or_get(recording(number), lambda _: placed(lane))
    store.outbox.sent(store.outbox.pending(), NOW)
    return made


def lease(store, at=NOW):
    return store.jobs.lease_next((Lane.HIGH, Lane.LOW), "w1", at, 60.0)


def at_once(*ticks):
    """Ticks at the same time, each its own instance; what they found in all."""
    with ThreadPoolExecutor(len(ticks)) as pool:
        return sum(pool.map(lambda tick: tick(), ticks), Counter())


def test_where_nothing_is_missing_nothing_is_found_or_said(store, clock, caplog):
    caplog.set_level("INFO")

    assert reconcile(store, clock)() == {}
    assert caplog.records == []


class TestOutbox:
    def test_what_a_broken_broker_left_is_published_once(self, store, clock):
        store.recordings.create_or_get(recording(1), lambda _: placed())
        broker = SilentBroker()

        first = reconcile(store, clock, broker)()
        second = reconcile(store, clock, broker)()

        assert (first, second) == ({"outbox_drained": 1}, {})
        assert [m.topic for m in broker.taken] == [Topic.LANE_LOW]

    def test_no_further_page_is_begun_once_enough_is_published(self, store, clock):
        for number in range(250):
            store.recordings.create_or_get(recording(number), lambda _: placed())
        publish = PublishOutbox(store.outbox, SilentBroker(), clock)

        assert [publish(most=101), publish(most=101)] == [200, 50]

    def test_while_the_broker_is_broken_the_store_is_mended_and_it_is_said(
        self, store, clock, caplog
    ):
        caplog.set_level("INFO")
        job(store, 1)
        lease(store)
        store.recordings.create_or_get(recording(2), lambda _: placed())
        clock.at += SOON

        with pytest.raises(BrokerUnavailable):
            reconcile(store, clock, BrokenBroker())()

        assert store.recordings.get("rec00001").state is State.QUEUED
        assert caplog.messages == ["reconciled: leases_run_out 1"]


class TestRinging:
    def test_a_job_whose_ticket_was_lost_is_rung_for_once(self, store, clock):
        job(store, 1, Lane.HIGH)
        clock.at += SOON
        broker = SilentBroker()

        first = reconcile(store, clock, broker)()
        second = reconcile(store, clock, broker)()

        assert (first, second) == ({"jobs_unrung_high": 1}, {})
        assert [(m.topic, m.body) for m in broker.taken] == [
            (Topic.LANE_HIGH, {"v": 1, "lane": "high"})
        ]

    def test_two_ticks_at_the_same_time_ring_once(self, store, clock):
        for number in range(8):
            job(store, number)
        clock.at += SOON
        broker = SilentBroker()

        found = at_once(*(reconcile(store, clock, broker) for _ in range(2)))

        assert found == {"jobs_unrung_low": 8}
        assert len(broker.taken) == 8

    def test_a_ring_that_is_lost_as_well_is_rung_again_after_patience(self, store, clock):
        job(store)
        clock.at += SOON
        with pytest.raises(BrokerUnavailable):
            reconcile(store, clock, BrokenBroker())()

        assert reconcile(store, clock)() == {}
        clock.at += SOON
        assert reconcile(store, clock)() == {"jobs_unrung_low": 1}


class TestLeasesAndLetters:
    def test_a_lease_run_out_is_taken_back_once(self, store, clock):
        job(store)
        lease(store)
        clock.at += SOON

        found = at_once(*(reconcile(store, clock) for _ in range(2)))

        assert found == {"leases_run_out": 1}
        assert reconcile(store, clock)() == {}

    def test_a_letter_nobody_decided_about_lapses_after_seven_days(self, store, clock):
        made = job(store)
        store.jobs.fail(lease(store), CAUSE, None, NOW)
        store.outbox.sent(store.outbox.pending(), NOW)
        clock.at += LETTERS_KEPT

        on_time = reconcile(store, clock)()
        clock.at += timedelta(microseconds=1)
        found = at_once(*(reconcile(store, clock) for _ in range(2)))

        assert (on_time, found) == ({}, {"letters_lapsed": 1})
        assert store.jobs.dead() == []
        assert store.recordings.get(made.id).state is State.DEAD
        assert store.recordings.history(made.id)[-1].actor == "retention"

    def test_the_deferred_are_placed_when_their_time_has_come(self, store, clock):
        until = NOW + timedelta(hours=1)
        store.recordings.create_or_get(recording(1), lambda _: placed(until=until))
        store.outbox.sent(store.outbox.pending(), NOW)
        clock.at = until

        assert reconcile(store, clock)() == {"deferred_due": 1, "outbox_drained": 1}


class TestArrivals:
    def test_an_upload_whose_event_was_lost_is_recorded_once(self, store, clock, caplog):
        upload = put(store)
        clock.at += GRACE

        first = reconcile(store, clock)()
        second = reconcile(store, clock)()

        assert (first, second) == ({"uploads_unrecorded": 1}, {})
        [made] = store.recordings.page()
        assert made.id == recording_id(upload.bucket, upload.name, upload.generation)
        assert made.state is State.QUEUED
        assert [r.recording_id for r in caplog.records if r.levelname == "WARNING"] == [made.id]
        assert store.arrivals.pull(clock() + timedelta(days=1)) == []

    def test_one_on_its_first_way_is_left_to_its_event(self, store, clock):
        put(store)
        clock.at += GRACE - timedelta(microseconds=1)

        assert reconcile(store, clock)() == {}
        assert store.recordings.page() == []
        clock.at += SOON
        assert reconcile(store, clock)() == {"uploads_unrecorded": 1}

    def test_two_ticks_at_the_same_time_record_once(self, store, clock):
        for n in range(6):
            put(store, f"{n}.wav")
        clock.at += GRACE

        found = at_once(*(reconcile(store, clock) for _ in range(2)))

        # One tick may drain what the other has just laid out: a ticket too many is harmless.
        assert found["uploads_unrecorded"] == 6
        assert len(store.recordings.page()) == 6
        assert store.jobs.waiting(clock()) == {Lane.HIGH: 0, Lane.LOW: 6}

    def test_what_is_recorded_is_only_acknowledged(self, store, clock):
        upload = put(store)
        intake = reconcile(store, clock).intake
        made = intake(upload)
        clock.at += GRACE

        found = reconcile(store, clock, patience_s=1e9)()

        assert found == {}
        assert [r.id for r in store.recordings.page()] == [made.id]
        assert store.arrivals.pull(clock() + timedelta(days=1)) == []

    def test_the_arrival_of_an_erased_recording_is_counted_and_never_heard(self, store, clock):
        upload = put(store)
        made = reconcile(store, clock).intake(upload)
        erased(store, made.id)
        clock.at += GRACE

        found = reconcile(store, clock, patience_s=1e9, uploads=NoUploads())()

        assert found == {"uploads_tombstoned": 1}
        assert store.recordings.get(made.id).state is State.ERASED
        assert reconcile(store, clock, patience_s=1e9, uploads=NoUploads())() == {}

    def test_one_that_is_gone_before_it_was_heard_is_counted_once(self, store, clock):
        put(store)
        clock.at += GRACE
        intake = Intake(
            store.tenants,
            store.recordings,
            NoUploads(),
            PublishOutbox(store.outbox, SilentBroker(), clock),
            clock,
        )

        first = reconcile(store, clock, intake=intake, uploads=NoUploads())()
        second = reconcile(store, clock, intake=intake, uploads=NoUploads())()

        assert (first, second) == ({"uploads_gone": 1}, {})
        assert store.recordings.page() == []

    def test_with_a_broken_broker_it_is_recorded_counted_and_rung_for_later(
        self, store, clock, caplog
    ):
        caplog.set_level("INFO")
        put(store)
        clock.at += GRACE

        with pytest.raises(BrokerUnavailable):
            reconcile(store, clock, BrokenBroker())()

        assert [r.found for r in caplog.records] == [{"uploads_unrecorded": 1}]
        clock.at += SOON
        assert reconcile(store, clock, patience_s=1e9)() == {"outbox_drained": 1}

    def test_a_refused_one_is_recorded_as_refused(self, store, clock):
        store.inlet.put(
            "uploads/acme/a.txt", io.BytesIO(b"no sound"), content_type="", metadata={}, at=NOW
        )
        clock.at += GRACE

        reconcile(store, clock)()

        assert [r.state for r in store.recordings.page()] == [State.REJECTED]


def erased(store, id):
    """As the store will hold a recording that was erased: the row stays, as a tombstone."""
    with store.jobs._db.write() as db:
        db.execute(
            "UPDATE recordings SET state = 'erased', erased = 1, result = NULL WHERE id = ?", (id,)
        )
        db.execute("UPDATE jobs SET state = 'over' WHERE recording_id = ?", (id,))


class NoUploads:
    """A bucket that has been emptied."""

    def page(self, after=None, limit=500):
        return []

    def stat(self, name, generation):
        return None

    def read(self, name, generation, start, length):
        raise NotFound("The upload is gone.")

    fetch = read


class NoArrivals:
    """A second notification that never comes."""

    def pull(self, now, limit=100):
        return []

    def ack(self, arrivals):
        assert not arrivals


class BrokenOnce:
    """Uploads whose first page cannot be had."""

    def __init__(self, uploads):
        self._uploads, self._broken = uploads, True

    def page(self, after=None, limit=500):
        if self._broken:
            self._broken = False
            raise StoreUnavailable
        return self._uploads.page(after, limit)


class TestDailyListing:
    def listing(self, store, clock, **changes):
        given = {"arrivals": NoArrivals(), "patience_s": 1e9}
        return reconcile(store, clock, **given | changes)

    def test_it_finds_what_both_notifications_missed_page_by_page(self, store, clock):
        for n in range(5):
            put(store, f"{n}.wav")
        clock.at += LISTING_GRACE
        tick = self.listing(store, clock, page=2)

        found = [tick()["uploads_unrecorded"] for _ in range(5)]

        assert found == [2, 2, 1, 0, 0]
        assert len(store.recordings.page()) == 5

    def test_its_round_is_over_until_the_next_utc_day(self, store, clock):
        clock.at += LISTING_GRACE
        tick = self.listing(store, clock)
        tick()
        put(store)
        clock.at = NOW.replace(hour=23, minute=59, second=59)
        late = tick()
        clock.at += timedelta(seconds=1)

        assert (late, tick()) == ({}, {"uploads_unrecorded": 1})

    def test_two_ticks_never_look_at_the_same_page(self, store, clock):
        for n in range(6):
            put(store, f"{n}.wav")
        clock.at += LISTING_GRACE

        rounds = [
            at_once(*(self.listing(store, clock, page=2) for _ in range(2))) for _ in range(4)
        ]

        assert sum(found["uploads_unrecorded"] for found in rounds) == 6

    def test_a_page_that_failed_comes_again_once_its_claim_ran_out(self, store, clock):
        put(store)
        clock.at += LISTING_GRACE
        tick = self.listing(store, clock, uploads=BrokenOnce(store.uploads))

        with pytest.raises(StoreUnavailable):
            tick()
        claimed = tick()
        clock.at += timedelta(seconds=300)

        assert (claimed, tick()) == ({}, {"uploads_unrecorded": 1})

    def test_a_tombstone_is_counted_once_a_day_and_not_heard(self, store, clock):
        made = reconcile(store, clock).intake(put(store))
        erased(store, made.id)
        clock.at += LISTING_GRACE
        tick = self.listing(store, clock)

        assert [tick(), tick(), tick()] == [{"uploads_tombstoned": 1}, {}, {}]
        assert store.recordings.page() == []
        assert len(store.recordings.page(states=[State.ERASED])) == 1


class TestResults:
    OLD = NOW - RESULTS_GRACE

    def folder(self, store, tmp_path, owner="rec00001", token=1, at=OLD):
        name = f"results/acme/{owner}/{token}"
        store.results.save(name, {"result.json": b"{}"})
        os.utime(tmp_path / name, (at.timestamp(), at.timestamp()))
        return name

    def folders(self, store):
        return [kept.folder for kept in store.results.folders()]

    def test_those_no_done_state_points_to_are_removed_once(self, store, clock, tmp_path):
        job(store)
        store.jobs.fail(lease(store), CAUSE, NOW, NOW)
        self.folder(store, tmp_path)
        self.folder(store, tmp_path, token=2)
        pointed = self.folder(store, tmp_path, token=3)
        store.jobs.fail(lease(store), CAUSE, NOW, NOW)
        outcome = Outcome(pointed, 1.0, "en", 0.9, review=False)
        store.jobs.complete(lease(store), outcome, [], NOW)
        store.outbox.sent(store.outbox.pending(), NOW)

        found = at_once(*(reconcile(store, clock) for _ in range(2)))

        assert found == {"results_removed": 2}
        assert self.folders(store) == [pointed]
        clock.at += timedelta(days=1)
        ticks = [reconcile(store, clock)() for _ in range(3)]
        assert ticks == [{}, {}, {}]

    def test_young_ones_and_those_of_a_job_in_work_stay(self, store, clock, tmp_path):
        job(store, 1)
        young = self.folder(store, tmp_path, at=self.OLD + timedelta(seconds=1))
        job(store, 2)
        assert lease(store).recording.id == "rec00001"
        store.jobs.give_back(lease(store), CAUSE, NOW, NOW)
        held = lease(store)
        mine = self.folder(store, tmp_path, owner=held.recording.id, token=held.token)

        assert reconcile(store, clock)() == {}
        assert self.folders(store) == [young, mine]

    def test_those_of_a_recording_nobody_knows_are_said_and_left(self, store, clock, tmp_path):
        """A service pointed at the wrong store must not empty the bucket."""
        name = self.folder(store, tmp_path, owner="stranger")

        assert reconcile(store, clock)() == {"results_unknown": 1}
        assert self.folders(store) == [name]


def test_each_finding_is_said_in_one_line(store, clock, caplog):
    caplog.set_level("INFO", "earwitness.reconcile")
    job(store, 1)
    lease(store)
    store.recordings.create_or_get(recording(2), lambda _: placed(Lane.HIGH))
    store.jobs.unrung(0, NOW)
    clock.at += SOON

    found = reconcile(store, clock)()

    assert found == {"leases_run_out": 1, "outbox_drained": 1, "jobs_unrung_high": 1}
    [record] = caplog.records
    assert record.found == found
    said = "reconciled: jobs_unrung_high 1, leases_run_out 1, outbox_drained 1"
    assert record.getMessage() == said
