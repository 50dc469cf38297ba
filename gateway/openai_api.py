"""`/v1/audio/…`, `/v1/models`: OpenAI's audio API, passed on to the GPU service."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from gateway.callers import Calling
from gateway.errors import DESCRIBED
from gateway.upstream import Upstream
from shared.domain.tenants import DEMO
from shared.errors import NotFound

router = APIRouter(tags=["OpenAI's audio API"], responses=DESCRIBED)

#: nginx's status for a caller that hung up; nobody reads it.
GONE = 499
_TEXT = {"type": "string"}
_STRINGS = {"type": "array", "items": _TEXT}
_FORMATS = ["json", "text", "srt", "verbose_json", "vtt", "diarized_json"]
_FIELDS: dict[str, Any] = {
    "file": {"type": "string", "format": "binary", "description": "The sound: WAV, FLAC, MP3 ..."},
    "model": _TEXT | {"description": "An engine of GET /v1/models, or one of its aliases."},
    "language": _TEXT | {"description": "ISO 639-1; detected if left out."},
    "languages[]": _STRINGS | {"description": "Languages it may be in."},
    "prompt": _TEXT | {"description": "Names or earlier text, for engines that take any."},
    "response_format": {"enum": _FORMATS, "default": "json"},
    "temperature": {"type": "number", "minimum": 0, "maximum": 1, "default": 0},
    "timestamp_granularities[]": {
        "type": "array",
        "items": {"enum": ["word", "segment"]},
        "description": "With verbose_json only; with word alone, segments are left out.",
    },
    "include[]": {"type": "array", "items": {"enum": ["logprobs"]}, "description": "json only."},
    "stream": {"type": "boolean", "default": False},
    "chunking_strategy": {"enum": ["auto"]},
}
_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {"type": "object", "required": ["file", "model"], "properties": _FIELDS}
            }
        },
    }
}
_HEARD: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "What was said. `x-earwitness-engine` names the engines that answered.",
        "content": {
            "application/json": {"schema": {"type": "object", "required": ["text"]}},
            "text/plain": {"schema": _TEXT},
            "text/vtt": {"schema": _TEXT},
            "text/event-stream": {"schema": _TEXT},
        },
    }
}
_TRANSLATION = {
    "requestBody": {
        "required": True,
        "content": {"multipart/form-data": {"schema": {"type": "object"}}},
    }
}
_MODEL = {"type": "object", "required": ["id", "object", "created", "owned_by"]}
_LIST = {
    "type": "object",
    "required": ["object", "data"],
    "properties": {"data": {"type": "array", "items": _MODEL}},
}


@router.post(
    "/v1/audio/transcriptions",
    response_class=Response,
    responses=_HEARD,
    openapi_extra=_FORM,
)
async def transcriptions(request: Request, caller: Calling) -> Response:
    """Hear one file of up to 25 minutes now; nothing of it is kept.

    As OpenAI's, and any client of theirs works: point its `base_url` here. Longer sound, and
    sound that shall be found again, goes through POST /v1/uploads. Engines that cost money
    are not asked.
    """
    return await passed_on(request, caller.tenant or DEMO)


@router.post(
    "/v1/audio/translations",
    response_class=Response,
    responses={200: {"description": "Never: no engine here translates."}},
    openapi_extra=_TRANSLATION,
)
async def translations(request: Request, caller: Calling) -> Response:
    """Refused with the reason: no engine here translates. OpenAI retires this address, too."""
    return await passed_on(request, caller.tenant or DEMO)


@router.get(
    "/v1/models",
    response_class=Response,
    responses={200: {"content": {"application/json": {"schema": _LIST}}}},
)
async def list_models(request: Request, caller: Calling) -> Response:
    """The engines, as models: with `tasks`, `languages`, `state` and `aliases`."""
    return await passed_on(request, caller.tenant or DEMO)


@router.get(
    "/v1/models/{model}",
    response_class=Response,
    responses={200: {"content": {"application/json": {"schema": _MODEL}}}},
)
async def show_model(model: str, request: Request, caller: Calling) -> Response:
    """One engine, by its name or an alias."""
    if set(model) <= {"."}:  # on the way it would lead to another address
        raise NotFound("No engine has this name. List them with GET /v1/models.")
    return await passed_on(request, caller.tenant or DEMO)


async def passed_on(request: Request, tenant: str) -> Response:
    """The service's answer to this request, for this tenant."""
    upstream: Upstream = request.app.state.upstream
    try:
        return await upstream.passed_on(request, tenant)
    except ClientDisconnect:
        return Response(status_code=GONE)
