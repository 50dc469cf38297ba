"""Exit statuses, and which failure gets which."""

from collections.abc import Iterable

from shared.domain.states import State
from shared.errors import (
    EarwitnessError,
    ImportRefused,
    InvalidProfile,
    InvalidRequest,
    InvalidSettings,
    ModelNotFound,
    NotFound,
    RefusedAudio,
    ResidencyKept,
)

DONE, FAILED, USAGE, MISSING, REJECTED = 0, 1, 2, 3, 4
#: What shells expect of a command that Ctrl-C has ended (128 + SIGINT).
INTERRUPTED = 130

_KINDS: tuple[tuple[type[EarwitnessError], int], ...] = (
    (NotFound, MISSING),
    (ModelNotFound, MISSING),
    (RefusedAudio, REJECTED),
    (ImportRefused, REJECTED),
    (InvalidRequest, USAGE),
    (InvalidProfile, USAGE),
    (ResidencyKept, USAGE),
    (InvalidSettings, USAGE),
)


def of_error(error: EarwitnessError) -> int:
    return next((status for kind, status in _KINDS if isinstance(error, kind)), FAILED)


def of_state(state: State) -> int:
    """Of one recording a command has waited for; put off is not done."""
    return {State.DONE: DONE, State.REJECTED: REJECTED}.get(state, FAILED)


def worst(statuses: Iterable[int]) -> int:
    """Over several files: 1 over 4 over 0."""
    found = set(statuses)
    return next((s for s in (FAILED, REJECTED) if s in found), DONE)
