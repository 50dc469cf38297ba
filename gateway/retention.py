"""`/v1/recordings/{id}/extension` and `/hold`: how long it is kept, and what keeps it longer."""

from fastapi import APIRouter

from gateway.callers import Calling, actor
from gateway.dependencies import OneRecording, Wired
from gateway.errors import DESCRIBED
from gateway.security import TOKEN_CHECKED
from shared import wiring
from shared.domain.api import Keeping, WantedExtension, WantedHold
from shared.domain.listing import kept_told
from shared.domain.recording import Recording
from shared.domain.tenants import Tenant, Tier
from shared.wiring import Parts

router = APIRouter(tags=["retention"], responses=DESCRIBED)


@router.get("/v1/recordings/{recording_id}/extension")
def get_extension(known: OneRecording, parts: Wired) -> Keeping:
    """How long it is kept, why, and how far it may be extended."""
    return _told(parts, known)


@router.post("/v1/recordings/{recording_id}/extension", dependencies=[TOKEN_CHECKED])
def extend(asked: WantedExtension, known: OneRecording, parts: Wired, caller: Calling) -> Keeping:
    """Keep it at least until then, where the tenant's tier allows it.

    An extension is never shortened, and asking twice is asking once.
    """
    return _told(parts, wiring.keep(parts).extend(known, asked.until, actor(caller)))


@router.put("/v1/recordings/{recording_id}/hold", dependencies=[TOKEN_CHECKED])
def hold(asked: WantedHold, known: OneRecording, parts: Wired, caller: Calling) -> Keeping:
    """Let nothing of it be erased, whatever its time and whoever asks, until it is released.

    The hold is on its object when this answers. One that stands stays, with its reason.
    """
    return _told(parts, wiring.keep(parts).hold(known, asked.reason, actor(caller)))


@router.delete("/v1/recordings/{recording_id}/hold", dependencies=[TOKEN_CHECKED])
def release(known: OneRecording, parts: Wired, caller: Calling) -> Keeping:
    """End its hold. What is due, and an erasure that waited for this, goes within minutes."""
    return _told(parts, wiring.keep(parts).release(known, actor(caller)))


def _told(parts: Parts, known: Recording) -> Keeping:
    tenant = parts.tenants.get(known.tenant) or Tenant(known.tenant, Tier.FREE, parts.now())
    return kept_told(known, tenant)
