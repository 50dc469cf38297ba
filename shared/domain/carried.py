"""A recording that was heard elsewhere, as it is kept here."""

from dataclasses import dataclass

from shared.domain.corrections import Correction
from shared.domain.recording import Moved, Passage, Recording


@dataclass(frozen=True, slots=True)
class Carried:
    """A recording as it was elsewhere, to be kept in one commit."""

    recording: Recording
    history: tuple[Moved, ...]
    corrections: tuple[Correction, ...]
    passages: tuple[Passage, ...]
    job: str | None  #: the state of its job; None where it never had one
    token: int = 0  #: that of its result
