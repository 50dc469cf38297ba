"""`POST /v1/analyses`: passed on to the GPU service."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from gateway.callers import Calling
from gateway.errors import DESCRIBED
from gateway.openai_api import passed_on
from shared.domain.tenants import DEMO

router = APIRouter(tags=["analyses"], responses=DESCRIBED)

_OPERATIONS = ["transcribe", "classify", "describe", "answer"]
_FIELDS: dict[str, Any] = {
    "file": {
        "type": "array",
        "items": {"type": "string", "format": "binary"},
        "description": "The sounds; several are a batch.",
    },
    "operations": {
        "type": "array",
        "items": {"enum": _OPERATIONS},
        "description": "What is asked of each file; also as one list with commas.",
    },
    "question": {"type": "string", "description": "What `answer` answers."},
    "language": {"type": "string", "description": "ISO 639-1; detected if left out."},
}
_SCHEMA = {"type": "object", "required": ["file", "operations"], "properties": _FIELDS}
_FORM = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _SCHEMA}}}}
_ANSWER = {"type": "object", "required": ["object", "data", "accept_at", "versions"]}


@router.post(
    "/v1/analyses",
    response_class=Response,
    responses={200: {"content": {"application/json": {"schema": _ANSWER}}}},
    openapi_extra=_FORM,
)
async def analyse(request: Request, caller: Calling) -> Response:
    """Hear some files now and do to each what `operations` say; nothing is kept.

    Each file and each operation is answered or fails by itself: an entry of `data` has `results`
    by operation, each with its `error` or null. `accepted` says whether a calibrated confidence
    reaches `accept_at`, and is null where nothing is calibrated.
    """
    return await passed_on(request, caller.tenant or DEMO)
