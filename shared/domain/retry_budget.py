"""Retries only as a share of calls, so that whoever is in trouble is not asked ever more.

Source: Beyer et al., "Site Reliability Engineering", 2016, chapter 21 "Handling Overload",
section "Deciding to Retry": at most 3 tries a request, and retries at most 10 % of the calls.
"""

from dataclasses import dataclass

#: Tries of one request, the first included.
MAX_TRIES = 3
#: Retries a call earns, and the most that may be saved up; the savings are there from the
#: start, so that the first calls of a quiet hour may be tried again, too.
SHARE, SAVED = 0.1, 5.0
#: Seconds before the first retry, what each further wait is multiplied with, and the most.
BASE_S, FACTOR, CAP_S = 0.5, 4.0, 30.0


@dataclass(slots=True)
class RetryBudget:
    """In any stretch of time: retries <= SAVED + SHARE x calls."""

    saved: float = SAVED

    def called(self) -> None:
        """Count a call (a retry is one, too)."""
        self.saved = min(SAVED, self.saved + SHARE)

    def spend(self) -> bool:
        """Whether one more retry may be made; it is counted if so."""
        if self.saved < 1.0:
            return False
        self.saved -= 1.0
        return True


def wait_s(tries: int, chance: float, asked_s: float | None = None) -> float:
    """Seconds until the next try, after `tries` of them (from 1).

    Never sooner than the service asked (`Retry-After`), with jitter on top: half of the wait
    is chance ("equal jitter", Brooker 2015, "Exponential Backoff And Jitter").
    """
    full_s = min(CAP_S, BASE_S * FACTOR ** (tries - 1))
    return (asked_s or 0.0) + full_s * (0.5 + 0.5 * chance)
