"""Implements `Retention` on Firestore."""

from collections.abc import Callable
from datetime import datetime

from google.cloud.firestore_v1 import Client, DocumentReference
from google.cloud.firestore_v1.base_query import FieldFilter

from shared.adapters.gcp.firestore_client import Commit, Documents, Snapshot, possible
from shared.adapters.gcp.firestore_rows import (
    BOOKMARKS,
    RECORDINGS,
    TENANTS,
    kept_with,
    put_out,
    recording,
    remember,
    row,
    touch,
)
from shared.adapters.gcp.firestore_tenants import tenant_of, unsettled
from shared.domain.messages import announcement
from shared.domain.moments import to_us
from shared.domain.recording import Hold, Moved, Recording
from shared.domain.retention import change, extended, held, released, settled
from shared.domain.tenants import Rules, Tenant
from shared.domain.timekeeping import Times
from shared.errors import NotFound, StoreUnavailable

#: Who settles, in a recording's history.
ACTOR = "retention"


class FirestoreRetention:
    """The server has a clock of its own, which says what time it is; ours can only make it later.

    `due_us` is there to be asked for: it is null while a recording is held or erased.

    IAM: roles/datastore.user, granted in terraform/stack/firestore.tf. Run on the
    Firestore emulator of the gcloud SDK.
    """

    def __init__(self, client: Client) -> None:
        self._db = Documents(client)

    def time(self, ours: datetime) -> Times:
        servers = self._db.get(self._db.at(BOOKMARKS, "retention")).read_time
        if servers is None:
            raise StoreUnavailable(detail="an answer without its time")
        return Times(min(ours, servers), servers)

    def ending(
        self,
        by: datetime,
        *,
        tenant: str | None = None,
        unannounced: bool = False,
        after: tuple[datetime, str] | None = None,
        limit: int = 100,
    ) -> list[Recording]:
        query = self._db.all_of(RECORDINGS)
        if unannounced:
            query = query.where(filter=FieldFilter("announced_us", "==", None))
        if tenant is not None:
            query = query.where(filter=FieldFilter("tenant", "==", tenant))
        query = query.where(filter=FieldFilter("due_us", "<=", to_us(by)))
        query = query.order_by("due_us").order_by("__name__")
        if after is not None:
            last = {"due_us": to_us(after[0]), "__name__": self._at(after[1])}
            query = query.start_after(last)
        return [recording(row(one)) for one in self._db.found(query.limit(limit))]

    def received(
        self, tenant: str, after: tuple[datetime, str] | None = None, limit: int = 100
    ) -> list[Recording]:
        query = self._db.all_of(RECORDINGS).where(filter=FieldFilter("tenant", "==", tenant))
        query = query.order_by("received_us").order_by("__name__")
        if after is not None:
            last = {"received_us": to_us(after[0]), "__name__": self._at(after[1])}
            query = query.start_after(last)
        return [recording(row(one)) for one in self._db.found(query.limit(limit))]

    def settle(self, recording_id: str, rules: Rules, now: Times) -> Recording | None:
        def made(known: Recording) -> Recording:
            return settled(known, rules, now)

        try:
            return self._keep(recording_id, made, ACTOR, now.latest)
        except NotFound:
            return None

    def extend(
        self, recording_id: str, until: datetime, rules: Rules, actor: str, now: Times
    ) -> Recording:
        def made(known: Recording) -> Recording:
            return extended(known, until, rules, now)

        return self._keep(recording_id, made, actor, now.latest)

    def hold(self, recording_id: str, hold: Hold) -> Recording:
        return self._keep(recording_id, lambda known: held(known, hold), hold.actor, hold.at)

    def release(self, recording_id: str, actor: str, at: datetime) -> Recording:
        return self._keep(recording_id, released, actor, at)

    def compressible(self, by: datetime, limit: int = 100) -> list[Recording]:
        return self._due("compress_due_us", by, limit)

    def clearable(self, by: datetime, limit: int = 100) -> list[Recording]:
        return self._due("clear_due_us", by, limit)

    def _due(self, field: str, by: datetime, limit: int) -> list[Recording]:
        query = self._db.all_of(RECORDINGS).where(filter=FieldFilter(field, "<=", to_us(by)))
        found = self._db.found(query.order_by(field).order_by("__name__").limit(limit))
        return [recording(row(one)) for one in found]

    def archived_as(self, name: str) -> list[str]:
        query = self._db.all_of(RECORDINGS).where(filter=FieldFilter("name", "==", name))
        found = (recording(row(one)) for one in self._db.found(query))
        return sorted(one.id for one in found if one.archived is not None)

    def decide(
        self, recording_id: str, made: Callable[[Recording], Recording], actor: str, at: datetime
    ) -> Recording:
        return self._keep(recording_id, made, actor, at)

    def unsettle(self, tenant: str) -> None:
        def step(commit: Commit) -> None:
            known = self._db.get(self._db.at(TENANTS, tenant))
            if known.exists:
                commit.change(known, unsettled(commit, tenant))

        self._db.settle(step)

    def unsettled(self, limit: int = 100) -> list[Tenant]:
        query = self._db.all_of(TENANTS).where(filter=FieldFilter("resettle", "==", True))
        found = self._db.found(query.order_by("__name__").limit(limit))
        return [tenant_of(one.id, row(one)) for one in found]

    def settled_all(self, tenant: Tenant) -> bool:
        def step(commit: Commit) -> bool:
            known = self._db.get(self._db.at(TENANTS, tenant.id))
            if not known.exists or not tenant_of(tenant.id, row(known)).keeps_as(tenant):
                return False
            commit.change(known, {"resettle": False})
            return True

        return self._db.settle(step)

    def _keep(
        self,
        recording_id: str,
        made: Callable[[Recording], Recording],
        actor: str,
        at: datetime,
    ) -> Recording:
        """Write what `made` makes different, with its line and its announcement."""

        def step(commit: Commit) -> Recording:
            known = self._known(recording_id)
            before = recording(row(known))
            after = made(before)
            changed = change(before, after)
            if changed is None and "due_us" in row(known):
                return before
            # Nothing to say: a document from before there was retention, or a claim.
            if changed is None or changed.reason is None:
                touch(commit, known, kept_with(after))
                return after
            line = Moved(after.state, at, actor, changed.reason)
            seq = remember(commit, known, line, kept_with(after))
            if changed.kind is not None:
                put_out(commit, [announcement(after, changed.kind, at, seq)])
            return after

        return self._db.settle(step)

    def _known(self, recording_id: str) -> Snapshot:
        if not possible(recording_id):
            raise NotFound
        known = self._db.get(self._at(recording_id))
        if not known.exists:
            raise NotFound(recording_id=recording_id)
        return known

    def _at(self, recording_id: str) -> DocumentReference:
        return self._db.at(RECORDINGS, recording_id)
