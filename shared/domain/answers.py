"""What engines say, in one shape for all of them."""

from dataclasses import dataclass
from enum import StrEnum


class Task(StrEnum):
    TRANSCRIBE = "transcribe"
    CLASSIFY = "classify"
    DESCRIBE = "describe"
    ANSWER = "answer"
    EMBED = "embed"
    ALIGN = "align"


@dataclass(frozen=True, slots=True)
class Word:
    """One word; times in seconds from the start of what the engine was given."""

    start_s: float
    end_s: float
    text: str
    confidence: float | None
    source: str = "engine"  #: who placed it: engine, or the aligner's name


@dataclass(frozen=True, slots=True)
class SoundEvent:
    """Something heard that need not be speech; times as in `Word`."""

    label: str
    start_s: float
    end_s: float
    confidence: float | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What one engine said of one segment.

    `confidence` is the engine's own and means nothing across engines unless
    `calibrated`; None when the engine gives none.
    """

    engine: str
    task: Task
    text: str = ""
    language: str | None = None  #: ISO 639-1
    confidence: float | None = None
    calibrated: bool = False
    words: tuple[Word, ...] = ()
    events: tuple[SoundEvent, ...] = ()
    seconds: float = 0.0  #: time the engine worked on it, its share of a batch
    cost_usd: float = 0.0
    cautions: tuple[str, ...] = ()  #: codes: repetition_suspected, language_guessed ...
