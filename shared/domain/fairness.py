"""Whose job comes next: start-time fair queueing over tenants.

Source: Goyal, Vin, Cheng 1996, "Start-time Fair Queuing", section 2. Their virtual time
is our wall clock, so that waiting itself ages a job: a tag of the past beats every newcomer.
"""

from dataclasses import dataclass

#: Seconds. How far a flood may push its own tenant into the future. Without the cap a
#: tenant that sent a year's archive would be behind everybody for a year; with it, for an hour.
MAX_LEAD_S = 3600.0
#: Seconds of audio charged where the header does not say how long the recording is.
UNKNOWN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Tags:
    start_tag: float  #: seconds since the epoch; lease order
    next_tag: float  #: the earliest tag of the tenant's next job


def tag(now: float, next_tag: float, audio_seconds: float | None, weight: float) -> Tags:
    """Tag one job and charge it to its tenant.

    Args:
        now: seconds since the epoch.
        next_tag: the tenant's, from its last job; 0 for the first.
        audio_seconds: estimated length of the recording.
        weight: of the tenant's tier, > 0.
    """
    cost_s = UNKNOWN_SECONDS if audio_seconds is None else audio_seconds
    start = max(now, min(next_tag, now + MAX_LEAD_S))
    return Tags(start_tag=start, next_tag=min(start + cost_s / weight, now + MAX_LEAD_S))
