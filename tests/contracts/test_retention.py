"""How long recordings are kept: what is asked for by index, and each commit that changes it."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from shared.domain.lanes import Lane
from shared.domain.recording import Failure, Hold, Topic
from shared.domain.retention import ANNOUNCED_AHEAD
from shared.domain.states import State
from shared.domain.tenants import Tier
from shared.domain.timekeeping import Times
from shared.errors import ExtensionRefused, NotFound
from tests.builders import NOW, placed, recording, tenant

DAY = timedelta(days=1)
END = NOW + 30 * DAY
FREE, PRO = tenant(Tier.FREE).rules, tenant(Tier.PRO).rules
HOLD = Hold("a lawsuit", "cli", NOW)


def kept(store, number=1, **changes):
    """A recording of 30 days that waits in its lane."""
    made = recording(number, uploaded_at=NOW, **changes)
    store.recordings.create_or_get(made, lambda _: placed())
    return made.id


def at(moment):
    return Times.exactly(moment)


def ids(recordings):
    return [one.id for one in recordings]


def announced(store, recording_id):
    """The kinds of what was announced of it."""
    said = [m for m in store.outbox.pending(recording_id) if m.topic is Topic.EVENTS]
    return [m.body["type"] for m in said]


def last_line(store, recording_id):
    return store.recordings.history(recording_id)[-1]


def test_what_it_is_kept_with_comes_back_as_it_was(store):
    known = kept(
        store,
        announced_at=NOW + timedelta(microseconds=1),
        extended_until=NOW + 2 * DAY,
        hold=HOLD,
    )

    found = store.recordings.get(known)

    assert (found.announced_at, found.extended_until) == (
        NOW + timedelta(microseconds=1),
        NOW + 2 * DAY,
    )
    assert (found.hold, found.uploaded_at) == (HOLD, NOW)


def test_what_ends_is_paged_soonest_first(store):
    for number in (3, 1, 2, 4):
        kept(store, number, kept_until=NOW + number // 2 * DAY)

    first = store.retention.ending(NOW + DAY, limit=2)
    mark = first[-1].kept_until, first[-1].id
    rest = store.retention.ending(NOW + DAY, after=mark, limit=2)

    assert ids(first) + ids(rest) == ["rec00001", "rec00002", "rec00003"]


@pytest.mark.parametrize("early", [timedelta(microseconds=1), timedelta(0)])
def test_what_ends_later_is_left_out(store, early):
    kept(store)

    assert bool(store.retention.ending(END - early)) is (not early)


def test_what_is_held_or_announced_or_of_another_can_be_left_out(store):
    store.tenants.ensure("other", Tier.FREE, NOW)
    held, said = kept(store, 1), kept(store, 2)
    plain, others = kept(store, 3), kept(store, 4, tenant="other")
    store.retention.hold(held, HOLD)
    store.retention.settle(said, FREE, at(END - DAY))

    assert ids(store.retention.ending(END + 9 * DAY)) == [plain, others, said]
    assert ids(store.retention.ending(END + 9 * DAY, unannounced=True)) == [plain, others]
    assert ids(store.retention.ending(END + 9 * DAY, tenant="other")) == [others]


def test_a_released_recording_ends_again(store):
    known = kept(store)
    store.retention.hold(known, HOLD)

    store.retention.release(known, "page", NOW + DAY)

    assert ids(store.retention.ending(END)) == [known]


def test_recordings_of_a_tenant_are_paged_oldest_first(store):
    for number, age in ((1, 2), (2, 3), (3, 1)):
        kept(store, number, received_at=NOW - age * DAY)
    refused = recording(4, received_at=NOW)
    store.recordings.refuse(refused, Failure("not_audio", "No sound."))

    first = store.retention.received("acme", limit=2)
    rest = store.retention.received("acme", (first[-1].received_at, first[-1].id), limit=2)

    assert ids(first) + ids(rest) == ["rec00002", "rec00001", "rec00003", "rec00004"]
    assert store.retention.received("other") == []


def test_settling_announces_once_with_a_line_and_an_announcement(store):
    known, near = kept(store), END - ANNOUNCED_AHEAD

    first = store.retention.settle(known, FREE, at(near))
    again = store.retention.settle(known, FREE, at(near + DAY))

    assert first == again == store.recordings.get(known)
    assert (first.announced_at, first.kept_until) == (near, END)
    assert announced(store, known) == ["recording.expiring"]
    line = last_line(store, known)
    assert (line.state, line.at, line.actor) == (State.RECEIVED, near, "retention")
    assert line.reason == "announced: until 2026-03-31 12:00 UTC"


def test_an_announcement_carries_ids_only(store):
    known = kept(store)
    store.retention.settle(known, FREE, at(END))

    [said] = [m for m in store.outbox.pending(known) if m.topic is Topic.EVENTS]

    assert set(said.body) == {"v", "event_id", "type", "recording_id", "tenant", "at", "seq"}


def test_settling_under_other_rules_moves_the_end_and_says_so(store):
    known = kept(store)

    moved = store.retention.settle(known, PRO, at(NOW))

    assert moved.kept_until == NOW.replace(month=9)
    assert last_line(store, known).reason == "kept: until 2026-09-01 12:00 UTC"
    assert announced(store, known) == []
    assert ids(store.retention.ending(NOW.replace(month=9))) == [known]


def test_settling_what_nobody_knows_does_nothing(store):
    assert store.retention.settle("nobody", FREE, at(NOW)) is None


def test_of_many_that_settle_at_once_one_announces(store):
    known = kept(store)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: store.retention.settle(known, FREE, at(END)), range(8)))

    assert announced(store, known) == ["recording.expiring"]
    assert len(store.recordings.history(known)) == 2


def test_an_extension_is_kept_announced_and_idempotent(store):
    known, until = kept(store), NOW + 300 * DAY

    first = store.retention.extend(known, until, PRO, "page", at(NOW))
    again = store.retention.extend(known, until, PRO, "page", at(NOW + DAY))

    assert first == again == store.recordings.get(known)
    assert (first.kept_until, first.extended_until) == (until, until)
    assert announced(store, known) == ["recording.extended"]
    assert (last_line(store, known).actor, last_line(store, known).at) == ("page", NOW)


def test_a_refused_extension_changes_nothing(store):
    known = kept(store)
    before = store.recordings.get(known)

    with pytest.raises(ExtensionRefused):
        store.retention.extend(known, NOW + 300 * DAY, FREE, "page", at(NOW))

    assert store.recordings.get(known) == before
    assert len(store.recordings.history(known)) == 1


def test_the_first_hold_stays_and_says_who_and_why(store):
    known = kept(store)

    store.retention.hold(known, HOLD)
    again = store.retention.hold(known, Hold("another", "page", NOW + DAY))

    assert again.hold == HOLD == store.recordings.get(known).hold
    assert announced(store, known) == ["recording.held"]
    line = last_line(store, known)
    assert (line.actor, line.at, line.reason) == ("cli", NOW, "held: a lawsuit")


def test_a_release_is_told_once(store):
    known = kept(store)
    store.retention.hold(known, HOLD)

    for _ in range(2):
        released = store.retention.release(known, "page", NOW + DAY)

    assert released == store.recordings.get(known)
    assert released.hold is None
    assert announced(store, known) == ["recording.held", "recording.released"]
    assert last_line(store, known).reason == "released: a lawsuit"


def test_keeping_something_interrupts_nobody_at_work(store):
    known = kept(store, lane=Lane.LOW)
    lease = store.jobs.lease_next(tuple(Lane), "w", NOW, 60.0)

    store.retention.hold(known, HOLD)
    store.retention.settle(known, PRO, at(NOW))
    store.jobs.hand_over(lease, NOW)

    assert store.recordings.get(known).state is State.QUEUED
    assert store.recordings.get(known).hold == HOLD


@pytest.mark.parametrize(
    "keep",
    [
        lambda r: r.extend("nobody", END, PRO, "page", at(NOW)),
        lambda r: r.hold("nobody", HOLD),
        lambda r: r.release("nobody", "page", NOW),
    ],
)
def test_what_nobody_knows_cannot_be_kept(store, keep):
    with pytest.raises(NotFound):
        keep(store.retention)


def test_a_tenant_whose_rules_changed_is_unsettled_until_somebody_settled_all(store):
    store.tenants.put(tenant(Tier.PRO))
    [changed] = store.retention.unsettled()

    assert changed == tenant(Tier.PRO)
    assert store.retention.settled_all(changed)
    assert store.retention.unsettled() == []


def test_rules_that_changed_again_meanwhile_stay_unsettled(store):
    store.tenants.put(tenant(Tier.PRO))
    [changed] = store.retention.unsettled()
    store.tenants.put(tenant(keep_days=3))

    assert not store.retention.settled_all(changed)
    assert store.retention.unsettled() == [tenant(keep_days=3)]


def test_what_does_not_change_how_long_it_is_kept_unsettles_nobody(store):
    store.tenants.put(tenant(max_seconds=5, max_extension_days=7))

    assert store.retention.unsettled() == []


def test_anybody_can_be_unsettled(store):
    store.retention.unsettle("acme")
    store.retention.unsettle("nobody")

    assert [one.id for one in store.retention.unsettled()] == ["acme"]


def test_the_time_is_never_later_than_our_clock(store):
    """Whoever erases by it is late where the clock is."""
    late = store.retention.time(NOW)

    assert late.earliest == NOW
    assert late.earliest <= late.latest
