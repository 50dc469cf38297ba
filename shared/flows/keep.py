"""extend: ask the tier -> keep it longer. hold: store -> object. release: object -> store."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from shared.domain.long_term import folder_of
from shared.domain.recording import Hold, Recording
from shared.domain.retention import reason
from shared.domain.tenants import Tenant, Tier
from shared.errors import NotFound
from shared.ports import Clock, Retention, Tenants, Uploads


@dataclass(frozen=True, slots=True)
class Keep:
    """What people ask for about one recording's time.

    Safe to repeat: whatever broke off is finished by asking again. What is announced of it
    lies in the outbox, which every tick drains.
    """

    tenants: Tenants
    retention: Retention
    uploads: Uploads
    now: Clock

    def extend(self, known: Recording, until: datetime, actor: str) -> Recording:
        """Keep it at least until then.

        Raises:
            ExtensionRefused: its tier does not allow that. WrongState: it is erased.
        """
        times = self.retention.time(self.now())
        tenant = self.tenants.get(known.tenant) or Tenant(known.tenant, Tier.FREE, self.now())
        return self.retention.extend(known.id, until, tenant.rules, actor, times)

    def hold(self, known: Recording, why: str, actor: str) -> Recording:
        """Let nothing of it be erased; the hold that comes back may be an older one.

        Raises:
            InvalidRequest: there is no reason, or a long one. WrongState: it is erased.
        """
        held = self.retention.hold(known.id, Hold(reason(why), actor, self.now()))
        # The store first: from then on none of us erases it. Answered once the bucket keeps it
        # from everybody else, too.
        for name, generation in _objects(held):
            with suppress(NotFound):  # what is gone needs no holding; results and history do
                self.uploads.hold(name, generation)
        return held

    def release(self, known: Recording, actor: str) -> Recording:
        """End its hold; an erasure that waited for it goes on with the next tick.

        Raises:
            WrongState: it is erased.
        """
        # The object first: a release that breaks off in between leaves the store's hold, and
        # is seen and repeated. The other way the erasure would meet a hold nobody knows of.
        # Of the archive whatever is there: somebody may have left a FLAC, and it was held since.
        left = self.uploads.shelved(folder_of(known.tenant, known.id))
        for name, generation in {*_objects(known), *((o.name, o.generation) for o in left)}:
            self.uploads.unhold(name, generation)
        return self.retention.release(known.id, actor, self.now())


def _objects(known: Recording) -> list[tuple[str, int]]:
    """What was uploaded, and its long-term form."""
    kept = known.archived
    return [(known.name, known.generation), *([(kept.name, kept.generation)] if kept else [])]
