"""What a recording's history says about its attempts, and about how it left the list."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile

from shared.domain.recording import Failure, Moved
from shared.domain.retention import moves
from shared.domain.states import State
from shared.errors import InvalidRequest, PaidCallWithheld

#: Characters; a reason is a sentence or two.
MAX_WHY = 500
#: Days a dead letter waits for a person (issue 3, "retention 7 days").
LETTERS_KEPT_DAYS = 7
#: Who takes the letters off the list that waited longer.
RETENTION = "retention"
_DISCARDED = "discarded"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One stretch of work on a recording, from its lease to how it ended.

    An attempt that was handed over, given back or put off goes on in the next stretch under
    the same number. A replay counts from 1 again.
    """

    number: int
    worker: str
    began_at: datetime
    ended_at: datetime | None  #: None while it goes on
    ending: str  #: the reason in the history; empty while it goes on
    error: Failure | None

    @property
    def engine(self) -> str | None:
        """The engine that is to blame for the error, where one is."""
        return self.error.engine if self.error else None


def attempts(history: Sequence[Moved]) -> list[Attempt]:
    """Every stretch of work, oldest first; whatever moved it after a lease ended it."""
    history = moves(history)
    following = [*history[1:], None]
    return [
        Attempt(
            line.attempt or 1,
            line.actor,
            line.at,
            end.at if end else None,
            end.reason if end else "",
            end.error if end else None,
        )
        for line, end in zip(history, following, strict=True)
        if line.state is State.PROCESSING
    ]


def failing(history: Sequence[Moved], number: int, engine: str) -> Failure | None:
    """How this engine failed last in the attempt that goes on, over all its stretches."""
    stretches = takewhile(lambda a: a.number == number, reversed(attempts(history)))
    errors = (one.error for one in stretches)
    told = (e for e in errors if e and e.engine == engine and e.code != PaidCallWithheld.code)
    return next(told, None)


def why(text: str) -> str:
    """A person's reason, on one line.

    Raises:
        InvalidRequest: there is none, or it is longer than MAX_WHY characters.
    """
    said = " ".join(text.split())
    if not said:
        raise InvalidRequest("Say why it is discarded; the next reader will ask.")
    if len(said) > MAX_WHY:
        raise InvalidRequest(f"The reason is longer than {MAX_WHY} characters.")
    return said


def discarded(why: str) -> str:
    """The history's reason for a letter that was taken off the list."""
    return f"{_DISCARDED}: {why}"


def discarding(history: Sequence[Moved]) -> Moved | None:
    """The line that took the letter off the list, or None where it still waits."""
    last = next(reversed(moves(history)), None)
    if last is None or last.state is not State.DEAD or last.error is not None:
        return None
    return last if last.reason.startswith(_DISCARDED) else None


def waited_s(history: Sequence[Moved]) -> float:
    """Seconds between the last lease and what made the job ready for it."""
    history = moves(history)
    leases = [n for n, line in enumerate(history) if n and line.state is State.PROCESSING]
    return (history[leases[-1]].at - history[leases[-1] - 1].at).total_seconds() if leases else 0.0
