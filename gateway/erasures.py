"""`DELETE /v1/recordings/{id}` and `/v1/erasures`: what is gone for good, and the receipt."""

from typing import Annotated

from fastapi import APIRouter, Path

from gateway.callers import Calling, actor
from gateway.dependencies import MAX_ID, AnyRecording, Wired
from gateway.errors import DESCRIBED
from gateway.security import TOKEN_CHECKED
from shared.domain.api import Erasure
from shared.domain.listing import erasure_told
from shared.errors import NotFound
from shared.wiring import erase

router = APIRouter(tags=["erasures"], responses=DESCRIBED)

ErasureId = Annotated[str, Path(max_length=MAX_ID, description="The erasure's id.")]


@router.delete("/v1/recordings/{recording_id}", status_code=202, dependencies=[TOKEN_CHECKED])
def erase_recording(known: AnyRecording, parts: Wired, caller: Calling) -> Erasure:
    """Erase a recording for good, with every other generation of its object.

    From the answer on nobody finds it. Its bytes go within minutes: ask for the erasure, which then
    has the receipt. Under hold it waits and begins at the release. Asking twice is asking once.
    """
    return erasure_told(erase(parts).ask(known.id, actor(caller), parts.now()))


@router.get("/v1/erasures/{erasure_id}")
def get_erasure(erasure_id: ErasureId, parts: Wired, caller: Calling) -> Erasure:
    """How far an erasure has come; once it is done, with its signed receipt."""
    found = parts.erasures.get(erasure_id)
    if found is None or not caller.may_see(found.tenant):
        raise NotFound("There is no such erasure.")
    return erasure_told(found)
