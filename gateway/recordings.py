"""`/v1/recordings`: the list, one recording's result, its history."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Response

from gateway.cursors import MAX_LENGTH, cursor_after, position
from gateway.dependencies import OneRecording, TenantName, Wired
from gateway.errors import DESCRIBED
from shared.domain.api import History, RecordingPage
from shared.domain.listing import listed, told
from shared.domain.recording import Recording
from shared.domain.result import Result, written
from shared.domain.states import State
from shared.domain.testimony import summary
from shared.wiring import Parts

router = APIRouter(tags=["recordings"], responses=DESCRIBED)

#: Rows of one page.
DEFAULT_LIMIT, MAX_LIMIT = 50, 200

Before = Annotated[str | None, Query(max_length=MAX_LENGTH, description="`next` of a page.")]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Rows of the page.")]
States = Annotated[list[State], Query(description="Only these states; all if left out.")]


@router.get("/v1/recordings")
def list_recordings(
    parts: Wired,
    tenant: TenantName,
    state: States = [],  # noqa: B006  # FastAPI copies it
    before: Before = None,
    limit: Limit = DEFAULT_LIMIT,
) -> RecordingPage:
    """Recordings, newest first."""
    rows, following = page_of(parts, tenant, state, before, limit)
    return RecordingPage(recordings=[listed(row) for row in rows], next=following)


def page_of(
    parts: Parts, tenant: str | None, states: Sequence[State], before: str | None, limit: int
) -> tuple[list[Recording], str | None]:
    """One page, and the cursor of the next if there is one.

    Raises:
        InvalidRequest: `before` is not a cursor.
    """
    start = position(before) if before else None
    rows = parts.recordings.page(tenant, states=states, before=start, limit=limit + 1)
    following = cursor_after(rows[limit - 1]) if len(rows) > limit else None
    return rows[:limit], following


@router.get("/v1/recordings/{recording_id}", response_model=Result)
def get_recording(known: OneRecording, parts: Wired) -> Response:
    """The result document, `earwitness.result/v1`; in the same shape while there is none yet."""
    document = parts.results.load(known.result, "result.json") if known.result else None
    return Response(document or written(summary(known)), media_type="application/json")


@router.get("/v1/recordings/{recording_id}/history")
def get_history(known: OneRecording, parts: Wired) -> History:
    """Every change of state, oldest first."""
    return told(parts.recordings.history(known.id))
