"""finalized -> probe header -> admit or refuse -> rank -> record with ticket -> publish."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from shared.domain.header import probe
from shared.domain.names import recording_id, tenant_and_path
from shared.domain.overload import Backlog
from shared.domain.placement import capped, check_limits, place
from shared.domain.recording import Failure, Recording, UploadedObject
from shared.domain.states import State
from shared.domain.tenants import Tenant, Tier, kept_until
from shared.domain.wishes import Wishes, subject, wishes
from shared.errors import EarwitnessError, OverQuota, RefusedAudio, UnknownTenant
from shared.flows.publish import PublishOutbox
from shared.logs import about
from shared.ports import Clock, Recordings, Tenants, Uploads
from shared.spans import traceparent

log = logging.getLogger("earwitness.intake")

#: Whom a refused upload outside every tenant's folder is listed under.
NOBODY = "-"


@dataclass(frozen=True, slots=True)
class Intake:
    """Everything intake needs; built once per process by `shared.wiring`."""

    tenants: Tenants
    recordings: Recordings
    uploads: Uploads
    publish: PublishOutbox
    now: Clock
    max_seconds: float | None = None  #: for every tenant, whatever the tier says
    backlog: Callable[[], Backlog | None] = lambda: None  #: None: nobody knows, nobody is shed

    def __call__(self, upload: UploadedObject) -> Recording:
        """Turn one upload into one recording: queued, deferred or rejected.

        Safe to repeat: an event that comes again finds what the first one made, and only
        publishes what was left in the outbox.

        Raises:
            NotFound: that generation is gone; repeating will not help.
            StoreUnavailable, BrokerUnavailable: repeating will help.
        """
        known_as = recording_id(upload.bucket, upload.name, upload.generation)
        with about(known_as):
            made = self.recordings.get(known_as) or self._record(upload)
            # Record before publish: a ticket lost now is rung again by `reconcile`, while a
            # ticket without a record would ring for nothing.
            self.publish(made.id)
            return made

    def _record(self, upload: UploadedObject) -> Recording:
        owner, path = _owner_and_path(upload.name)
        known = self.tenants.get(owner)
        draft = self._draft(upload, known or Tenant(owner, Tier.FREE, self.now()), path)
        try:
            tenant, ready = self._admit(upload, draft, known)
            at, backlog = draft.received_at, self.backlog()
            return self.recordings.create_or_get(
                ready, lambda ledger: place(ready, tenant, ledger, at, backlog), upload.digests
            )
        except (RefusedAudio, OverQuota) as refusal:
            log.info("refused", extra={"code": refusal.code})
            return self.recordings.refuse(draft, Failure(refusal.code, str(refusal)))

    def _admit(
        self, upload: UploadedObject, draft: Recording, tenant: Tenant | None
    ) -> tuple[Tenant, Recording]:
        tenant_and_path(upload.name)
        if tenant is None:
            raise UnknownTenant
        limits = capped(tenant.limits, self.max_seconds)
        check_limits(upload.size_bytes, None, limits)
        metadata = dict(upload.metadata)
        wanted, about_whom = wishes(metadata), subject(metadata)
        header = probe(
            upload.size_bytes,
            lambda start, length: self.uploads.read(upload.name, upload.generation, start, length),
        )
        check_limits(upload.size_bytes, header.duration_s, limits)
        heard = header.duration_s
        return tenant, replace(draft, wishes=wanted, subject=about_whom, seconds=heard)

    def _draft(self, upload: UploadedObject, tenant: Tenant, path: str) -> Recording:
        """What is known without looking inside; enough to record a refusal."""
        now = self.now()
        return Recording(
            id=recording_id(upload.bucket, upload.name, upload.generation),
            tenant=tenant.id,
            bucket=upload.bucket,
            name=upload.name,
            path=dict(upload.metadata).get("name", path),
            generation=upload.generation,
            size_bytes=upload.size_bytes,
            content_type=upload.content_type,
            state=State.RECEIVED,
            tier=tenant.tier,
            lane=None,
            rule=None,
            wishes=Wishes(),
            received_at=now,
            updated_at=now,
            kept_until=kept_until(upload.created_at, tenant.rules),
            uploaded_at=upload.created_at,
            trace=traceparent(),
        )


def _owner_and_path(name: str) -> tuple[str, str]:
    try:
        return tenant_and_path(name)
    except EarwitnessError:
        return NOBODY, name
