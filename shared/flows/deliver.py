"""announced -> who wants to be told -> one delivery each -> attempt -> logged; and, by a tick,
what is due again -> attempt -> logged."""

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from shared.domain.webhooks import GONE, Delivery, Fault, Happening, Reply, Webhook, delivery
from shared.ports import Chance, Clock, Courier, Deliveries, Webhooks

log = logging.getLogger("earwitness.deliver")

T = TypeVar("T")
#: Endpoints that are asked at once by one process; each waits for somebody else's server.
AT_ONCE = 10
#: Deliveries leased at a time, and seconds that one endpoint's share of them may take before the
#: rest is put back: with the attempt that is under way then (20 s), well within the lease.
BATCH, SHARE_S, LEASE_S = 20, 30.0, 90.0
#: Seconds after which a tick takes no further batch: the next one comes in a minute.
TICK_S = 40.0
#: Seconds that the deliveries to an endpoint rest after one of them has failed.
REST_S = 30.0
#: How long the log keeps what was settled.
KEPT = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Deliver:
    """At least once: a delivery is made by a create-only commit and is due until it is settled.

    Safe to repeat, and safe beside itself: an event makes one delivery for each webhook however
    often it comes, and an attempt is made under a lease. Whoever is killed between an attempt and
    its log makes another; the receiver knows it by its id.

    A failing endpoint is asked by one delivery at a time while the others rest, and what is
    announced meanwhile is left to the tick: nobody's dead server holds up anybody else's news.
    """

    webhooks: Webhooks
    deliveries: Deliveries
    courier: Courier
    now: Clock
    chance: Chance

    def tell(self, event: Happening) -> Counter[str]:
        """Lay out the deliveries of one announcement and try them; returns how they went.

        Raises:
            StoreUnavailable: what was made is tried by a tick; repeating makes the rest.
        """
        wanted = [w for w in self.webhooks.all(event.tenant) if w.wants(event.type, event.at)]
        return _together(lambda webhook: self._first(webhook, event), wanted)

    def __call__(self) -> Counter[str]:
        """Try what is due, until nothing is or the tick is over; returns how it went.

        Raises:
            StoreUnavailable: the next tick goes on.
        """
        tick = _Tick(self.now())
        try:
            while leased := self.deliveries.lease(self.now(), LEASE_S, BATCH):
                shares = _by_webhook(leased)
                tick.found += _together(lambda share: self._share(share, tick), shares)
                if self.now() - tick.begun >= timedelta(seconds=TICK_S):
                    break
            tick.found["lapsed"] += self.deliveries.lapse(tick.begun - KEPT)
        finally:
            _say(tick.found)
        return +tick.found

    def _first(self, webhook: Webhook, event: Happening) -> Counter[str]:
        ready = webhook.failing_since is None
        made = delivery(webhook, event, self.now(), LEASE_S if ready else 0.0)
        if not self.deliveries.enqueue(made):
            return Counter()
        if not ready:
            return Counter(resting=1)
        return self._attempt(webhook, made)

    def _share(self, share: Sequence[Delivery], tick: "_Tick") -> Counter[str]:
        """What of a batch goes to one endpoint, one after the other until one fails."""
        webhook, found, begun = self.webhooks.get(share[0].webhook_id), Counter[str](), self.now()
        if webhook is None:
            self.webhooks.remove(share[0].webhook_id)  # it was removed between two commits
            return Counter(removed=len(share))
        for one in share:
            if webhook.disabled_at is not None:
                found["disabled"] += self._off(one)
            elif webhook.id in tick.resting:
                self.deliveries.postpone(one, self.now() + timedelta(seconds=REST_S))
                found["resting"] += 1
            elif self.now() - begun >= timedelta(seconds=SHARE_S):
                self.deliveries.postpone(one, self.now())
            else:
                went = self._attempt(webhook, one)
                found += went
                if not went["delivered"]:
                    tick.resting.add(webhook.id)
        return found

    def _off(self, one: Delivery) -> int:
        self.deliveries.record(one, Reply(fault=Fault.DISABLED), self.now(), 0.0)
        return 1

    def _attempt(self, webhook: Webhook, one: Delivery) -> Counter[str]:
        begun = self.now()
        reply = self.courier.send(webhook, one, begun)
        self.deliveries.record(one, reply, begun, self.chance())
        if reply.status == GONE:
            self.webhooks.disable(webhook.id, begun)
            log.warning("an endpoint answered 410: disabled", extra={"webhook_id": webhook.id})
        if reply.accepted == (webhook.failing_since is not None):
            self.webhooks.failing(webhook.id, None if reply.accepted else begun)
        return Counter(delivered=1) if reply.accepted else Counter({_went(reply): 1})


@dataclass(slots=True)
class _Tick:
    begun: datetime
    found: Counter[str] = field(default_factory=Counter)
    resting: set[str] = field(default_factory=set)  #: webhooks that failed in this tick


def _went(reply: Reply) -> str:
    return f"status_{reply.status}" if reply.status is not None else str(reply.fault)


def _by_webhook(leased: Sequence[Delivery]) -> list[list[Delivery]]:
    shares: dict[str, list[Delivery]] = defaultdict(list)
    for one in leased:
        shares[one.webhook_id].append(one)
    return list(shares.values())


def _together(do: Callable[[T], Counter[str]], parts: Sequence[T]) -> Counter[str]:
    """What all of it came to; each part in a thread of its own where there are several.

    Raises:
        whatever a part raised, once all of them are over.
    """
    if len(parts) <= 1:
        return sum(map(do, parts), Counter[str]())
    with ThreadPoolExecutor(min(AT_ONCE, len(parts)), "deliver") as pool:
        answers = [pool.submit(do, part) for part in parts]
    return sum((answer.result() for answer in answers), Counter[str]())


def _say(found: Counter[str]) -> None:
    if found := +found:
        said = ", ".join(f"{what} {n}" for what, n in sorted(found.items()))
        log.info("deliveries: %s", said, extra={"found": dict(found)})
