"""tick -> tenants of whom something waits -> last seal -> new heads under one root -> sign
-> write once -> forget what waited."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.domain.audit import (
    MOST_LEAVES,
    Last,
    Leaf,
    digest_of,
    drafted,
    newest,
    read,
    statement,
    written,
)
from shared.errors import InvalidSeal
from shared.logs import say
from shared.ports import Bookmarks, Chains, Clock, Seals, Signer

log = logging.getLogger("earwitness.seal")

#: Between two rounds. The cloud's scheduler comes every minute, a little early or late; on one
#: machine there are more ticks than that.
EVERY = timedelta(seconds=55)
_ROUND = "sealing"
#: Before the tenant's name: where its last seal is noted.
NOTES = "seal/"


@dataclass(frozen=True, slots=True)
class Sealing:
    """Puts under a seal what waits for one; of a tenant of whom nothing waits there is no seal.

    Safe to repeat and safe beside itself: the number of the next seal is taken by a create-only
    write, after the last seal and then what waits were read. Whoever comes second writes nothing.
    After a crash behind the write, the next round finds in the last seal what it need not seal
    again.
    """

    chains: Chains
    seals: Seals
    signer: Signer
    bookmarks: Bookmarks
    now: Clock

    def __call__(self) -> int:
        """One round, unless the last one began less than EVERY ago; how many seals it made.

        Raises:
            StoreUnavailable, SignerUnavailable: the next round goes on.
        """
        # Looked at first: where nobody did anything, this is all that a tick costs.
        tenants = self.chains.tenants()
        return self.round(self.now(), tenants) if tenants and self._due() else 0

    def _due(self) -> bool:
        now, seen = self.now(), self.bookmarks.get(_ROUND)
        if seen and now - datetime.fromisoformat(seen) < EVERY:
            return False
        return self.bookmarks.move(_ROUND, seen, now.isoformat())

    def round(self, now: datetime, tenants: Sequence[str] | None = None) -> int:
        """Seal all there is, or all of these; raises as above."""
        found = self.chains.tenants() if tenants is None else tenants
        made = sum(self._tenant(tenant, now) for tenant in found)
        if made:
            log.info("sealed: %d", made)
        return made

    def _tenant(self, tenant: str, now: datetime) -> int:
        made = 0
        while self._next(tenant, now):
            made += 1
        return made

    def _next(self, tenant: str, now: datetime) -> bool:
        """One more seal of the tenant; False: nothing waits, or somebody else is at it."""
        # In this order: were the seals read last, somebody else's might cover what we still saw.
        last = self._last(tenant)
        waiting = self._uncovered(tenant, last)
        if not waiting:
            return False
        draft = drafted(tenant, last, now, newest(waiting), self.signer.key_id)
        content = written(replace(draft, signature=self.signer.sign(statement(draft)).hex()))
        if not self.seals.put(tenant, draft.number, content):
            return False
        # Written before forgotten: a crash in between leaves marks, never a hole. And noted
        # before: a backup of the store takes the seals that it notes, and all of them fit it.
        self._note(tenant, Last(draft.number, digest_of(content)))
        self.chains.sealed(tenant, waiting)
        return True

    def _uncovered(self, tenant: str, last: Last) -> list[Leaf]:
        waiting = self.chains.waiting(tenant, MOST_LEAVES)
        covered = last.covered(waiting)
        if covered:
            self.chains.sealed(tenant, covered)
        return sorted(set(waiting) - set(covered))

    def _last(self, tenant: str) -> Last:
        """The last seal there is, or the one that was noted last if that was taken away.

        A number is never given twice: what is missing stays missed.
        """
        noted = noting(self.bookmarks.get(NOTES + tenant))
        number = max(self.seals.numbers(tenant, after=max(0, noted.number - 1)), default=0)
        content = self.seals.get(tenant, number) if number else None
        return noted if content is None else Last(number, digest_of(content), _leaves(content))

    def _note(self, tenant: str, last: Last) -> None:
        seen = self.bookmarks.get(NOTES + tenant)
        self.bookmarks.move(NOTES + tenant, seen, json.dumps([last.number, last.digest]))


def noting(note: str | None) -> Last:
    """The last seal, as its note says it."""
    return Last(*json.loads(note)) if note else Last()


def _leaves(content: bytes) -> tuple[Leaf, ...]:
    """Of a seal that somebody changed, nothing; verification says so, and the next goes on."""
    try:
        return read(content).leaves
    except InvalidSeal as error:
        say(log, error)
        return ()
