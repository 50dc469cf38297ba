"""One recording as lists show it; same names as in the result document."""

from shared.domain.api import History, HistoryLine, Listed
from shared.domain.recording import Moved, Recording
from shared.domain.result import Fault
from shared.domain.testimony import subject


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
