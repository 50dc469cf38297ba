"""What engines say, in one shape for all of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
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
    source: str = "engine"  #: who placed it: engine, engine+energy, or the aligner's name


@dataclass(frozen=True, slots=True)
class SoundEvent:
    """Something heard that need not be speech; times as in `Word`."""

    label: str
    start_s: float
    end_s: float
    confidence: float | None


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a text, with its natural log-probability given all before it."""

    text: str
    logprob: float


@dataclass(frozen=True, slots=True)
class Embedding:
    """What a segment sounds like, in numbers: to find the like by, and patterns in it."""

    vector: tuple[float, ...]  #: pooled over time: means, then standard deviations
    frames: str  #: base64 of int8, shape (n_frames, dims), row by row; empty if none
    dims: int  #: numbers a frame
    frames_per_s: float


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
    #: Raw figures a calibration reads, by name; a missing one was not measured. `mean_logprob`,
    #: `min_window_logprob` (lowest mean of 4 tokens in a row), `mean_entropy` (nats a token),
    #: `alignment_score`, `no_speech_probability`, `language_probability`, `compression_ratio`.
    signals: Mapping[str, float] = field(default_factory=dict)
    tokens: tuple[Token, ...] = ()
    embedding: Embedding | None = None
    #: ANSWER: the words or sounds it rests on; "" where the sound does not tell, None where the
    #: engine says nothing about it.
    evidence: str | None = None
