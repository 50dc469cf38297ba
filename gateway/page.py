"""The page: server-rendered, kept fresh by fragments, the same data as the API."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response

from gateway import wording
from gateway.dead_letters import DEFAULT_DAYS
from gateway.dependencies import OneRecording, Wired
from gateway.keeping import keeping
from gateway.recordings import DEFAULT_LIMIT, Before, page_of
from gateway.rendering import render
from gateway.search import Words, passages
from gateway.timeline import lanes, ticks
from shared.domain.attempts import attempts, discarding
from shared.domain.corrected import Passage, corrected
from shared.domain.corrections import Correction
from shared.domain.listing import days_back
from shared.domain.names import TENANT
from shared.domain.recording import Recording
from shared.domain.result import Result, read
from shared.domain.states import State
from shared.flows.correct import length_s
from shared.wiring import Parts

router = APIRouter(include_in_schema=False)

#: Rows of a search on the page.
MAX_HITS = 50
#: A form sends an empty text for "all".
StateFilter = Annotated[State | Literal[""], Query()]
#: Which passage is being corrected, where no script opens the form in place.
Nth = Annotated[int | None, Query(ge=0)]
TenantFilter = Annotated[str, Query(pattern=f"^({TENANT.pattern})?$")]


@router.get("/")
def home(
    request: Request,
    parts: Wired,
    state: StateFilter = "",
    tenant: TenantFilter = "",
    before: Before = None,
    q: Words = "",
) -> Response:
    """The list, or what a search found."""
    shown = _list(parts, state, tenant, before)
    found = passages(parts, tenant or None, q, MAX_HITS) if q else []
    tenants = [t.id for t in parts.tenants.all()]
    return render(request, "home.html", {**shown, "q": q, "found": found, "tenants": tenants})


@router.get("/fragments/recordings")
def list_fragment(
    request: Request,
    parts: Wired,
    state: StateFilter = "",
    tenant: TenantFilter = "",
    before: Before = None,
) -> Response:
    """The list alone, to be put in place of an older one."""
    return render(request, "_list.html", _list(parts, state, tenant, before))


def _list(
    parts: Parts, state: State | Literal[""], tenant: str, before: str | None
) -> dict[str, Any]:
    rows, following = page_of(
        parts, tenant or None, [State(state)] if state else [], before, DEFAULT_LIMIT
    )
    return {
        "rows": rows,
        "next": following,
        "before": before,
        "state": state,
        "tenant": tenant,
        "counts": parts.recordings.counts(),
    }


@router.get("/dead-letters")
def dead_letters_page(request: Request, parts: Wired, tenant: TenantFilter = "") -> Response:
    """What waits for a decision, and what jobs have died of."""
    shown = {"letters": parts.jobs.dead(tenant or None), "tenant": tenant, "days": DEFAULT_DAYS}
    causes = parts.jobs.causes(days_back(DEFAULT_DAYS, parts.now()))
    return render(request, "dead_letters.html", {**shown, "causes": causes})


@router.get("/recordings/{recording_id}")
def recording_page(
    request: Request, known: OneRecording, parts: Wired, correcting: Nth = None
) -> Response:
    """One recording: player, transcript, sounds, decisions, history."""
    return render(request, "recording.html", _one(parts, known) | {"correcting": correcting})


@router.get("/fragments/recordings/{recording_id}")
def recording_fragment(request: Request, known: OneRecording, parts: Wired) -> Response:
    """What changes on a recording's page while it is worked on."""
    return render(request, "_recording.html", _one(parts, known) | {"correcting": None})


def _one(parts: Parts, known: Recording) -> dict[str, Any]:
    result = _result(parts, known)
    moves = parts.recordings.history(known.id)
    shown_s = known.seconds or 0.0
    made = parts.corrections.of(known.id) if result and result.transcript else []
    return {
        "known": known,
        "kept": keeping(parts, known),
        "result": result,
        "passages": _passages(known, result, made),
        "version": len(made),
        "history": moves,
        "discarded": discarding(moves),
        "attempts": attempts(moves),
        "decisions": wording.decisions(result.decisions) if result else [],
        "lanes": lanes(result.sounds, shown_s) if result else [],
        "ticks": ticks(shown_s),
    }


def _passages(known: Recording, result: Result | None, made: Sequence[Correction]) -> list[Passage]:
    """The transcript as it stands: the machine's, with what people corrected."""
    if result is None or result.transcript is None:
        return []
    return corrected(result.transcript, length_s(result), made, known.result or "")


def _result(parts: Parts, known: Recording) -> Result | None:
    if known.result is None:
        return None
    return read(parts.results.load(known.result, "result.json"))
