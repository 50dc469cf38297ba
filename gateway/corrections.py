"""`/v1/recordings/{id}/corrections`: what people say was said, beside what the machine says."""

import getpass
import re
from functools import cache
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import ValidationError
from starlette.responses import RedirectResponse, Response

from gateway.callers import Caller, Calling
from gateway.dependencies import OneRecording, Wired
from gateway.errors import DESCRIBED
from gateway.security import TOKEN_CHECKED
from shared.domain.api import By, CorrectedSegment, Corrections, MadeCorrection, NewCorrection
from shared.domain.corrected import original
from shared.domain.corrections import Author, Correction, Said
from shared.domain.recording import Recording
from shared.domain.result import Transcript
from shared.errors import InvalidRequest
from shared.flows.correct import Correct
from shared.wiring import Parts

router = APIRouter(tags=["recordings"], responses=DESCRIBED)


@router.get("/v1/recordings/{recording_id}/corrections")
def list_corrections(known: OneRecording, parts: Wired) -> Corrections:
    """Every correction with who made it, when, and what the machine says there."""
    made = parts.corrections.of(known.id)
    if not made:
        return Corrections(version=0, corrections=[])
    said = correct(parts).heard(known).said
    return Corrections(version=len(made), corrections=[told(one, said) for one in made])


@router.post(
    "/v1/recordings/{recording_id}/corrections", status_code=201, dependencies=[TOKEN_CHECKED]
)
def make_correction(
    known: OneRecording, asked: NewCorrection, parts: Wired, caller: Calling
) -> MadeCorrection:
    """Say what was said, in some stretches or in the whole. The machine's result stays as it is.

    A segment that has the times and channel of one of the transcript replaces its text; one in a
    gap adds what was missed; one across others is refused. The machine's own text confirms it.
    """
    made = _made(known, asked, parts, caller)
    return told(made, correct(parts).heard(known).said)


async def _stretch(request: Request) -> NewCorrection:
    """One stretch, out of the page's form.

    Raises:
        InvalidRequest: there is none.
    """
    given = {name: value for name, value in (await request.form()).items() if value != ""}
    stretch = {name: given.get(name) for name in ("start_s", "end_s", "channel")}
    segments = [{**stretch, "text": given.get("text", "")}]
    try:
        return NewCorrection.model_validate({"base": given.get("base"), "segments": segments})
    except ValidationError as error:
        raise InvalidRequest(f"{error.errors()[0]['msg']}. Load the page again.") from error


@router.post(
    "/recordings/{recording_id}/corrections", dependencies=[TOKEN_CHECKED], include_in_schema=False
)
def send_correction(
    known: OneRecording,
    asked: Annotated[NewCorrection, Depends(_stretch)],
    parts: Wired,
    caller: Calling,
) -> Response:
    """The page's form; its sender is led back to the stretch."""
    [stretch] = _made(known, asked, parts, caller).stretches
    place = f"/recordings/{known.id}#t={stretch.start_s:.2f}"
    return RedirectResponse(place, status_code=303)


async def _base(request: Request) -> int:
    """The version that is confirmed, out of the page's form.

    Raises:
        InvalidRequest: there is none.
    """
    given = (await request.form()).get("base", "")
    if not isinstance(given, str) or not re.fullmatch(r"\d{1,6}", given):
        raise InvalidRequest("The version is missing. Load the page again.")
    return int(given)


@router.post(
    "/recordings/{recording_id}/confirmation", dependencies=[TOKEN_CHECKED], include_in_schema=False
)
def send_confirmation(
    known: OneRecording, base: Annotated[int, Depends(_base)], parts: Wired, caller: Calling
) -> Response:
    """The page's button: what nobody corrected is right as it stands."""
    correct(parts).confirm(known, base, author(caller))
    return RedirectResponse(f"/recordings/{known.id}#checked", status_code=303)


def correct(parts: Parts) -> Correct:
    return Correct(parts.corrections, parts.results, parts.now)


def told(made: Correction, said: Transcript) -> MadeCorrection:
    """A correction with what the machine says there."""
    return MadeCorrection(
        version=made.version,
        by=By(name=made.by.name, key=made.by.key),
        at=made.at,
        segments=[
            CorrectedSegment(
                start_s=one.start_s,
                end_s=one.end_s,
                channel=one.channel,
                text=one.text,
                original=original(one, said),
            )
            for one in made.stretches
        ],
        text=made.whole,
        original=None if made.whole is None else original(None, said),
    )


def _made(known: Recording, asked: NewCorrection, parts: Parts, caller: Caller) -> Correction:
    stretches = [Said(s.start_s, s.end_s, s.text, s.channel) for s in asked.segments or ()]
    return correct(parts)(known, asked.base, author(caller), stretches, asked.text)


def author(caller: Caller) -> Author:
    """Who corrects: the key that was shown, who signed in, or whoever this machine's user is."""
    if caller.key is not None:
        return Author(caller.key.name or caller.key.id, caller.key.id)
    return Author(caller.viewer or _user())


@cache
def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return "the user of this machine"
