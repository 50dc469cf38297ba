"""tick -> settle whose rules have changed -> announce what ends soon -> erase what is due ->
finish erasures -> sweep tombstones and temporary files -> the archive."""

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Protocol

from shared.domain.moments import from_us, to_us
from shared.domain.recording import Recording
from shared.domain.retention import ANNOUNCED_AHEAD, expires, settled
from shared.domain.retention import walk as walk_of
from shared.domain.tenants import Rules, Tenant, Tier
from shared.domain.timekeeping import Times
from shared.errors import EarwitnessError
from shared.logs import about, say
from shared.ports import Bookmarks, Clock, Erasures, Retention, Sweeper, Tenants

log = logging.getLogger("earwitness.retire")

#: The most of each that one tick looks at, so that it is over before the next; and at a time.
MOST, PAGE = 500, 100
#: Unfinished erasures of one tick.
MOST_RESUMED = 100
#: How long a recording may be on its way through intake under rules that were just replaced.
ON_ITS_WAY = timedelta(minutes=10)
#: Temporary files die at this age (issue 7, point 2).
TEMPORARY = timedelta(hours=24)
#: Noted once every tenant's recordings are to be settled: those from before there was retention.
BEGAN = "retention/began"


class Erasing(Protocol):
    """What erases; `shared.flows.erase` is it. It decides again in its own first commit."""

    def expire(self, recording_id: str, now: datetime) -> object | None: ...

    def resume(self, now: datetime, limit: int) -> int: ...


#: The archive's part of a tick; counts what it did. `shared.flows.shelves` is it.
Shelving = Callable[[datetime, Counter[str]], None]


@dataclass(frozen=True, slots=True)
class Due:
    """What the next tick would do."""

    ending: list[Recording]  #: announced then
    expiring: list[Recording]  #: erased then


@dataclass(frozen=True, slots=True)
class _Walk:
    """How far a tenant's recordings were settled, and under which rules."""

    rules: str
    began_us: int
    received_us: int = 0
    id: str = ""


