"""claim -> read, compress, read again, compare -> archive -> commit -> take away what was left.

What was uploaded goes two days later, with `shelves`.
"""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from secrets import token_hex
from typing import BinaryIO

from shared.domain import long_term
from shared.domain.lanes import Lane
from shared.domain.messages import ticket
from shared.domain.recording import FLAC, Archived, Message, Recording, UploadedObject
from shared.errors import EarwitnessError, NotCompressible, NotFound
from shared.logs import about, say
from shared.ports import Clock, Compressor, Publisher, Retention, Uploads

log = logging.getLogger("earwitness.compress")

#: Who compresses, in histories.
ACTOR = "archive"
#: Nobody begins another original after this long. Pub/Sub gives a ticket ten minutes; the largest
#: original, 5 GB, takes a hundred seconds of CPU (50 MB/s: bench/archiving.py) and being read.
TURN = timedelta(seconds=240)
#: Bytes of randomness in an object's name.
TOKEN_BYTES = 16


class _RoomMade(Exception):  # nothing went wrong
    """Somebody more urgent waits, or the process ends."""


@dataclass(frozen=True, slots=True)
class Compress:
    """What is done while nobody waits to be heard: originals that are kept long become FLAC.

    Safe to kill and to run beside itself: who claims an original has it for a day; nothing points
    to a FLAC before it was compared; whoever comes second takes its own away again. A store that
    fails holds up one original, until tomorrow.
    """

    retention: Retention
    uploads: Uploads
    compressor: Compressor
    publisher: Publisher
    spool: Callable[[], AbstractContextManager[BinaryIO]]  #: an empty file that goes after use
    now: Clock
    after_days: int | None  #: None: nothing is compressed

    def __call__(
        self, yields: Callable[[], bool], followed: Callable[[], bool] = lambda: False
    ) -> int:
        """Compress what is due until that is all, somebody needs the place, or a turn is over.

        In the last two cases the lane is rung again, unless a ticket waits that goes on with what
        is left: else tickets would never get fewer. Returns how many originals are FLAC now.

        Args:
            yields: whether the place is needed.
            followed: whether such a ticket waits.

        Raises:
            StoreUnavailable: nothing could be claimed.
        """
        if self.after_days is None:
            return 0
        begun, done = self.now(), 0
        while due := self.retention.compressible(self.now(), 1):
            if yields() or self.now() - begun >= TURN:
                if not followed():
                    self.publisher.publish([ring(self.now())])
                break
            with about(due[0].id):
                done += self._tried(due[0], yields)
        return done

    def _tried(self, known: Recording, yields: Callable[[], bool]) -> bool:
        claimed = self._claim(known)
        if claimed is None:
            return False
        try:
            return self._compress(claimed, yields)
        except _RoomMade:
            self._decide(claimed, lambda it: long_term.put_off(it, known.compress_at))
        except NotCompressible as why:
            log.info("an original stays as it came: %s", why)
            self._decide(claimed, long_term.left_as_it_came)
        except EarwitnessError as error:
            say(log, error, recording_id=known.id)
        return False

    def _claim(self, known: Recording) -> Recording | None:
        """None where somebody else has it, or it is not to be compressed any more."""
        now, won = self.now(), False

        def made(it: Recording) -> Recording:
            nonlocal won
            after = long_term.claimed(it, now)
            won = after.compress_at not in (it.compress_at, None)
            return after

        claimed = self.retention.decide(known.id, made, ACTOR, now)
        return claimed if won else None

    def _compress(self, known: Recording, yields: Callable[[], bool]) -> bool:
        def alive() -> None:
            if yields():
                raise _RoomMade

        with self.spool() as file:
            self._write(known, file, alive)
            if not long_term.may_compress(self._decide(known, lambda it: it)):
                return False  # held or erased meanwhile: nothing of it is put anywhere
            name = long_term.name_of(known, token_hex(TOKEN_BYTES))
            flac = self.uploads.shelve(name, file, FLAC, self.now())
        kept = self._keep(known, flac)
        ours = kept.archived is not None and kept.archived.name == name
        self._take_away(known, kept.archived, flac)
        if ours:
            log.info("archived", extra={"from_bytes": known.size_bytes, "bytes": flac.size_bytes})
        return ours

    def _write(self, known: Recording, into: BinaryIO, alive: Callable[[], None]) -> None:
        def read(start: int, length: int) -> bytes:
            return self.uploads.read(known.name, known.generation, start, length)

        try:
            digest = self.compressor(read, known.size_bytes, into, alive)
        except NotFound as gone:
            raise NotCompressible("What was uploaded is gone.") from gone
        uploaded = self.uploads.stat(known.name, known.generation)
        told = {one for one in (uploaded.digests if uploaded else ()) if one.startswith("sha256:")}
        if told and told != {f"sha256:{digest}"}:
            raise NotCompressible("The upload is not what its digest says; it is damaged.")

    def _keep(self, known: Recording, flac: UploadedObject) -> Recording:
        now = self.now()
        return self._decide(known, lambda it: long_term.archived(it, flac, now))

    def _take_away(self, known: Recording, kept: Archived | None, flac: UploadedObject) -> None:
        """Ours if nothing points to it; where ours is kept, those of who did not come back."""
        folder = long_term.folder_of(known.tenant, known.id)
        ours = kept is not None and kept.name == flac.name
        for one in self.uploads.shelved(folder) if ours else [flac]:
            if kept is None or one.name != kept.name:
                self.uploads.delete(one.name, one.generation)

    def _decide(self, known: Recording, made: Callable[[Recording], Recording]) -> Recording:
        return self.retention.decide(known.id, made, ACTOR, self.now())


def ring(now: datetime) -> Message:
    """A ticket that finds nothing to hear finds something to compress."""
    return ticket(f"archive/{now.isoformat()}", Lane.LOW, 1)
