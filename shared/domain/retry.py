"""When a failed attempt is tried again, and when it is over."""

from dataclasses import dataclass

#: DESIGN section 4: "1 + 3". The seeds' "3 retries" are the attempts after the first.
MAX_ATTEMPTS = 4
#: Seconds before the second attempt; each further wait is FACTOR times longer.
BASE_S, FACTOR, CAP_S = 2.0, 4.0, 600.0


@dataclass(frozen=True, slots=True)
class Again:
    """Try again, not before so many seconds from now."""

    after_s: float


@dataclass(frozen=True, slots=True)
class Over:
    """Out of attempts: the job is dead."""


def after_failure(attempts: int, chance: float, base_s: float = BASE_S) -> Again | Over:
    """Decide what follows when attempt number `attempts` (from 1) has failed.

    Full waits are base_s, 4 base_s, 16 base_s ...: 2, 8, 32 s. Half of each is jitter
    ("equal jitter", Brooker 2015, "Exponential Backoff And Jitter"): a wait is between
    half of the full one and all of it, so that jobs that failed together part.

    Args:
        chance: uniform in 0..1, drawn by the caller.
    """
    if attempts >= MAX_ATTEMPTS:
        return Over()
    full_s = min(CAP_S, base_s * FACTOR ** (attempts - 1))
    return Again(full_s * (0.5 + 0.5 * chance))
