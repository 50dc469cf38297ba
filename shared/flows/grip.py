"""lease -> [extend in time]* -> let go: a job is held for as long as somebody works on it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from shared.domain.recording import Lease
from shared.errors import StaleLease, TaskTimedOut
from shared.ports import Clock, Jobs


@dataclass(frozen=True, slots=True)
class Term:
    """How long a task may go on."""

    name: str  #: the task, as the profile calls it
    limit_s: float  #: in all, of which `until` is what is left
    until: datetime

    def over(self) -> TaskTimedOut:
        """What is said when it is over; no call was made after that, so nothing is owed."""
        told = f"The {self.limit_s:g} s that the tenant's profile gives `{self.name}` were over."
        return TaskTimedOut(told, charged=False)


class Grip:
    """Holds a lease and extends it in time, called wherever work goes on, in any thread."""

    def __init__(self, jobs: Jobs, lease: Lease, now: Clock, lease_s: float) -> None:
        self._jobs, self.lease, self._now, self._lease_s = jobs, lease, now, lease_s
        self._lock, self._of_thread = threading.Lock(), threading.local()
        self._left = False

    def keep(self) -> None:
        """Extend once half the lease is used.

        Raises:
            StaleLease: somebody else has the job, or nobody works on it any more; stop.
            TaskTimedOut: what this thread works on `within` has had its time.
        """
        if self._left:
            raise StaleLease
        now = self._now()
        with self._lock:
            if (self.lease.until - now).total_seconds() < self._lease_s / 2:
                extended = self._jobs.extend(self.lease, now, self._lease_s)
                self.lease = replace(self.lease, until=extended.until)
        term: Term | None = getattr(self._of_thread, "term", None)
        if term and now >= term.until:
            raise term.over()

    def leave(self) -> None:
        """Let every other thread that works on the job stop at its next `keep`."""
        self._left = True

    @contextmanager
    def within(self, term: Term | None) -> Iterator[None]:
        """What this thread does in here ends when the term is over; None: when it is done."""
        before = getattr(self._of_thread, "term", None)
        self._of_thread.term = term
        try:
            yield
        finally:
            self._of_thread.term = before
