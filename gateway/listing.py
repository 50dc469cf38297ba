"""One recording as lists show it; same names as in the result document."""

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from shared.domain.lanes import Lane
from shared.domain.recording import Moved, Recording
from shared.domain.result import Fault, Subject
from shared.domain.states import State
from shared.domain.tenants import Tier
from shared.domain.testimony import subject


class _Described(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class Listed(_Described):
    """What is known of a recording without opening its result."""

    recording: Subject
    """Id, name, tenant and size."""
    status: State
    """The state of the recording."""
    review: bool
    """True where no engine was sure enough and a person should look."""
    error: Fault | None
    """Why there is no result, or why the last attempt failed."""
    tier: Tier
    """The tenant's tier when the recording came."""
    lane: Lane | None
    """The lane it waits or waited in; null when it was refused at the door."""
    rule: str | None
    """Name of the rule that chose the lane."""
    received_at: AwareDatetime
    """When it came."""
    updated_at: AwareDatetime
    """When its state last changed."""
    kept_until: AwareDatetime
    """When the promise to keep it ends."""
    deferred_until: AwareDatetime | None
    """While deferred: when it will be placed again."""
    duration_s: float | None = Field(ge=0)
    """Length: estimated from the header, measured once decoded."""
    attempts: int = Field(ge=0)
    """How often work on the sound began."""
    progress: float = Field(ge=0, le=1)
    """Share of the sound heard so far."""
    language: str | None
    """ISO 639-1 code of the language most is spoken in."""
    confidence: float | None
    """Confidence of the transcript; calibrated only where its result says so."""


class RecordingPage(_Described):
    recordings: list[Listed]
    """Newest first."""
    next: str | None
    """Give this as `before` for the page after this one; null on the last page."""


class HistoryLine(_Described):
    """One change of state."""

    state: State
    """The state it came into."""
    at: AwareDatetime
    """When."""
    actor: str
    """Who: a worker, reconcile, page, api."""
    reason: str
    """Why, in a word or a code."""


class History(_Described):
    history: list[HistoryLine]
    """Oldest first."""


def listed(known: Recording) -> Listed:
    return Listed(
        recording=subject(known),
        status=known.state,
        review=known.review,
        error=known.error and Fault(code=known.error.code, message=known.error.message),
        tier=known.tier,
        lane=known.lane,
        rule=known.rule,
        received_at=known.received_at,
        updated_at=known.updated_at,
        kept_until=known.kept_until,
        deferred_until=known.deferred_until,
        duration_s=known.seconds,
        attempts=known.attempts,
        progress=known.progress,
        language=known.language,
        confidence=known.confidence,
    )


def told(moves: list[Moved]) -> History:
    lines = [HistoryLine(state=m.state, at=m.at, actor=m.actor, reason=m.reason) for m in moves]
    return History(history=lines)
