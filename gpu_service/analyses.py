"""`POST /v1/analyses`: files in, what was asked of each out; answered or failed apart."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, cast

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.responses import JSONResponse

from gpu_service.analysis import telling
from gpu_service.analysis.hearing import Analyse, Heard
from gpu_service.analysis.telling import Json
from gpu_service.analysis.wanted import Wanted, engines, wanted
from gpu_service.openai_api import failures
from gpu_service.openai_api.callers import tenant_of, verified
from gpu_service.openai_api.calls import Call, CallerGone
from gpu_service.openai_api.engines import check_languages
from gpu_service.openai_api.forms import MAX_FIELD, MAX_FIELDS, OVERHEAD, NoForm, counted
from gpu_service.openai_api.routes import GONE, Api, unless_gone
from shared.domain.answers import Task
from shared.domain.sound import Limits, Survey
from shared.domain.tenants import Tenant
from shared.errors import EarwitnessError, InvalidRequest
from shared.logs import say

log = logging.getLogger("earwitness.analyses")
router = APIRouter()
#: Files of one request heard at once: enough to fill batches, and places stay for others.
AT_ONCE = 4


@router.post("/v1/analyses")
async def analyse(request: Request) -> Response:
    """Hear the files of a multipart form and do to each what its `operations` say."""
    api: Api = request.app.state.openai_api
    try:
        await verified(api.tokens, request)
        tenant = await run_in_threadpool(tenant_of, request, api.house.parts)
        fields, files = await _form(request, api)
    except EarwitnessError as error:
        return _refused(error)
    try:
        return await _answered(api, request, tenant, wanted(fields), files)
    except CallerGone:
        return Response(status_code=GONE)
    except EarwitnessError as error:
        return _refused(error)
    finally:
        for file in files:
            file.file.close()


def _refused(error: EarwitnessError) -> Response:
    say(log, error)
    plain = failures.answer(error)
    headers = {k: v for k, v in plain.headers.items() if k == "retry-after"}
    return JSONResponse({"error": telling.fault(error)}, plain.status_code, headers)


async def _form(request: Request, api: Api) -> tuple[list[tuple[str, str]], list[UploadFile]]:
    """The fields and the files; the files lie on disk, the caller closes them.

    Raises:
        BodyTooLarge, NoForm, InvalidRequest: it is no form, or not one with files in it.
    """
    settings = api.house.settings
    if request.headers.get("content-type", "").partition(";")[0].strip() != "multipart/form-data":
        raise NoForm
    parser = MultiPartParser(
        request.headers,
        counted(request, settings.api_max_bytes + OVERHEAD),
        max_files=settings.analysis_files,
        max_fields=MAX_FIELDS,
        max_part_size=MAX_FIELD,
    )
    try:
        items = (await parser.parse()).multi_items()
    except MultiPartException as error:
        raise InvalidRequest(f"The form cannot be read: {error.message}") from error
    files = [value for _, value in items if isinstance(value, UploadFile)]
    if not files:
        raise InvalidRequest("There is no sound: send it as the field `file`.", param="file")
    return [(name, value) for name, value in items if isinstance(value, str)], files


async def _answered(
    api: Api, request: Request, tenant: Tenant, want: Wanted, files: Sequence[UploadFile]
) -> Response:
    house, s, own = api.house, api.house.settings, tenant.limits
    analysing = Analyse(
        ears=house.work.ears,
        ask=house.work.ask,
        engines=engines(want.operations, _cascade(api)),
        wanted=want,
        tenant=tenant.id,
        limits=Limits(min(own.max_seconds, s.api_max_seconds), min(own.max_bytes, s.api_max_bytes)),
        seconds=s.analysis_seconds,
    )
    if want.language and Task.TRANSCRIBE in want.operations:
        first = house.settings.cascade.transcribe[0]
        await run_in_threadpool(check_languages, house, first, [want.language])
    told = await unless_gone(request, _all(api, tenant, analysing, files))
    if len(files) == 1 and isinstance(told[0], EarwitnessError):
        return _refused(told[0])
    data = [_entry(file, one) for file, one in zip(files, told, strict=True)]
    known = house.work.ears.versions(list(house.hosts))
    return JSONResponse(
        {
            "object": "list",
            "data": data,
            "accept_at": s.analysis_accept_at,
            "versions": telling.versions(data, known),
        }
    )


def _cascade(api: Api) -> dict[Task, tuple[str, ...]]:
    cascade = api.house.settings.cascade
    return {task: tuple(getattr(cascade, task)) for task in Task}


def _entry(file: UploadFile, told: Json | EarwitnessError) -> Json:
    named = (file.filename or "")[:255]
    return telling.failed(named, told) if isinstance(told, EarwitnessError) else told


async def _all(
    api: Api, tenant: Tenant, analysing: Analyse, files: Sequence[UploadFile]
) -> list[Json | EarwitnessError]:
    room = asyncio.Semaphore(AT_ONCE)

    async def one(file: UploadFile) -> Json | EarwitnessError:
        async with room:
            try:
                return await _heard(api, tenant, analysing, file)
            except CallerGone:
                raise
            except EarwitnessError as error:
                return error

    return await asyncio.gather(*map(one, files))


async def _heard(api: Api, tenant: Tenant, analysing: Analyse, file: UploadFile) -> Json:
    """One file's analysis.

    Raises:
        ServiceFull: too much sound waits. OverQuota: the tenant's day is used up.
        RefusedAudio, DecoderDied: it cannot be heard.
    """
    # A place and the admission are those of the audio API; only what is asked differs.
    call = Call(api.house, tenant, file.file, cast(Any, analysing))
    steps: list[Any] = [step async for step in call.steps()]
    survey, heard = cast(Survey, steps[0]), cast(list[Heard], steps[1:])
    accept_at = api.house.settings.analysis_accept_at
    return telling.analysis((file.filename or "")[:255], survey, heard, accept_at)
