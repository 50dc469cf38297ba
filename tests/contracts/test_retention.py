"""How long recordings are kept: what is asked for by index, and each commit that changes it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.domain.erasures import Cause, Part, of_recording
from shared.domain.lanes import Lane
from shared.domain.recording import Archived, Failure, Hold, Outcome, Topic
from shared.domain.retention import ANNOUNCED_AHEAD
from shared.domain.states import State
from shared.domain.tenants import Tier
from shared.domain.timekeeping import Times
from shared.errors import ExtensionRefused, NotFound
from tests.builders import NOW, placed, recording, tenant
from tests.contracts.patience import at_once

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

    at_once(8, lambda _: store.retention.settle(known, FREE, at(END)), range(8))

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


def heard(store, number=1, compress_at=None, **changes):
    """A recording that was heard, which is to be compressed then."""
    id = kept(store, number, kept_until=NOW + 365 * DAY, **changes)
    lease = store.jobs.lease_next([Lane.LOW], "w", NOW, 60)
    assert lease.recording.id == id
    outcome = Outcome("results/x", 1.0, None, None, False, compress_at=compress_at)
    return store.jobs.complete(lease, outcome, [], NOW).id


def flac(number=1):
    return Archived(f"archive/acme/rec{number:05d}/token.flac", 7, 600, NOW)


def is_archived(known):
    return replace(known, archived=flac(), compress_at=None, clear_at=NOW + DAY)


def test_what_is_to_be_compressed_is_found_soonest_first(store):
    heard(store, 1, compress_at=NOW + 2 * DAY)
    heard(store, 2, compress_at=NOW + DAY)
    heard(store, 3, compress_at=NOW + 3 * DAY)
    heard(store, 4)

    found = store.retention.compressible(NOW + 2 * DAY)

    assert ids(found) == ["rec00002", "rec00001"]
    assert found[0].compress_at == NOW + DAY
    assert ids(store.retention.compressible(NOW + 9 * DAY, 1)) == ["rec00002"]
    assert store.retention.compressible(NOW + DAY - timedelta(microseconds=1)) == []
    assert store.retention.clearable(NOW + 9 * DAY) == []


@pytest.mark.parametrize("kind", ["compressible", "clearable"])
def test_what_is_held_or_erased_is_neither_compressed_nor_cleared(store, kind):
    known = heard(store, compress_at=NOW)
    if kind == "clearable":
        store.retention.decide(known, is_archived, "archive", NOW)
    due = getattr(store.retention, kind)
    seen = [ids(due(NOW + DAY))]

    store.retention.hold(known, HOLD)
    seen.append(ids(due(NOW + DAY)))
    store.retention.release(known, "cli", NOW)
    seen.append(ids(due(NOW + DAY)))
    store.erasures.ask(known, lambda it: of_recording(it, Cause.REQUEST, "cli", NOW))
    seen.append(ids(due(NOW + DAY)))

    assert seen == [[known], [], [known], []]


def test_what_was_held_while_it_was_heard_is_not_compressed(store):
    known = kept(store, kept_until=NOW + 365 * DAY)
    lease = store.jobs.lease_next([Lane.LOW], "w", NOW, 60)
    store.retention.hold(known, HOLD)
    outcome = Outcome("results/x", 1.0, None, None, False, compress_at=NOW)
    store.jobs.complete(lease, outcome, [], NOW)

    held = store.retention.compressible(NOW)
    store.retention.release(known, "cli", NOW)

    assert (held, ids(store.retention.compressible(NOW))) == ([], [known])


def test_a_form_that_is_decided_comes_back_with_a_line_of_history(store):
    known = heard(store, compress_at=NOW)

    made = store.retention.decide(known, is_archived, "archive", NOW + DAY)

    assert made == store.recordings.get(known)
    assert (made.archived, made.clear_at, made.compress_at) == (flac(), NOW + DAY, None)
    assert ids(store.retention.clearable(NOW + DAY)) == [known]
    line = last_line(store, known)
    assert (line.actor, line.at, line.state) == ("archive", NOW + DAY, State.DONE)
    assert line.reason == "archived: compressed without loss to 600 of 1,000 bytes"


def test_a_claim_is_kept_without_a_line(store):
    known = heard(store, compress_at=NOW)
    before = store.recordings.history(known)

    store.retention.decide(known, lambda it: replace(it, compress_at=NOW + DAY), "archive", NOW)

    assert store.recordings.history(known) == before
    assert store.retention.compressible(NOW) == []
    assert ids(store.retention.compressible(NOW + DAY)) == [known]


def test_where_nothing_is_decided_nothing_is_written(store):
    known = heard(store, compress_at=NOW)
    before = store.recordings.get(known), store.recordings.history(known)

    store.retention.decide(known, lambda it: it, "archive", NOW + DAY)

    assert (store.recordings.get(known), store.recordings.history(known)) == before


def test_nothing_is_decided_about_what_is_not_there(store):
    with pytest.raises(NotFound):
        store.retention.decide("nobody", lambda it: it, "archive", NOW)


def test_archived_recordings_of_an_object_are_known_by_its_name(store):
    known, _ = heard(store, 1, compress_at=NOW), heard(store, 2, compress_at=NOW)
    name = store.recordings.get(known).name
    before = store.retention.archived_as(name)

    store.retention.decide(known, is_archived, "archive", NOW)

    assert (before, store.retention.archived_as(name)) == ([], [known])
    store.erasures.ask(known, lambda it: of_recording(it, Cause.REQUEST, "cli", NOW))
    [erasure] = store.erasures.running()
    store.erasures.forget(Part.METADATA, erasure)
    assert store.retention.archived_as(name) == store.retention.archived_as("") == []
    assert store.recordings.get(known).archived is None


def test_of_many_that_claim_at_once_one_has_it(store):
    known, won = heard(store, compress_at=NOW), []

    def claim(n):
        mine = False

        def made(it):
            nonlocal mine
            mine = it.compress_at == NOW
            return replace(it, compress_at=NOW + DAY) if mine else it

        store.retention.decide(known, made, f"w{n}", NOW)
        won.append(mine)

    at_once(8, claim, range(8))

    assert sum(won) == 1
