from dataclasses import replace
from datetime import timedelta

import pytest

from shared.domain.webhooks import (
    MOST_ATTEMPTS,
    SCHEDULE_S,
    Attempt,
    Delivered,
    Fault,
    Reply,
    delivery,
)
from shared.errors import NotFound
from tests.builders import NOW, happening, webhook
from tests.contracts.patience import at_once

LATER = NOW + timedelta(hours=1)
OK, BROKEN = Reply(204), Reply(503)
LEASE_S = 60.0


def laid(store, n=1, hook=None, **changes):
    """A delivery that is due."""
    made = delivery(hook or webhook(), happening(n), NOW, 0.0)
    made = replace(made, **changes)
    assert store.deliveries.enqueue(made)
    return made


# --- webhooks -------------------------------------------------------------------------------------


def test_a_webhook_is_as_it_was_added_or_none(store):
    made = webhook(types=("recording.dead", "recording.done"))

    assert store.webhooks.add(made) is True

    assert store.webhooks.get(made.id) == made
    assert [store.webhooks.get(id) for id in ("wh_none", "", "a/b")] == [None] * 3


def test_the_first_of_an_id_is_kept(store):
    store.webhooks.add(webhook())

    assert store.webhooks.add(webhook(tenant="other")) is False
    assert store.webhooks.get(webhook().id) == webhook()


def test_all_are_the_newest_first_of_one_tenant_or_of_all(store):
    new, same = webhook(1, made_at=LATER), webhook(2, made_at=LATER)
    old, other = webhook(3, disabled_at=NOW), webhook(4, tenant="other")
    for one in (old, same, other, new):
        store.webhooks.add(one)

    assert store.webhooks.all() == [new, same, old, other]
    assert store.webhooks.all("acme") == [new, same, old]
    assert store.webhooks.all("nobody") == []


def test_removing_takes_the_deliveries_along_and_no_others(store):
    gone, left = webhook(1), webhook(2)
    for one in (gone, left):
        store.webhooks.add(one)
    for n in (1, 2):
        laid(store, n, gone)
    kept = laid(store, 1, left)

    for _ in range(2):
        store.webhooks.remove(gone.id)

    assert store.webhooks.all() == [left]
    assert store.deliveries.page(tenant="acme") == [kept]


def test_disabling_twice_keeps_the_first_time(store):
    store.webhooks.add(webhook())

    for at in (NOW, LATER):
        store.webhooks.disable(webhook().id, at)
        store.webhooks.disable("wh_none", at)

    assert store.webhooks.all() == [webhook(disabled_at=NOW)]


def test_a_new_secret_takes_over_and_the_old_one_goes_along(store):
    store.webhooks.add(webhook())

    told = store.webhooks.rotate(webhook().id, "whsec_new", LATER)

    wanted = webhook(secret="whsec_new", old_secret=webhook().secret, old_until=LATER)
    assert told == store.webhooks.get(webhook().id) == wanted
    with pytest.raises(NotFound):
        store.webhooks.rotate("wh_none", "whsec_new", LATER)


def test_failing_remembers_since_when_until_it_ends(store):
    store.webhooks.add(webhook())

    seen = []
    for since in (NOW, LATER, None, None, LATER):
        store.webhooks.failing(webhook().id, since)
        store.webhooks.failing("wh_none", since)
        seen.append(store.webhooks.get(webhook().id).failing_since)

    assert seen == [NOW, NOW, None, None, LATER]
    assert store.webhooks.get("wh_none") is None


# --- deliveries -----------------------------------------------------------------------------------


def test_a_delivery_is_as_it_was_enqueued_or_none(store):
    made = laid(store)

    assert store.deliveries.get(made.webhook_id, made.event_id) == made
    assert store.deliveries.get(made.webhook_id, "another") is None
    assert store.deliveries.get("", "a/b") is None


def test_an_event_is_enqueued_once_for_each_webhook(store):
    made = laid(store)

    assert store.deliveries.enqueue(replace(made, body="another")) is False
    assert store.deliveries.enqueue(replace(made, webhook_id="wh_other")) is True
    assert store.deliveries.get(made.webhook_id, made.event_id) == made


