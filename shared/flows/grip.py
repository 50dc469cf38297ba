"""lease -> [extend in time]* -> let go: a job is held for as long as somebody works on it."""

from dataclasses import replace

from shared.domain.recording import Lease
from shared.ports import Clock, Jobs


class Grip:
    """Holds a lease and extends it in time, called wherever work goes on."""

    def __init__(self, jobs: Jobs, lease: Lease, now: Clock, lease_s: float) -> None:
        self._jobs, self.lease, self._now, self._lease_s = jobs, lease, now, lease_s

    def keep(self) -> None:
        """Extend once half the lease is used.

        Raises:
            StaleLease: somebody else has the job; stop working on it.
        """
        now = self._now()
        if (self.lease.until - now).total_seconds() < self._lease_s / 2:
            extended = self._jobs.extend(self.lease, now, self._lease_s)
            self.lease = replace(self.lease, until=extended.until)
