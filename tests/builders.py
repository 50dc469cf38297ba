"""Values for tests; each names only what the test is about."""

from datetime import UTC, datetime
from typing import Any

from shared.domain.lanes import Lane
from shared.domain.recording import Ledger, Placement, Recording, UploadedObject
from shared.domain.states import State
from shared.domain.tenants import Tenant, Tier, kept_until
from shared.domain.webhooks import Happening, Webhook
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


def webhook(number: int = 1, **changes: Any) -> Webhook:
    fields: dict[str, Any] = {
        "id": f"wh_{number:016x}",
        "tenant": "acme",
        "url": f"https://example.com/hooks/{number}",
        "types": (),
        "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "made_at": NOW,
    }
    return Webhook(**fields | changes)


def happening(number: int = 1, **changes: Any) -> Happening:
    fields: dict[str, Any] = {
        "event_id": f"{number:032x}",
        "type": "recording.done",
        "recording_id": f"rec{number:05d}",
        "tenant": "acme",
        "at": NOW,
        "seq": 3,
    }
    return Happening(**fields | changes)
