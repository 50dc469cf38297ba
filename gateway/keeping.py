"""The page's part about keeping: how long and why, and the forms that extend, hold and erase."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from starlette.responses import RedirectResponse, Response

from gateway.callers import Calling, actor
from gateway.dependencies import MAX_ID, OneRecording, Wired
from gateway.rendering import render
from gateway.security import TOKEN_CHECKED
from shared import wiring
from shared.domain.erasures import Erasure
from shared.domain.names import display
from shared.domain.recording import Hold, Recording
from shared.domain.retention import latest_extension, reason_kept
from shared.domain.tenants import Tenant, Tier
from shared.errors import ExtensionRefused, InvalidRequest, NotFound
from shared.wiring import Parts

router = APIRouter(include_in_schema=False)

#: Who asks where nobody signed in: whoever sits at the machine.
HERE = "page"
ErasureId = Annotated[str, Path(max_length=MAX_ID)]


@dataclass(frozen=True, slots=True)
class Keeping:
    """What the page says of a recording's time."""

    until: datetime
    why: str
    ending: bool  #: its end was announced
    hold: Hold | None
    earliest: str  #: first day it may be extended to, ISO; for the form
    latest: str | None  #: last day, ISO; None without limit
    may_extend: bool


def keeping(parts: Parts, known: Recording) -> Keeping:
    tenant = parts.tenants.get(known.tenant) or Tenant(known.tenant, Tier.FREE, parts.now())
    earliest = known.kept_until.astimezone(UTC).date() + timedelta(days=1)
    allowed, latest = _latest(known, tenant)
    return Keeping(
        until=known.kept_until,
        why=reason_kept(known, tenant),
        ending=known.announced_at is not None,
        hold=known.hold,
        earliest=earliest.isoformat(),
        latest=latest.isoformat() if latest else None,
        may_extend=allowed and (latest is None or latest >= earliest),
    )


def _latest(known: Recording, tenant: Tenant) -> tuple[bool, date | None]:
    """Whether the tier lets it be extended, and to which day's beginning at the latest."""
    try:
        latest = latest_extension(known, tenant.rules)
    except ExtensionRefused:
        return False, None
    return True, latest.astimezone(UTC).date() if latest else None


async def _field(request: Request, name: str) -> str:
    value = (await request.form()).get(name, "")
    return value if isinstance(value, str) else ""


async def _until(request: Request) -> datetime:
    """A day out of the form; kept until it begins, in UTC.

    Raises:
        InvalidRequest: it is no day.
    """
    try:
        day = date.fromisoformat(await _field(request, "until"))
    except ValueError as error:
        raise InvalidRequest("Say until which day it is kept, as 2027-01-31.") from error
    return datetime.combine(day, time(), UTC)


async def _reason(request: Request) -> str:
    return await _field(request, "reason")


async def _typed(request: Request) -> str:
    return await _field(request, "typed")


@router.post("/recordings/{recording_id}/extension", dependencies=[TOKEN_CHECKED])
def send_extension(
    known: OneRecording,
    parts: Wired,
    caller: Calling,
    until: Annotated[datetime, Depends(_until)],
) -> Response:
    wiring.keep(parts).extend(known, until, actor(caller, HERE))
    return _back(known)


@router.post("/recordings/{recording_id}/hold", dependencies=[TOKEN_CHECKED])
def send_hold(
    known: OneRecording, parts: Wired, caller: Calling, why: Annotated[str, Depends(_reason)]
) -> Response:
    wiring.keep(parts).hold(known, why, actor(caller, HERE))
    return _back(known)


@router.post("/recordings/{recording_id}/release", dependencies=[TOKEN_CHECKED])
def send_release(known: OneRecording, parts: Wired, caller: Calling) -> Response:
    wiring.keep(parts).release(known, actor(caller, HERE))
    return _back(known)


@router.post("/recordings/{recording_id}/erasure", dependencies=[TOKEN_CHECKED])
def send_erasure(
    known: OneRecording, parts: Wired, caller: Calling, typed: Annotated[str, Depends(_typed)]
) -> Response:
    """Erase for good; the name was typed as it is shown, so that nobody does it by a slip."""
    if typed.strip() != display(known.path).strip():
        raise InvalidRequest("The name was not typed as it is shown; nothing was erased.")
    erase = wiring.erase(parts)
    begun = erase.ask(known.id, actor(caller, HERE), parts.now())
    erase.attempt(begun, parts.now())
    return RedirectResponse(f"/erasures/{begun.id}", status_code=303)


@router.get("/erasures/{erasure_id}")
def erasure_page(request: Request, erasure_id: ErasureId, parts: Wired) -> Response:
    """How far an erasure has come."""
    return render(request, "erasure.html", {"one": _erasure(parts, erasure_id)})


@router.get("/erasures/{erasure_id}/receipt.json")
def receipt(erasure_id: ErasureId, parts: Wired) -> Response:
    """The signed receipt, as a file.

    Raises:
        NotFound: there is none yet.
    """
    one = _erasure(parts, erasure_id)
    if one.receipt is None:
        raise NotFound("There is no receipt yet. Ask again in a minute.")
    return Response(one.receipt, media_type="application/json")


def _erasure(parts: Parts, erasure_id: str) -> Erasure:
    found = parts.erasures.get(erasure_id)
    if found is None:
        raise NotFound("There is no such erasure.")
    return found


def _back(known: Recording) -> Response:
    return RedirectResponse(f"/recordings/{known.id}#keeping", status_code=303)
