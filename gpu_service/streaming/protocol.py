"""What is said on `WS /v1/audio/stream`, apart from the socket: messages in, messages out.

The first message is JSON: a `Config`, or `{"resume": token}`. Then binary frames are chunks of
sound, and `{"type": "end"}` is the only other text. All replies are JSON with a `type`: ready,
partial, final, warning, error, closing, done.
"""

import json
from enum import StrEnum
from math import ceil
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from shared.domain.answers import Answer
from shared.domain.sound import MAX_CHANNELS, MAX_RATE_HZ, MIN_RATE_HZ, SAMPLE_RATE
from shared.errors import EarwitnessError, InvalidStream, UnusualSignal

#: Milliseconds of one chunk: shorter ones cost more in framing than they carry.
MIN_CHUNK_MS, MAX_CHUNK_MS = 10, 1_000
#: Fields whose value no recording may have either; they have an error of their own.
SIGNAL_FIELDS = ("sample_rate", "channels")

Reply = dict[str, Any]


class Encoding(StrEnum):
    """How samples are written: little-endian, channels interleaved."""

    PCM16 = "pcm16"
    FLOAT32 = "float32"

    @property
    def sample_bytes(self) -> int:
        return 2 if self is Encoding.PCM16 else 4


class Config(BaseModel):
    """The first message of a new stream. The defaults of the queue are those of the seeds."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    sample_rate: int = Field(SAMPLE_RATE, ge=MIN_RATE_HZ, le=MAX_RATE_HZ)
    encoding: Encoding = Encoding.PCM16
    channels: int = Field(1, ge=1, le=MAX_CHANNELS)
    language: str | None = Field(None, pattern="^[a-z]{2,3}$")
    engine: str | None = Field(None, pattern="^[a-z0-9_.-]{1,40}$")
    chunk_ms: int = Field(100, ge=MIN_CHUNK_MS, le=MAX_CHUNK_MS)
    overlap_ms: int = Field(0, ge=0)  #: how much of each chunk repeats the end of the one before
    max_queue_chunks: int = Field(10, ge=1, le=256)
    interim: bool = True  #: partial hypotheses are wanted
    live: bool = False  #: sound comes as it happens: its rate is compared with the clock
    start_sample: int = Field(0, ge=0)  #: of the client's count, where a lost stream goes on
    start_segment: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _advances(self) -> Self:
        if self.overlap_ms >= self.chunk_ms:
            raise ValueError("overlap_ms must be less than chunk_ms")
        return self

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of all channels."""
        return self.channels * self.encoding.sample_bytes

    @property
    def chunk_bytes(self) -> int:
        """The most a frame may hold; a rate that does not divide leaves one sample more."""
        return ceil(self.sample_rate * self.chunk_ms / 1000) * self.frame_bytes

    @property
    def overlap_bytes(self) -> int:
        return self.sample_rate * self.overlap_ms // 1000 * self.frame_bytes


class Resume(BaseModel):
    """The first message of a stream that goes on."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    resume: str = Field(max_length=512)


def opening(text: str) -> Config | Resume:
    """The first message, read.

    Raises:
        UnusualSignal: a rate or a number of channels that nothing here hears.
        InvalidStream: it is neither of the two; the message names the first wrong field.
    """
    kind = Resume if text.lstrip().startswith("{") and '"resume"' in text else Config
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the message"
        if where in SIGNAL_FIELDS:
            raise UnusualSignal from error
        raise InvalidStream(f"The first message is wrong: {where}: {first['msg']}.") from error


def ends(text: str) -> bool:
    """Whether a text message says that no more sound will come."""
    try:
        said = json.loads(text)
    except ValueError:
        return False
    return isinstance(said, dict) and said.get("type") == "end"


def partial(index: int, span: tuple[float, float], answer: Answer) -> Reply:
    """What is understood so far of a segment still spoken; the next one replaces it."""
    return {"type": "partial", **_heard(index, span), "text": answer.text}


def final(index: int, span: tuple[float, float], answer: Answer) -> Reply:
    """What stands. Times in seconds from the first sample of the client's count."""
    words = [
        {
            "start_s": round(w.start_s, 3),
            "end_s": round(w.end_s, 3),
            "text": w.text,
            "confidence": w.confidence,
            "source": w.source,
        }
        for w in answer.words
    ]
    said = {"text": answer.text, "language": answer.language, "confidence": answer.confidence}
    by = {"calibrated": answer.calibrated, "engine": answer.engine, "words": words}
    return {"type": "final", **_heard(index, span), **said, **by}


def _heard(index: int, span: tuple[float, float]) -> Reply:
    return {"segment": index, "start_s": round(span[0], 3), "end_s": round(span[1], 3)}


def warning(code: str, message: str) -> Reply:
    return {"type": "warning", "code": code, "message": message}


def fault(error: EarwitnessError, retry_count: int = 0, **more: str | int) -> Reply:
    """An error, in the shape of the seeds: code, message, how often we tried, whether to return.

    `recoverable` is true where the stream can go on: by the token in it, or from the sample.
    """
    recoverable = error.retryable or "resume" in more or "send_from_sample" in more
    told = {"code": error.code, "message": str(error)}
    return {
        "type": "error",
        **told,
        "retry_count": retry_count,
        "recoverable": recoverable,
        **more,
    }
