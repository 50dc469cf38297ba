"""Values for tests; each names only what the test is about."""

from datetime import UTC, datetime
from typing import Any

from shared.domain.lanes import Lane
from shared.domain.recording import Ledger, Placement, Recording, UploadedObject
from shared.domain.states import State
from shared.domain.tenants import Tenant, Tier, kept_until
from shared.domain.wishes import Wishes

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def tenant(tier: Tier = Tier.FREE, **overrides: float) -> Tenant:
    return Tenant("acme", tier, NOW, tuple(sorted(overrides.items())))


def upload(**changes: Any) -> UploadedObject:
    fields: dict[str, Any] = {
        "bucket": "uploads",
        "name": "uploads/acme/talk.wav",
        "generation": 1,
        "size_bytes": 1_000,
        "content_type": "audio/wav",
        "metadata": (),
        "created_at": NOW,
    }
    return UploadedObject(**fields | changes)


def recording(number: int = 1, **changes: Any) -> Recording:
    fields: dict[str, Any] = {
        "id": f"rec{number:05d}",
        "tenant": "acme",
        "bucket": "uploads",
        "name": f"uploads/acme/{number}.wav",
        "path": f"{number}.wav",
        "generation": 1,
        "size_bytes": 1_000,
        "content_type": "audio/wav",
        "state": State.RECEIVED,
        "tier": Tier.FREE,
        "lane": None,
        "rule": None,
        "wishes": Wishes(),
        "received_at": NOW,
        "updated_at": NOW,
        "kept_until": kept_until(NOW, tenant().rules),
        "seconds": 10.0,
    }
    return Recording(**fields | changes)


def placed(
    lane: Lane = Lane.LOW, start_tag: float = 0.0, until: datetime | None = None
) -> Placement:
    return Placement(lane, "everything_else", start_tag, until, Ledger(next_tag=start_tag))
