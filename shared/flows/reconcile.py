"""tick -> take back dead leases -> queue deferred -> let old letters lapse -> drain the
outbox -> ring -> hear uploads nobody recorded -> remove results nobody points to."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.domain.attempts import LETTERS_KEPT_DAYS
from shared.domain.lanes import Lane
from shared.domain.messages import ticket
from shared.domain.names import recording_id
from shared.domain.placement import place
from shared.domain.recording import Kept, Ledger, Message, Placement, Recording, UploadedObject
from shared.domain.states import State
from shared.domain.tenants import Tenant, Tier
from shared.errors import BrokerUnavailable, NotFound
from shared.flows.daily import Daily, Mark
from shared.flows.intake import Intake
from shared.flows.publish import PublishOutbox
from shared.ports import (
    Arrivals,
    Bookmarks,
    Clock,
    Jobs,
    Publisher,
    Recordings,
    Results,
    Tenants,
    Uploads,
)

log = logging.getLogger("earwitness.reconcile")

#: The most of each that one tick looks at, so that a tick is over before the next: leases,
#: deferred recordings and letters; messages; tickets (more would only be acked by workers
#: that find nothing); arrivals. Of uploads and of folders of results it is one `page`.
MOST, MOST_MESSAGES, MOST_RINGS, MOST_ARRIVALS = 500, 5_000, 64, 500
#: An upload this young is still on its first way to intake.
GRACE = timedelta(seconds=60)
#: One this young is left to its arrival, which tells of it sooner than the day's listing.
LISTING_GRACE = timedelta(minutes=10)
#: Results this young may belong to an attempt whose commit is on its way.
RESULTS_GRACE = timedelta(days=1)
LETTERS_KEPT = timedelta(days=LETTERS_KEPT_DAYS)


@dataclass(frozen=True, slots=True)
class Reconcile:
    """What went missing between two commits is found here, whatever it was.

    Safe to repeat, and safe beside itself: every finding is mended by a conditional commit
    that counts it for one of two callers, and a ticket too many is harmless.
    """

    tenants: Tenants
    recordings: Recordings
    jobs: Jobs
    uploads: Uploads
    arrivals: Arrivals
    results: Results
    bookmarks: Bookmarks
    publisher: Publisher
    publish: PublishOutbox
    intake: Intake
    now: Clock
    patience_s: float = 60.0  #: after so long without a ring, a ready job is rung for
    page: int = 500  #: uploads, and folders of results, looked at in a tick

    def __call__(self) -> Counter[str]:
        """Mend once; returns how often each finding was made, and says so in one line.

        Raises:
            StoreUnavailable, BrokerUnavailable: the next tick goes on.
        """
        now, found = self.now(), Counter[str]()
        try:
            self._mend(now, found)
        finally:
            if found := +found:
                said = ", ".join(f"{what} {n}" for what, n in sorted(found.items()))
                log.info("reconciled: %s", said, extra={"found": dict(found)})
        return found

    def _mend(self, now: datetime, found: Counter[str]) -> None:
        # What waits for a worker first: it is cheap, and trouble further down costs it nothing.
        found["leases_run_out"] += self.jobs.take_back(now, limit=MOST)
        found["deferred_due"] += self.jobs.undefer(now, self._place_again, MOST)
        found["letters_lapsed"] += self.jobs.lapse(now - LETTERS_KEPT, now, MOST)
        found["outbox_drained"] += self.publish(most=MOST_MESSAGES)
        self._ring(now, found)
        self._arrivals(now, found)
        self._daily("uploads")(now, lambda after: self._uploads(now, after, found))
        self._daily("results")(now, lambda after: self._results(now, after, found))

    def _daily(self, what: str) -> Daily:
        return Daily(self.bookmarks, f"reconcile/{what}")

    def _ring(self, now: datetime, found: Counter[str]) -> None:
        # Marked before rung: a ring lost in between is rung again once patience is over.
        for lane, times in self.jobs.unrung(self.patience_s, now, MOST_RINGS).items():
            found[f"jobs_unrung_{lane}"] += times
            if times:
                self.publisher.publish([_ring(lane, n, now) for n in range(times)])

    def _arrivals(self, now: datetime, found: Counter[str]) -> None:
        arrived = self.arrivals.pull(now, MOST_ARRIVALS)
        # The young ones are not acknowledged, so they come again when they are older.
        grown = [a for a in arrived if now - a.upload.created_at >= GRACE]
        self._account([a.upload for a in grown], found)
        # Acknowledged last: what a crash leaves comes again and is known by then.
        self.arrivals.ack(grown)

    def _uploads(self, now: datetime, after: Mark | None, found: Counter[str]) -> Mark | None:
        page = self.uploads.page((str(after[0]), int(after[1])) if after else None, self.page)
        old = [upload for upload in page if now - upload.created_at >= LISTING_GRACE]
        self._account(old, found)
        return [page[-1].name, page[-1].generation] if page else None

    def _account(self, uploads: Sequence[UploadedObject], found: Counter[str]) -> None:
        """See that each upload has its recording; an erased one's is its tombstone."""
        ids = [recording_id(u.bucket, u.name, u.generation) for u in uploads]
        known = self.recordings.many(ids) if ids else {}
        for id, upload in zip(ids, uploads, strict=True):
            if id not in known:
                self._record(id, upload, found)
            elif known[id].state is State.ERASED:
                found["uploads_tombstoned"] += 1

    def _record(self, id: str, upload: UploadedObject, found: Counter[str]) -> None:
        try:
            self.intake(upload)
        except NotFound:
            found["uploads_gone"] += 1
            return
        except BrokerUnavailable:
            # Recorded all the same; its ticket waits in the outbox.
            found["uploads_unrecorded"] += 1
            raise
        found["uploads_unrecorded"] += 1
        log.warning("an upload nobody had recorded", extra={"recording_id": id})

    def _results(self, now: datetime, after: Mark | None, found: Counter[str]) -> Mark | None:
        page = self.results.folders(str(after[0]) if after else None, self.page)
        old = [kept for kept in page if now - kept.saved_at >= RESULTS_GRACE]
        known = self.recordings.many(sorted({_owner(kept) for kept in old})) if old else {}
        for kept in old:
            self._weigh(kept, known.get(_owner(kept)), found)
        return [page[-1].folder] if page else None

    def _weigh(self, kept: Kept, owner: Recording | None, found: Counter[str]) -> None:
        """Remove results that no commit can point to any more.

        While nobody works on the recording, every token given out so far is stale, so only
        the pointer it has counts. Results of an unknown recording are said and left: a
        service that was pointed at the wrong store must not empty the bucket.
        """
        if owner is None:
            found["results_unknown"] += 1
        elif owner.state is not State.PROCESSING and owner.result != kept.folder:
            self.results.remove(kept.folder)
            found["results_removed"] += 1
            log.info("results nobody points to were removed", extra={"recording_id": owner.id})

    def _place_again(self, recording: Recording, ledger: Ledger) -> Placement:
        now = self.now()
        tenant = self.tenants.get(recording.tenant) or Tenant(recording.tenant, Tier.FREE, now)
        placed = place(recording, tenant, ledger, now, promised=True)
        if not recording.attempts:
            return placed
        # Its work was put off, not its admission: that day has been charged for it already.
        return replace(placed, deferred_until=None, over=None, ledger=ledger)


def _ring(lane: Lane, number: int, now: datetime) -> Message:
    return ticket(f"reconcile/{now.isoformat()}", lane, number)


def _owner(kept: Kept) -> str:
    return kept.folder.split("/")[2]
