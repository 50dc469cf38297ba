"""The adapters of one process, by what they are for."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

from shared.ports import (
    Actions,
    ApiKeys,
    Arrivals,
    Bookmarks,
    Chains,
    Clock,
    Corrections,
    Deliveries,
    Erasures,
    Imports,
    Inlet,
    Jobs,
    Leftovers,
    Outbox,
    Publisher,
    Quotas,
    Recordings,
    Results,
    Retention,
    Seals,
    Signer,
    Spending,
    Sweeper,
    Tenants,
    Uploads,
    Webhooks,
)
from shared.settings import Settings

#: The store's file in HOME.
STORE = "earwitness.db"


@dataclass(frozen=True, slots=True)
class Parts:
    """The adapters of one process."""

    settings: Settings
    tenants: Tenants
    recordings: Recordings
    jobs: Jobs
    outbox: Outbox
    publisher: Publisher
    uploads: Uploads
    inlet: Inlet
    results: Results
    temporary: Results  #: as results are kept, but for a day
    arrivals: Arrivals
    bookmarks: Bookmarks
    spending: Spending
    quotas: Quotas
    api_keys: ApiKeys
    corrections: Corrections
    imports: Imports | None  #: None where nothing can be brought in
    signer: Signer
    erasures: Erasures
    leftovers: Leftovers
    actions: Actions
    chains: Chains
    seals: Seals
    retention: Retention
    sweeper: Sweeper
    webhooks: Webhooks
    deliveries: Deliveries
    now: Clock


def clock() -> datetime:
    return datetime.now(UTC)


def holder(settings: Settings) -> str:
    """Whose slices of money these are: a worker that is started again goes on with its own."""
    return settings.worker or f"process-{uuid4().hex[:12]}"
