"""`/v1/dead-letters`: jobs out of attempts; a person replays or discards them."""

import logging
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import ValidationError
from starlette.responses import RedirectResponse

from gateway.callers import actor, caller_of
from gateway.dependencies import OneRecording, TenantName, Wired
from gateway.errors import DESCRIBED
from gateway.security import TOKEN_CHECKED, is_form
from shared.domain.api import Causes, DeadLetter, DeadLetters, Discarding, Listed
from shared.domain.attempts import why
from shared.domain.listing import caused, days_back, letter, listed
from shared.domain.recording import Recording
from shared.errors import EarwitnessError, InvalidRequest
from shared.logs import say
from shared.wiring import Parts, publish

router = APIRouter(tags=["dead letters"], responses=DESCRIBED)
log = logging.getLogger("earwitness.gateway")

#: Rows; dead letters are looked at one by one.
DEFAULT_LIMIT, MAX_LIMIT = 100, 1_000
DEFAULT_DAYS, MAX_DAYS = 30, 366
Days = Annotated[int, Query(ge=1, le=MAX_DAYS, description="UTC days back, today included.")]


#: What programs send; the page's form says the same in its own way.
_DISCARDING = {"application/json": {"schema": Discarding.model_json_schema()}}


async def _why(request: Request) -> str:
    """The reason, out of a program's JSON or a page's form.

    Raises:
        InvalidRequest: there is none.
    """
    if is_form(request):
        given = (await request.form()).get("why", "")
        return why(given if isinstance(given, str) else "")
    try:
        return why(Discarding.model_validate_json(await request.body()).why)
    except ValidationError as error:
        raise InvalidRequest('Say why: {"why": "..."}.') from error


@router.get("/v1/dead-letters")
def list_dead_letters(
    parts: Wired,
    tenant: TenantName,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT,
) -> DeadLetters:
    """Dead jobs that nobody discarded."""
    return DeadLetters(recordings=[listed(r) for r in parts.jobs.dead(tenant, limit)])


@router.get("/v1/dead-letters/causes")
def list_causes(parts: Wired, days: Days = DEFAULT_DAYS) -> Causes:
    """How often jobs died, by UTC day and cause; replayed and discarded ones too.

    Of all tenants together: a key needs the scope `everybody`, which operators have.
    """
    return caused(parts.jobs.causes(days_back(days, parts.now())))


@router.get("/v1/dead-letters/{recording_id}")
def show_dead_letter(known: OneRecording, parts: Wired) -> DeadLetter:
    """One recording with its cause and each attempt on it.

    A letter that was replayed or discarded is shown, too.
    """
    return letter(known, parts.recordings.history(known.id))


@router.post(
    "/v1/dead-letters/{recording_id}/replay", dependencies=[TOKEN_CHECKED], response_model=Listed
)
def replay(known: OneRecording, request: Request, parts: Wired) -> Response:
    """Give a dead job its attempts back, in the low lane."""
    moved = parts.jobs.replay(known.id, _actor(request), parts.now())
    _ring(parts, moved.id)
    return _shown(request, moved)


@router.post(
    "/v1/dead-letters/{recording_id}/discard",
    dependencies=[TOKEN_CHECKED],
    response_model=Listed,
    openapi_extra={"requestBody": {"required": True, "content": _DISCARDING}},
)
def discard(
    known: OneRecording, request: Request, parts: Wired, said: Annotated[str, Depends(_why)]
) -> Response:
    """Take a dead job off the list for good; recording and upload stay.

    Who and why are kept in the history.
    """
    gone = parts.jobs.discard(known.id, _actor(request), said, parts.now())
    return _shown(request, gone)


def _actor(request: Request) -> str:
    return actor(caller_of(request), "page" if is_form(request) else "api")


def _ring(parts: Parts, recording_id: str) -> None:
    try:
        publish(parts)(recording_id)
    except EarwitnessError as error:
        # The ticket is committed; `reconcile` rings for it.
        say(log, error)


def _shown(request: Request, known: Recording) -> Response:
    """JSON for programs; a form's sender is led back to the recording."""
    if is_form(request):
        return RedirectResponse(f"/recordings/{known.id}", status_code=303)
    return Response(listed(known).model_dump_json(), media_type="application/json")
