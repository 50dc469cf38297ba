"""tick -> take away uploads whose FLAC is kept -> remove from the archive what nobody points to ->
ring for originals to be compressed."""

import logging
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.domain import long_term
from shared.domain.names import ARCHIVE, ARCHIVED
from shared.domain.recording import Recording, UploadedObject
from shared.domain.states import State
from shared.errors import EarwitnessError
from shared.flows.compress import ACTOR, ring
from shared.flows.daily import Daily, Mark
from shared.logs import about, say
from shared.ports import Bookmarks, Publisher, Recordings, Retention, Uploads

log = logging.getLogger("earwitness.shelves")

#: The most uploads that one tick takes away; objects of the archive it looks at.
MOST, PAGE = 100, 500
#: An object this young may belong to somebody whose commit is on its way.
YOUNG = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Shelves:
    """The archive's part of a tick. Safe to repeat, to kill and to run beside itself: each step is
    claimed by a conditional commit, and deleting what is gone does nothing."""

    retention: Retention
    recordings: Recordings
    uploads: Uploads
    bookmarks: Bookmarks
    publisher: Publisher
    after_days: int | None  #: None: nothing more is compressed

    def __call__(self, now: datetime, found: Counter[str]) -> None:
        """Raises StoreUnavailable, BrokerUnavailable: the next tick goes on."""
        self._take_away(now, found)
        Daily(self.bookmarks, "archive/left")(now, lambda after: self._look(now, after, found))
        if self.after_days is not None and self._waited(now, self.after_days):
            # Once a day, for whoever answers compresses all of it and costs a start.
            Daily(self.bookmarks, "archive/rung")(now, lambda _: self._ring(now, found))

    def _waited(self, now: datetime, after_days: int) -> bool:
        return bool(self.retention.compressible(long_term.called_for(now, after_days), 1))

    def _ring(self, now: datetime, found: Counter[str]) -> None:
        self.publisher.publish([ring(now)])
        found["archive_rung"] += 1

    def _take_away(self, now: datetime, found: Counter[str]) -> None:
        for known in self.retention.clearable(now, MOST):
            with about(known.id):
                try:
                    found["uploads_cleared"] += self._clear(known, now)
                except EarwitnessError as error:
                    found["failed"] += 1
                    say(log, error, recording_id=known.id)

    def _clear(self, known: Recording, now: datetime) -> bool:
        """Whether what was uploaded is gone: never under hold, and never before its FLAC was found
        as it was written.

        Raises:
            UnderHold: a hold came in between; the tick after its release goes on.
        """
        claimed = self.retention.decide(
            known.id, lambda it: long_term.clearing(it, now), ACTOR, now
        )
        kept = claimed.archived
        if kept is None or claimed.clear_at != now + long_term.AGAIN:
            return False
        if not self.uploads.intact(kept.name, kept.generation):
            log.error("a compressed original is damaged; what was uploaded stays")
            self.retention.decide(known.id, lambda it: long_term.lost(it, now), ACTOR, now)
            return False
        self.uploads.delete(known.name, known.generation)
        self.retention.decide(known.id, long_term.cleared, ACTOR, now)
        return True

    def _look(self, now: datetime, after: Mark | None, found: Counter[str]) -> Mark | None:
        page = self.uploads.shelved(f"{ARCHIVE}/", str(after[0]) if after else "", PAGE)
        mine = {one: owner for one in page if (owner := _owner(one))}
        known = self.recordings.many(sorted(set(mine.values()))) if mine else {}
        for one in page:
            try:
                self._weigh(one, known.get(mine.get(one, "")), now, found)
            except EarwitnessError as error:  # one that is held holds up no other
                say(log, error)
        return [page[-1].name] if page else None

    def _weigh(
        self, one: UploadedObject, owner: Recording | None, now: datetime, found: Counter[str]
    ) -> None:
        """Remove what somebody left who was killed before the commit that would have pointed to it.

        What an unknown recording has is said and left: a service that was pointed at the wrong
        store must not empty the bucket. Where a store was put back to before that commit, and what
        was uploaded is gone, it is the only original there is: it is pointed to again.
        """
        erased = owner is not None and owner.state is State.ERASED
        if now - one.created_at < YOUNG and not erased:
            return
        if owner is None or owner.state not in (State.DONE, State.ERASED):
            found["archive_unknown"] += 1
        elif self._only_original(owner):
            self._point_to(one, owner, now)
            found["archive_found_again"] += 1
        elif owner.archived is None or owner.archived.name != one.name:
            self.uploads.delete(one.name, one.generation)
            found["archive_removed"] += 1

    def _only_original(self, owner: Recording) -> bool:
        """Whether nothing else of its sound is left."""
        heard = owner.state is State.DONE and owner.archived is None
        return heard and self.uploads.stat(owner.name, owner.generation) is None

    def _point_to(self, one: UploadedObject, owner: Recording, now: datetime) -> None:
        found = self.retention.decide(
            owner.id, lambda it: long_term.found_again(it, one, now), ACTOR, now
        )
        if found.hold is not None:
            self.uploads.hold(one.name, one.generation)


def _owner(one: UploadedObject) -> str | None:
    """The id in its name; None where the name is none of ours."""
    return one.name.split("/")[2] if ARCHIVED.fullmatch(one.name) else None