def test_of_concurrent_enqueuers_one_is_told_so(store):
    made = delivery(webhook(), happening(), NOW, 0.0)

    told = at_once(4, lambda _: store.deliveries.enqueue(made), range(4))

    assert sorted(told) == [False, False, False, True]


def test_what_is_due_longest_is_leased_first_and_no_more_than_asked(store):
    late, early = laid(store, 1, next_at=NOW), laid(store, 2, next_at=NOW - timedelta(seconds=9))
    laid(store, 3, next_at=NOW + timedelta(microseconds=1))

    first = store.deliveries.lease(NOW, LEASE_S, limit=1)
    rest = store.deliveries.lease(NOW, LEASE_S)

    until = NOW + timedelta(seconds=LEASE_S)
    assert first == [replace(early, next_at=until)]
    assert rest == [replace(late, next_at=until)]
    assert store.deliveries.lease(NOW, LEASE_S) == []


def test_a_lease_that_ran_out_is_given_anew(store):
    laid(store)
    store.deliveries.lease(NOW, LEASE_S)

    over = NOW + timedelta(seconds=LEASE_S)
    again = store.deliveries.lease(over, LEASE_S)

    assert [one.next_at for one in again] == [over + timedelta(seconds=LEASE_S)]


def test_concurrent_callers_lease_different_deliveries(store):
    for n in range(8):
        laid(store, n)

    shares = at_once(4, lambda _: store.deliveries.lease(NOW, LEASE_S), range(4))
    leased = [one for many in shares for one in many]

    assert len({one.event_id for one in leased}) == len(leased) == 8


def test_an_attempt_that_failed_is_logged_and_the_next_one_planned(store):
    laid(store)
    [leased] = store.deliveries.lease(NOW, LEASE_S)

    kept = store.deliveries.record(leased, Reply(fault=Fault.TIMED_OUT), NOW, 0.0)

    assert kept == store.deliveries.get(leased.webhook_id, leased.event_id)
    assert kept.attempts == (Attempt(NOW, None, Fault.TIMED_OUT),)
    assert (kept.state, kept.next_at) == (
        Delivered.WAITING,
        NOW + timedelta(seconds=SCHEDULE_S[1]),
    )
    assert (kept.body, kept.event_id) == (leased.body, leased.event_id)


def test_what_arrived_is_never_due_again(store):
    laid(store)
    [leased] = store.deliveries.lease(NOW, LEASE_S)

    kept = store.deliveries.record(leased, OK, NOW, 0.0)

    assert (kept.state, kept.next_at, kept.settled_at) == (Delivered.DELIVERED, None, NOW)
    assert store.deliveries.lease(NOW + timedelta(days=9), LEASE_S) == []


def test_under_a_lease_that_is_over_a_failure_is_only_logged(store):
    laid(store)
    [old] = store.deliveries.lease(NOW, LEASE_S)
    over = NOW + timedelta(seconds=LEASE_S)
    [held] = store.deliveries.lease(over, LEASE_S)

    kept = store.deliveries.record(old, BROKEN, over, 0.0)

    assert (kept.next_at, kept.tries) == (held.next_at, 0)
    assert kept.attempts == (Attempt(over, 503, None),)


def test_under_a_lease_that_is_over_a_success_counts(store):
    laid(store)
    [old] = store.deliveries.lease(NOW, LEASE_S)
    over = NOW + timedelta(seconds=LEASE_S)
    [held] = store.deliveries.lease(over, LEASE_S)

    store.deliveries.record(old, OK, over, 0.0)
    kept = store.deliveries.record(held, BROKEN, over, 0.0)

    assert kept.state is Delivered.DELIVERED
    assert [a.status for a in kept.attempts] == [204, 503]


def test_of_a_delivery_that_is_gone_nothing_is_kept(store):
    store.webhooks.add(webhook())
    laid(store)
    [leased] = store.deliveries.lease(NOW, LEASE_S)
    store.webhooks.remove(leased.webhook_id)

    assert store.deliveries.record(leased, OK, NOW, 0.0) is None
    assert store.deliveries.page(tenant="acme") == []


