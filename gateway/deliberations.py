"""`/v1/recordings/{id}/decisions.json`."""

from fastapi import APIRouter, Response

from gateway.dependencies import OneRecording, Wired
from gateway.errors import DESCRIBED
from shared.domain.deliberations import DECISIONS, Deliberations
from shared.errors import NotFound

router = APIRouter(tags=["recordings"], responses=DESCRIBED)


@router.get("/v1/recordings/{recording_id}/decisions.json", response_model=Deliberations)
def get_decisions(known: OneRecording, parts: Wired) -> Response:
    """What each engine said of each segment, what it was worth, and what followed from that."""
    if known.result is None:
        raise NotFound(f"This recording is {known.state}; nothing was decided of it.")
    return Response(parts.results.load(known.result, DECISIONS), media_type="application/json")
