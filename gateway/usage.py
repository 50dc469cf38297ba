"""`/v1/usage`: what a tenant used of its day, and when the next one begins."""

from fastapi import APIRouter

from gateway.dependencies import TenantName, Wired
from gateway.errors import DESCRIBED
from shared.domain.api import Usage
from shared.domain.listing import used
from shared.domain.tenants import DEMO
from shared.errors import NotFound

router = APIRouter(tags=["usage"], responses=DESCRIBED)


@router.get("/v1/usage")
def show_usage(parts: Wired, tenant: TenantName) -> Usage:
    """Files, seconds of sound and money of this UTC day; of `demo` for whoever has no key."""
    now, known = parts.now(), parts.tenants.get(tenant or DEMO)
    if known is None:
        raise NotFound("There is no such tenant.")
    sound, money = parts.quotas.day(known.id, now), parts.spending.day(known.id, now)
    return used(known, sound, money, now)