def test_the_last_attempt_of_the_schedule_fails_it_and_a_replay_begins_anew(store):
    made, now = laid(store), NOW
    for _ in SCHEDULE_S:
        [leased] = store.deliveries.lease(now, LEASE_S)
        kept = store.deliveries.record(leased, BROKEN, now, 0.0)
        now = kept.next_at or now
    assert (kept.state, kept.settled_at, kept.tries) == (Delivered.FAILED, now, len(SCHEDULE_S))

    again = store.deliveries.replay(made.webhook_id, made.event_id, LATER)

    assert (again.state, again.next_at, again.tries) == (Delivered.WAITING, LATER, 0)
    assert (again.body, again.event_id) == (made.body, made.event_id)
    assert len(again.attempts) == len(SCHEDULE_S)
    assert [one.event_id for one in store.deliveries.lease(LATER, LEASE_S)] == [made.event_id]


def test_the_log_of_one_delivery_is_bounded(store):
    laid(store)
    [leased] = store.deliveries.lease(NOW, LEASE_S)
    for n in range(MOST_ATTEMPTS + 1):
        store.deliveries.record(leased, Reply(500 + n), NOW, 0.0)

    kept = store.deliveries.get(leased.webhook_id, leased.event_id)

    assert [a.status for a in kept.attempts] == [501 + n for n in range(MOST_ATTEMPTS)]


@pytest.mark.parametrize("names", [("wh_none", "e"), ("", "a/b")])
def test_what_is_not_there_cannot_be_replayed(store, names):
    with pytest.raises(NotFound):
        store.deliveries.replay(*names, NOW)


def test_what_was_postponed_is_due_then_with_no_attempt(store):
    laid(store)
    [leased] = store.deliveries.lease(NOW, LEASE_S)

    store.deliveries.postpone(leased, LATER)

    kept = store.deliveries.get(leased.webhook_id, leased.event_id)
    assert (kept.next_at, kept.tries, kept.attempts) == (LATER, 0, ())


def test_a_lease_that_is_over_postpones_nothing(store):
    laid(store)
    [leased] = store.deliveries.lease(NOW, LEASE_S)
    kept = store.deliveries.record(leased, OK, NOW, 0.0)

    store.deliveries.postpone(leased, LATER)

    assert store.deliveries.get(leased.webhook_id, leased.event_id) == kept


def test_pages_are_the_newest_first_of_a_webhook_or_a_tenant_and_of_a_state(store):
    one, two, theirs = webhook(1), webhook(2), webhook(3, tenant="other")
    made = [laid(store, n, one, made_at=NOW + timedelta(seconds=n // 2)) for n in range(5)]
    failed = laid(store, 9, one, state=Delivered.FAILED, next_at=None, settled_at=NOW)
    beside, foreign = laid(store, 0, two), laid(store, 0, theirs)

    def paged(**which):
        found, before = [], None
        while page := store.deliveries.page(**which, before=before, limit=2):
            found += page
            before = (page[-1].made_at, page[-1].event_id, page[-1].webhook_id)
        return found

    newest = sorted([*made, failed], key=lambda d: (d.made_at, d.event_id), reverse=True)
    assert paged(webhook_id=one.id) == newest
    assert paged(webhook_id=one.id, state=Delivered.FAILED) == [failed]
    ours = sorted([*newest, beside], key=lambda d: (d.made_at, d.event_id, d.webhook_id))
    assert paged(tenant="acme") == ours[::-1]
    assert paged(tenant="other") == [foreign]
    assert paged(tenant="acme", state=Delivered.DELIVERED) == []


def test_what_was_settled_long_ago_lapses_and_nothing_else(store):
    settled = {"state": Delivered.DELIVERED, "next_at": None}
    old = [laid(store, n, settled_at=NOW - timedelta(seconds=1), **settled) for n in range(3)]
    young = laid(store, 8, settled_at=NOW, **settled)
    waiting = laid(store, 9, made_at=NOW - timedelta(days=90))

    first, rest, none = (store.deliveries.lapse(NOW, limit=2) for _ in range(3))

    assert (first, rest, none) == (2, 1, 0)
    assert len(old) == 3
    assert store.deliveries.page(tenant="acme") == [young, waiting]
