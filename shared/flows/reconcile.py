"""tick -> take back dead leases -> queue deferred -> ring for what waits -> drain the outbox."""

from collections import Counter
from dataclasses import dataclass

from shared.domain.lanes import Lane
from shared.domain.messages import ticket
from shared.domain.placement import place
from shared.domain.recording import Ledger, Placement, Recording
from shared.domain.tenants import Tenant, Tier
from shared.flows.publish import PublishOutbox
from shared.ports import Clock, Jobs, Publisher, Tenants

#: Tickets rung a tick and lane. More would only be acked by workers that find nothing.
MOST_RINGS = 16


@dataclass(frozen=True, slots=True)
class Reconcile:
    """What went missing between two commits is found here, whatever it was.

    Safe to repeat, and safe beside itself: every finding is mended by a conditional
    commit, and a ticket too many is harmless.
    """

    tenants: Tenants
    jobs: Jobs
    publisher: Publisher
    publish: PublishOutbox
    now: Clock

    def __call__(self) -> Counter[str]:
        """Mend once; returns how often each finding was made.

        Raises:
            StoreUnavailable, BrokerUnavailable: the next tick goes on.
        """
        now = self.now()
        found = Counter(
            leases_run_out=self.jobs.take_back(now),
            deferred_due=self.jobs.undefer(now, self._place_again),
            outbox_drained=self.publish(),
        )
        for lane, waiting in self.jobs.waiting(now).items():
            found[f"waiting_{lane}"] = waiting
            self._ring(lane, min(waiting, MOST_RINGS))
        return found

    def _ring(self, lane: Lane, times: int) -> None:
        if times:
            self.publisher.publish([ticket("reconcile", lane, n) for n in range(times)])

    def _place_again(self, recording: Recording, ledger: Ledger) -> Placement:
        now = self.now()
        tenant = self.tenants.get(recording.tenant) or Tenant(recording.tenant, Tier.FREE, now)
        return place(recording, tenant, ledger, now)
