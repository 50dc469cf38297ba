"""instances: what each hears a second -> a note; intake: the note and what waits -> backlog."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from threading import Lock

from shared.domain.lanes import Lane
from shared.domain.overload import Backlog
from shared.ports import Bookmarks, Clock, Jobs

NOTE = "load/heard"
#: Seconds between two reports of an instance, and after which one is over: it has ended.
REPORT_EVERY_S, REPORT_LASTS_S = 60.0, 300.0
#: Seconds for which intake believes what it read: two counts and a note are not asked for each
#: upload.
READ_EVERY_S = 10.0


@dataclass(frozen=True, slots=True)
class Report:
    """What one instance says of itself."""

    at: float  #: seconds since the epoch
    rate: float  #: seconds of sound it hears a second with every place taken
    mean_s: float  #: seconds of a recording, on average


@dataclass(slots=True)
class Load:
    """One process's view; instances report, intake reads. Safe to repeat, and beside itself."""

    jobs: Jobs
    bookmarks: Bookmarks
    now: Clock
    _reported_at: float = float("-inf")
    _read_at: float = float("-inf")
    _backlog: Backlog | None = None
    _lock: Lock = field(default_factory=Lock)

    def report(self, worker: str, measured: Callable[[], tuple[float, float] | None]) -> bool:
        """Note the instance's (rate, mean seconds), at most once a minute; True if it was noted.

        One of two that report at once may be lost: the next minute brings it.

        Raises:
            StoreUnavailable: repeating will help.
        """
        at, figures = self.now().timestamp(), measured()
        if figures is None or at - self._reported_at < REPORT_EVERY_S:
            return False
        seen = self.bookmarks.get(NOTE)
        reports = {**_living(seen, at), worker: Report(at, *figures)}
        said = json.dumps({name: asdict(one) for name, one in reports.items()})
        if not self.bookmarks.move(NOTE, seen, said):
            return False
        self._reported_at = at
        return True

    def backlog(self) -> Backlog | None:
        """What waits and how fast it is heard, at most READ_EVERY_S old.

        None: no instance has said how fast it hears, so nothing can be promised.

        Raises:
            StoreUnavailable: repeating will help.
        """
        with self._lock:
            at = self.now().timestamp()
            if not 0 <= at - self._read_at < READ_EVERY_S:
                self._backlog, self._read_at = self._read(at), at
            return self._backlog

    def _read(self, at: float) -> Backlog | None:
        reports = list(_living(self.bookmarks.get(NOTE), at).values())
        rate = sum(one.rate for one in reports)
        if rate <= 0:
            return None
        mean_s = sum(one.mean_s for one in reports) / len(reports)
        waiting = self.jobs.waiting(self.now())
        return Backlog({lane: waiting.get(lane, 0) * mean_s for lane in Lane}, rate)


def _living(note: str | None, at: float) -> dict[str, Report]:
    """The reports of instances that were there a moment ago."""
    said = {name: Report(**one) for name, one in json.loads(note or "{}").items()}
    return {name: one for name, one in said.items() if at - one.at < REPORT_LASTS_S}
