"""Announced once or more often, told at least once; and nobody's dead server is anybody else's."""

import threading
from datetime import timedelta

import pytest

from shared.adapters.embedded.sqlite_database import Database
from shared.adapters.embedded.sqlite_webhooks import SqliteDeliveries, SqliteWebhooks
from shared.domain.webhooks import SCHEDULE_S, Delivered, Fault, Reply
from shared.errors import StoreUnavailable
from shared.flows.deliver import AT_ONCE, BATCH, KEPT, LEASE_S, REST_S, Deliver
from tests.builders import NOW, happening, webhook

SECOND = timedelta(seconds=1)
OK, BROKEN, SILENT = Reply(204), Reply(503), Reply(fault=Fault.TIMED_OUT)


class Says:
    """A courier whose endpoints answer as they were told, each in its turn, then 204."""

    def __init__(self, **replies):
        self._replies = {id: list(said) for id, said in replies.items()}
        self.sent, self._lock = [], threading.Lock()

    def send(self, hook, delivery, now):
        with self._lock:
            self.sent.append((hook.id, delivery.event_id, now))
            said = self._replies.get(hook.id)
            return said.pop(0) if said else OK

    def events(self, hook):
        return [event_id for id, event_id, _ in self.sent if id == hook.id]


class Down(Says):
    """No endpoint answers."""

    def send(self, hook, delivery, now):
        super().send(hook, delivery, now)
        return SILENT


class Killed(Says):
    """The process dies after the first request was sent, before anything is kept of it."""

    def send(self, hook, delivery, now):
        reply = super().send(hook, delivery, now)
        if len(self.sent) == 1:
            raise KeyboardInterrupt
        return reply


class Hand:
    """A clock that somebody moves."""

    def __init__(self):
        self.at = NOW

    def __call__(self):
        return self.at


class World:
    def __init__(self, courier, *hooks):
        db = Database(":memory:")
        self.webhooks, self.deliveries = SqliteWebhooks(db), SqliteDeliveries(db)
        self.clock = Hand()
        for hook in hooks:
            self.webhooks.add(hook)
        self.by(courier)

    def by(self, courier):
        self.courier = courier
        self.deliver = Deliver(self.webhooks, self.deliveries, courier, self.clock, lambda: 0.0)

    def tell(self, *numbers, **changes):
        for n in numbers:
            self.deliver.tell(happening(n, **changes))

    def tick(self, after_s=0.0):
        self.clock.at += after_s * SECOND
        return self.deliver()

    def of(self, hook, n=1):
        return self.deliveries.get(hook.id, happening(n).event_id)


ONE, OTHER = webhook(1), webhook(2)


def test_what_is_announced_is_told_at_once_to_each_webhook_of_the_tenant():
    stranger, picky = webhook(3, tenant="other"), webhook(4, types=("recording.dead",))
    world = World(Says(), ONE, OTHER, stranger, picky)

    found = world.deliver.tell(happening())

    assert sorted(id for id, *_ in world.courier.sent) == [ONE.id, OTHER.id]
    assert found == {"delivered": 2}
    assert world.of(ONE).state is world.of(OTHER).state is Delivered.DELIVERED


def test_an_announcement_that_comes_again_tells_nobody_twice():
    world = World(Says(), ONE)

    world.tell(1, 1, 1)

    assert len(world.courier.sent) == 1


def test_what_failed_is_tried_by_the_ticks_of_its_schedule_until_it_arrives():
    world = World(Says(**{ONE.id: [BROKEN, SILENT]}), ONE)
    world.tell(1)

    early = world.tick(SCHEDULE_S[1] - 1)
    second, nothing, third = world.tick(1), world.tick(1), world.tick(SCHEDULE_S[2])

    assert (early, nothing) == ({}, {})
    assert (second, third) == ({"timed_out": 1}, {"delivered": 1})
    assert [a.status or a.fault for a in world.of(ONE).attempts] == [503, "timed_out", 204]
    assert len(set(world.courier.events(ONE))) == 1


def test_after_the_whole_schedule_it_is_failed_and_a_replay_arrives():
    world = World(Down(), ONE)
    world.tell(1)
    while world.of(ONE).state is Delivered.WAITING:
        world.tick(60)
    assert len(world.courier.sent) == len(SCHEDULE_S)

    world.by(Says())
    world.deliveries.replay(ONE.id, happening().event_id, world.clock.at)
    world.tick()

    kept = world.of(ONE)
    assert (kept.state, len(kept.attempts)) == (Delivered.DELIVERED, len(SCHEDULE_S) + 1)


def test_gone_disables_the_webhook_and_says_so(caplog):
    world = World(Says(**{ONE.id: [Reply(410)]}), ONE)

    world.tell(1, 2)

    assert world.webhooks.get(ONE.id).disabled_at == NOW
    assert len(world.courier.sent) == 1
    assert world.of(ONE).state is Delivered.FAILED
    assert world.of(ONE, 2) is None
    assert [r.webhook_id for r in caplog.records] == [ONE.id]


