"""`/v1/audio/transcriptions`, `/v1/audio/translations`, `/v1/models`."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, StreamingResponse

from gpu_service.house import House
from gpu_service.openai_api import engines, failures
from gpu_service.openai_api.asked import Asked, asked
from gpu_service.openai_api.callers import gateway_tokens, tenant_of, verified
from gpu_service.openai_api.calls import Call, CallerGone, Step, hung_up
from gpu_service.openai_api.events import Telling
from gpu_service.openai_api.forms import form
from gpu_service.openai_api.testifying import Witness, wishes
from gpu_service.openai_api.transcripts import Transcript, rendered
from gpu_service.push_tokens import PushTokens
from shared.domain.cascade import Decided
from shared.domain.sound import Limits, Survey
from shared.domain.tenants import Tenant
from shared.errors import EarwitnessError, InvalidRequest
from shared.flows.listen import Listen, Listening
from shared.logs import say

log = logging.getLogger("earwitness.openai_api")
router = APIRouter()

#: Seconds of sound asked for together: four of Whisper's windows, as in the work flow.
ROUND_S = 112.0
#: Which engines answered, and what to beware of; the codes of `warnings`, between commas.
ENGINE_HEADER, WARNINGS_HEADER = "x-earwitness-engine", "x-earwitness-warnings"
LOGPROBS_HEADER = "x-earwitness-logprobs"
#: nginx's status for a caller that hung up; nobody reads it but our own log.
GONE = 499


@dataclass(frozen=True, slots=True)
class Api:
    """What the routes stand on; `create_app` puts it into the app's state."""

    house: House
    tokens: PushTokens | None
    listen: Listen
    began_s: int  #: since the epoch


def build(house: House) -> Api:
    """Raises InvalidSettings: the gateway's keys cannot be read."""
    listen = Listen(house.work.ears, house.work.ask, house.work.align)
    began_s = int(house.parts.now().timestamp())
    return Api(house, gateway_tokens(house.settings), listen, began_s)


@router.post("/v1/audio/transcriptions")
async def transcribe(request: Request) -> Response:
    """Hear one file now, in any of OpenAI's formats, whole or as it is decided."""
    try:
        return await _transcribed(_api(request), request)
    except CallerGone:
        return Response(status_code=GONE)
    except EarwitnessError as error:
        return _refused(error)


@router.post("/v1/audio/translations")
async def translate(request: Request) -> Response:
    """Refuses: no engine of ours translates."""
    try:
        await verified(_api(request).tokens, request)
        raise InvalidRequest(
            "No engine here translates. Transcribe with POST /v1/audio/transcriptions, and"
            " translate the text.",
            param="model",
        )
    except EarwitnessError as error:
        return _refused(error)


@router.get("/v1/models")
async def list_models(request: Request) -> Response:
    """Every engine, as a model."""
    return await _told(request, lambda api: engines.listed(api.house, api.began_s).model_dump())


@router.get("/v1/models/{name}")
async def show_model(name: str, request: Request) -> Response:
    """One engine, also by the name of a model of OpenAI's."""
    return await _told(request, lambda api: engines.one(api.house, name, api.began_s).model_dump())


async def _told(request: Request, tell: Callable[[Api], dict[str, Any]]) -> Response:
    try:
        api = _api(request)
        await verified(api.tokens, request)
        # An engine's capabilities may import its library at the first time.
        return JSONResponse(await run_in_threadpool(tell, api))
    except EarwitnessError as error:
        return _refused(error)


def _api(request: Request) -> Api:
    return cast(Api, request.app.state.openai_api)


def _refused(error: EarwitnessError) -> Response:
    say(log, error)
    return failures.answer(error)


async def _transcribed(api: Api, request: Request) -> Response:
    await verified(api.tokens, request)
    tenant = await run_in_threadpool(tenant_of, request, api.house.parts)
    fields, file = await form(request, api.house.settings.api_max_bytes)
    try:
        wanted = asked(fields)
        names = await run_in_threadpool(_engines, api, wanted)
    except BaseException:
        file.file.close()
        raise
    call = Call(api.house, tenant, file.file, _hearing(api, tenant, wanted, names))
    try:
        return await _answered(api, tenant, wanted, call, request)
    except BaseException:
        call.hang_up()
        raise


def _engines(api: Api, wanted: Asked) -> tuple[str, ...]:
    names = engines.chosen(api.house, wanted.model)
    engines.check_languages(api.house, names[0], wanted.languages)
    return names


def _hearing(
    api: Api, tenant: Tenant, wanted: Asked, names: tuple[str, ...]
) -> Callable[[BinaryIO, Callable[[], None]], Iterator[Step]]:
    s, own = api.house.settings, tenant.limits
    limits = Limits(min(own.max_seconds, s.api_max_seconds), min(own.max_bytes, s.api_max_bytes))
    at_a_time_s = 0.0 if wanted.stream else ROUND_S
    aligners = tuple(s.cascade.align) if wanted.tells_times else ()
    policy = engines.policy(api.house, wanted.model)
    listening = Listening(tenant.id, wishes(wanted), limits, names, at_a_time_s, aligners, policy)
    return lambda sound, alive: api.listen(sound, listening, alive)


async def _answered(
    api: Api, tenant: Tenant, wanted: Asked, call: Call, request: Request
) -> Response:
    steps = call.steps()
    # The first step tells whether the sound can be heard at all: while a status can be sent.
    survey = cast(Survey, await unless_gone(request, anext(steps)))
    witness = Witness(tenant, wanted, survey, api.house.parts.now())
    decided = cast(AsyncIterator[Sequence[Decided]], steps)
    if wanted.stream:
        events = Telling(witness).events(decided)
        return StreamingResponse(events, media_type="text/event-stream")
    return _whole(witness.transcript(await unless_gone(request, _all(decided))))


async def _all(steps: AsyncIterator[Sequence[Decided]]) -> list[Decided]:
    return [one async for many in steps for one in many]


def _whole(transcript: Transcript) -> Response:
    body, content_type = rendered(transcript)
    headers = {ENGINE_HEADER: ",".join(transcript.engines)}
    if transcript.warnings:
        headers[WARNINGS_HEADER] = ",".join(w["code"] for w in transcript.warnings)
    if transcript.asked.logprobs:
        headers[LOGPROBS_HEADER] = transcript.logprobs_source
    if isinstance(body, str):
        return Response(body, media_type=content_type, headers=headers)
    return JSONResponse(body, headers=headers)


async def unless_gone(request: Request, work: Any) -> Any:
    """What `work` gives.

    Raises:
        CallerGone: the caller hung up first; the work was cancelled.
    """
    working, watching = asyncio.ensure_future(work), asyncio.ensure_future(hung_up(request))
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise CallerGone
        return working.result()
    finally:
        for task in (working, watching):
            task.cancel()