@dataclass(frozen=True, slots=True)
class Retire:
    """Safe to repeat, and safe beside itself: each announcement and each erasure is one
    conditional commit that decides again, and how far a walk came is noted after it.

    A recording that fails holds up no other; it comes again with the next tick. Announcements
    lie in the outbox, which `reconcile` drains.
    """

    tenants: Tenants
    retention: Retention
    bookmarks: Bookmarks
    erasing: Erasing
    erasures: Erasures
    sweeper: Sweeper
    shelves: Shelving
    now: Clock

    def __call__(self, at: Times | None = None) -> Counter[str]:
        """Retire once; returns how much of each was done, and says so in one line.

        Args:
            at: for drills, another time than the store tells.

        Raises:
            StoreUnavailable: the next tick goes on.
        """
        times, found = at or self.retention.time(self.now()), Counter[str]()
        try:
            self._retire(times, found)
        finally:
            if found := +found:
                told = ", ".join(f"{what} {n}" for what, n in sorted(found.items()))
                log.info("retired: %s", told, extra={"found": dict(found)})
        return found

    def plan(self, at: Times | None = None, limit: int = MOST) -> Due:
        """What a tick would announce and erase, the soonest first; nothing is done."""
        times = at or self.retention.time(self.now())
        soon = times.earliest + ANNOUNCED_AHEAD
        near = self.retention.ending(soon, unannounced=True, limit=limit)
        due = self.retention.ending(times.earliest, limit=limit)
        announced = [self._settled(one, times) for one in near]
        kept = [self._settled(one, times) for one in due]
        return Due(
            [one for one in announced if one.announced_at is not None],
            [one for one in kept if expires(one, times.earliest)],
        )

    def _settled(self, known: Recording, times: Times) -> Recording:
        return settled(known, self._rules(known.tenant), times)

    def _retire(self, times: Times, found: Counter[str]) -> None:
        # Rules first: what a higher tier keeps longer is neither announced nor erased.
        found["recordings_settled"] += self._resettle(times)
        found["ends_announced"] += self._announce(times, found)
        found["recordings_expired"] += self._expire(times, found)
        found["erasures_resumed"] += self.erasing.resume(times.earliest, MOST_RESUMED)
        found["tombstones_swept"] += self.erasures.sweep(times.earliest, MOST)
        found["temporary_swept"] += self.sweeper.sweep(times.earliest - TEMPORARY)
        self.shelves(times.earliest, found)

    def _announce(self, times: Times, found: Counter[str]) -> int:
        soon = times.earliest + ANNOUNCED_AHEAD

        def announce(known: Recording) -> bool:
            after = self.retention.settle(known.id, self._rules(known.tenant), times)
            return after is not None and after.announced_at not in (None, known.announced_at)

        return self._each(soon, announce, found, unannounced=True)

    def _expire(self, times: Times, found: Counter[str]) -> int:
        now = times.earliest

        def expire(known: Recording) -> bool:
            # Under the rules of this moment: the walk may not have come here yet.
            after = self.retention.settle(known.id, self._rules(known.tenant), times)
            if after is None or not expires(after, now):
                return False
            return self.erasing.expire(known.id, now) is not None

        return self._each(now, expire, found)

    def _each(
        self,
        by: datetime,
        do: Callable[[Recording], bool],
        found: Counter[str],
        *,
        unannounced: bool = False,
    ) -> int:
        """Do it with each that ends by then; with how many it was done."""
        done = 0
        for known in self._ending(by, unannounced=unannounced):
            with about(known.id):
                try:
                    done += do(known)
                except EarwitnessError as error:
                    found["failed"] += 1
                    say(log, error, recording_id=known.id)
        return done

    def _ending(self, by: datetime, *, unannounced: bool) -> Iterator[Recording]:
        """At most MOST, paged by the index."""
        after: tuple[datetime, str] | None = None
        for _ in range(MOST // PAGE):
            page = self.retention.ending(by, unannounced=unannounced, after=after, limit=PAGE)
            yield from page
            if len(page) < PAGE:
                return
            after = page[-1].kept_until, page[-1].id

    def _resettle(self, times: Times) -> int:
        if self.bookmarks.get(BEGAN) is None:
            for tenant in self.tenants.all():
                self.retention.unsettle(tenant.id)
            self.bookmarks.move(BEGAN, None, times.latest.isoformat())
        looked_at = 0
        for tenant in self.retention.unsettled():
            while looked_at < MOST and (looked := self._walk(tenant, times)):
                looked_at += looked
        return looked_at

    def _walk(self, tenant: Tenant, times: Times) -> int:
        """Settle the next page of a tenant's recordings; 0 at the end, or if it must wait."""
        name, seen = walk_of(tenant.id), self.bookmarks.get(walk_of(tenant.id))
        rules = f"{tenant.rules.keep_days}/{tenant.rules.keep_months}"
        walk = _Walk(**json.loads(seen)) if seen else _Walk("", 0)
        if walk.rules != rules:
            walk = _Walk(rules, to_us(times.latest))
        page = self.retention.received(
            tenant.id, (from_us(walk.received_us), walk.id) if walk.id else None, PAGE
        )
        for known in page:
            self.retention.settle(known.id, tenant.rules, times)
        # Not past those that may still come in before what was seen.
        old = [r for r in page if r.received_at <= times.earliest - ON_ITS_WAY]
        last = old[-1] if old else None
        went = _Walk(rules, walk.began_us, to_us(last.received_at), last.id) if last else walk
        if (note := json.dumps(asdict(went))) != seen:
            self.bookmarks.move(name, seen, note)
        if len(page) < PAGE and times.earliest >= from_us(walk.began_us) + ON_ITS_WAY:
            self.retention.settled_all(tenant)
        return len(page) if len(old) == PAGE else 0

    def _rules(self, tenant: str) -> Rules:
        # Who is unknown is kept as intake keeps it.
        known = self.tenants.get(tenant)
        return (known or Tenant(tenant, Tier.FREE, self.now())).rules
