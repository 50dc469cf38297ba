"""`POST /v1/models/{engine}/load|unload`, `GET /health/{engine}`, `GET /status/{engine}`."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import JSONResponse, Response

from gpu_service.hosting.desired import Wanted
from gpu_service.hosting.host import State
from gpu_service.house import House
from gpu_service.openai_api import failures
from gpu_service.push_tokens import PushTokens
from shared.errors import EarwitnessError, ForgedTicket, InvalidRequest
from shared.logs import say

log = logging.getLogger("earwitness.models_api")
router = APIRouter()
#: Bytes of a wish: a reason and its braces.
MAX_BODY = 4 << 10
ACCEPTED = 202


class Wish(BaseModel):
    """The body of load and unload; may be left out."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field("", max_length=500, description="Kept beside the wish, for the next one.")


@router.post("/v1/models/{name}/load", status_code=ACCEPTED)
async def load(name: str, request: Request) -> Response:
    """Want this engine in the memory of every instance, and kept there."""
    return await _wished(name, Wanted.LOADED, request)


@router.post("/v1/models/{name}/unload", status_code=ACCEPTED)
async def unload(name: str, request: Request) -> Response:
    """Want its memory given back by every instance; the next call loads it again."""
    return await _wished(name, Wanted.UNLOADED, request)


@router.get("/health/{name}")
async def health(name: str, request: Request) -> Response:
    """200 where the engine answers or would load at the next call; 503 after a failed load."""
    house: House = request.app.state.house

    async def told() -> Response:
        status = house.fleet.status(name)
        ill = status.state is State.FAILED
        said = {"engine": name, "state": status.state.value, "error": status.error}
        return JSONResponse({"status": "failed" if ill else "ok", **said}, 503 if ill else 200)

    return await _answered(told)


@router.get("/status/{name}")
async def status(name: str, request: Request) -> Response:
    """All there is to say of one engine on this instance."""
    house: House = request.app.state.house

    async def told() -> Response:
        house.fleet.status(name)  # an unknown engine is refused before the store is asked
        return JSONResponse(await asyncio.to_thread(portrait, house, name))

    return await _answered(told)


def portrait(house: House, name: str) -> dict[str, Any]:
    """The engine's state, device, load times, memory and wish, as JSON; reads the store.

    Raises:
        ModelNotFound: there is no such engine. StoreUnavailable: see there.
    """
    now, settings = house.fleet.status(name), house.engines[name]
    desired = house.fleet.desired(name)
    capabilities, server = house.hosts[name].capabilities(), house.servers[name]
    languages = capabilities.languages
    return {
        "engine": name,
        "kind": settings.kind,
        "tasks": sorted(capabilities.tasks),
        "languages": sorted(languages) if languages is not None else None,
        "versions": capabilities.versions,
        "concurrency": capabilities.concurrency,
        **asdict(now),
        "breaker": server.position.value,
        "waiting": server.waiting,
        "wanted": asdict(desired) if desired else None,
    }


async def _wished(name: str, wanted: Wanted, request: Request) -> Response:
    house: House = request.app.state.house

    async def done() -> Response:
        await _verified(house.operators, request)
        reason = _reason(await _bounded(request))
        desired = await asyncio.to_thread(house.fleet.wish, name, wanted, reason)
        return JSONResponse(asdict(desired), ACCEPTED)

    return await _answered(done)


async def _answered(told: Callable[[], Awaitable[Response]]) -> Response:
    try:
        return await told()
    except EarwitnessError as error:
        if not isinstance(error, InvalidRequest):
            say(log, error)
        return failures.answer(error)


async def _verified(operators: PushTokens | None, request: Request) -> None:
    authorization = request.headers.getlist("authorization")
    try:
        if operators is None:
            raise ForgedTicket
        if not operators.knows(authorization):
            # A key that is not known yet is asked for over the network.
            await asyncio.to_thread(operators.verify, authorization)
    except ForgedTicket as error:
        raise ForgedTicket("Only an operator may load and unload engines.") from error


async def _bounded(request: Request) -> bytes:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY:
            raise InvalidRequest(f"A wish has {MAX_BODY} bytes at most.")
    return body


def _reason(body: bytes) -> str:
    try:
        return Wish.model_validate_json(body).reason if body.strip() else ""
    except ValidationError as error:
        raise InvalidRequest(
            'The body is not understood. Leave it out, or send {"reason": "..."}.'
        ) from error
