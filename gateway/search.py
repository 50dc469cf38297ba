"""`/v1/search`: passages of transcripts that hold every word asked for."""

from typing import Annotated

from fastapi import APIRouter, Query

from gateway.dependencies import TenantName, Wired
from gateway.errors import DESCRIBED
from shared.domain.api import Hit, Hits
from shared.domain.listing import listed
from shared.domain.recording import Found
from shared.wiring import Parts

router = APIRouter(tags=["search"], responses=DESCRIBED)

#: Characters; longer questions are not words from a transcript.
MAX_QUERY = 500
DEFAULT_LIMIT, MAX_LIMIT = 20, 100
#: What the store puts around a hit; never HTML.
HIT_BEGINS, HIT_ENDS = "\x02", "\x03"

Words = Annotated[
    str,
    Query(max_length=MAX_QUERY, description='Words; in double quotes a phrase: "second of May".'),
]


@router.get("/v1/search")
def find(
    parts: Wired,
    tenant: TenantName,
    q: Words = "",
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT,
) -> Hits:
    """Passages of finished transcripts that hold every word of `q`."""
    return Hits(hits=[_hit(found) for found in passages(parts, tenant, q, limit)])


def passages(parts: Parts, tenant: str | None, q: str, limit: int) -> list[Found]:
    """What the store finds."""
    return parts.recordings.find(tenant, q, limit)


def _hit(found: Found) -> Hit:
    return Hit(
        recording=listed(found.recording),
        start_s=found.passage.start_s,
        end_s=found.passage.end_s,
        text=found.passage.text,
        snippet=found.snippet,
    )