def test_what_waits_for_a_disabled_webhook_fails_without_being_sent():
    world = World(Says(**{ONE.id: [BROKEN]}), ONE)
    world.tell(1)
    world.webhooks.disable(ONE.id, NOW)

    world.tick(60)

    kept = world.of(ONE)
    assert (kept.state, kept.attempts[-1].fault) == (Delivered.FAILED, Fault.DISABLED)
    assert len(world.courier.sent) == 1


def test_what_was_enqueued_while_its_webhook_was_removed_goes():
    world = World(Down(), ONE)
    world.tell(1)
    left = world.of(ONE)
    world.webhooks.remove(ONE.id)
    world.deliveries.enqueue(left)

    found = world.tick(LEASE_S)

    assert found == {"removed": 1}
    assert world.deliveries.page(tenant="acme") == []


def test_one_that_is_killed_after_its_request_sends_it_again_with_the_same_id():
    world = World(Killed(), ONE)
    with pytest.raises(KeyboardInterrupt):
        world.tell(1)
    assert world.of(ONE).attempts == ()

    nothing, again = world.tick(LEASE_S - 1), world.tick(1)

    assert (nothing, again) == ({}, {"delivered": 1})
    assert world.courier.events(ONE) == [happening().event_id] * 2


class NoneKept(SqliteDeliveries):
    """A store that goes away while its answer is awaited."""

    def record(self, *_):
        raise StoreUnavailable


def test_an_attempt_that_could_not_be_kept_is_made_again():
    world = World(Says(), ONE)
    db = world.deliveries._db
    broken = Deliver(world.webhooks, NoneKept(db), world.courier, world.clock, lambda: 0.0)
    with pytest.raises(StoreUnavailable):
        broken.tell(happening())

    broken_again = world.tick(LEASE_S)

    assert broken_again == {"delivered": 1}
    assert len(world.courier.sent) == 2


def test_what_is_announced_while_an_endpoint_fails_waits_for_the_tick():
    """Its news must not stand in the way of everybody else's."""
    world = World(Says(**{ONE.id: [SILENT]}), ONE, OTHER)

    world.tell(1, 2, 3)

    assert world.courier.events(ONE) == [happening(1).event_id]
    assert len(world.courier.events(OTHER)) == 3
    assert world.webhooks.get(ONE.id).failing_since == NOW
    assert world.webhooks.get(OTHER.id).failing_since is None


def test_a_failing_endpoint_is_asked_once_a_tick_however_much_waits():
    world = World(Down(), ONE)
    world.tell(*range(3 * BATCH))
    world.courier.sent.clear()

    found = world.tick(1)

    assert len(world.courier.sent) == 1
    assert found == {"timed_out": 1, "resting": 3 * BATCH - 2}
    assert world.tick(1) == {}  # they rest


def test_an_endpoint_that_is_back_gets_all_that_waited():
    world = World(Down(), ONE)
    world.tell(*range(3 * BATCH))
    world.tick(1)
    world.by(Says())

    for _ in range(3):
        world.tick(REST_S)
    world.tick(SCHEDULE_S[2])

    assert {d.state for d in world.deliveries.page(tenant="acme", limit=999)} == {
        Delivered.DELIVERED
    }
    assert world.webhooks.get(ONE.id).failing_since is None


class Slow(Says):
    """Each answer takes a while of the clock."""

    def __init__(self, clock, takes_s):
        super().__init__()
        self._clock, self._takes = clock, takes_s * SECOND

    def send(self, hook, delivery, now):
        self._clock.at += self._takes
        return super().send(hook, delivery, now)


def test_a_slow_endpoint_is_left_before_its_leases_run_out():
    world = World(Down(), ONE)
    world.tell(*range(BATCH))
    world.clock.at += SECOND * REST_S
    world.webhooks.failing(ONE.id, None)
    world.by(Slow(world.clock, 15.0))

    world.tick()

    began = [now for *_, now in world.courier.sent]
    assert len(began) == len(set(world.courier.events(ONE)))
    assert max(began) - min(began) < LEASE_S * SECOND
    assert 0 < len(began) < BATCH


def test_many_endpoints_are_asked_at_once():
    together = threading.Barrier(AT_ONCE, timeout=300.0)

    class Meets(Says):
        def send(self, hook, delivery, now):
            together.wait()  # broken, and so an error, if they come one after the other
            return super().send(hook, delivery, now)

    world = World(Meets(), *(webhook(n) for n in range(AT_ONCE)))

    assert world.deliver.tell(happening()) == {"delivered": AT_ONCE}


def test_what_was_settled_long_ago_is_forgotten():
    world = World(Says(), ONE)
    world.tell(1)

    kept, gone = world.tick(KEPT.total_seconds()), world.tick(1)

    assert (kept, gone) == ({}, {"lapsed": 1})
    assert world.of(ONE) is None


def test_a_tick_says_in_one_line_what_it_did_and_no_address(caplog):
    caplog.set_level("INFO")
    world = World(Says(**{ONE.id: [BROKEN]}), ONE)
    world.tell(1)
    world.tick(60)
    world.tick(60)

    assert [r.getMessage() for r in caplog.records] == ["deliveries: delivered 1"]
