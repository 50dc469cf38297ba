"""`/v1/audit`: who did what, and until when a seal holds it."""

from typing import Annotated

from fastapi import APIRouter, Query

from gateway.cursors import MAX_LENGTH, cursor_behind, position
from gateway.dependencies import TenantName, Wired
from gateway.errors import DESCRIBED
from shared.domain.api import AuditPage, LastSeal
from shared.domain.audit import digest_of, read
from shared.domain.listing import acted, sealed
from shared.errors import InvalidSeal
from shared.flows.seal import NOTES, noting
from shared.wiring import Parts

router = APIRouter(tags=["audit"], responses=DESCRIBED)

#: Rows of one page.
DEFAULT_LIMIT, MAX_LIMIT = 50, 200

Before = Annotated[str | None, Query(max_length=MAX_LENGTH, description="`next` of a page.")]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Rows of the page.")]


@router.get("/v1/audit")
def list_actions(
    parts: Wired, tenant: TenantName, before: Before = None, limit: Limit = DEFAULT_LIMIT
) -> AuditPage:
    """Actions of people and keys, newest first, with the last seal of the tenant.

    Who did it, by which route, about which recording, and how it ended; never what was said.
    """
    start = position(before) if before else None
    rows = parts.actions.page(tenant, before=start, limit=limit + 1)
    more = rows[limit - 1] if len(rows) > limit else None
    return AuditPage(
        actions=[acted(row) for row in rows[:limit]],
        seal=_last(parts, tenant) if tenant else None,
        next=cursor_behind(more.at, more.id) if more else None,
    )


def _last(parts: Parts, tenant: str) -> LastSeal | None:
    """The last one that was noted; None where there is none, or somebody changed it."""
    noted = noting(parts.bookmarks.get(NOTES + tenant))
    content = parts.seals.get(tenant, noted.number) if noted.number else None
    try:
        return sealed(read(content), digest_of(content)) if content else None
    except InvalidSeal:
        return None
