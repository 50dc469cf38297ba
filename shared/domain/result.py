"""The result of one recording, `earwitness.result/v1`: what consumers read and rely on.

`docs/result.schema.json` is generated from these classes, so every field says what it is.
v1 grows by adding keys only: writing refuses a key it does not know, reading ignores it.
"""

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from shared.domain.answers import Task
from shared.domain.cascade import Verdict
from shared.domain.lanes import Lane
from shared.domain.states import State
from shared.domain.tenants import Tier

#: A name, not an address: nothing is fetched to check a result.
SCHEMA_ID = "urn:earwitness:result:v1"
DIALECT = "https://json-schema.org/draft/2020-12/schema"

Seconds = Annotated[float, Field(ge=0.0)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class _Part(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        serialize_by_alias=True,
        use_attribute_docstrings=True,
        json_schema_serialization_defaults_required=True,
    )


class Subject(_Part):
    """The recording this is the result of: one generation of one object."""

    id: str
    """Hash of bucket, name and generation; 32 hexadecimal digits."""
    name: str
    """The name the uploader gave, inside the tenant's folder. Any text: escape it where shown."""
    tenant: str
    """The tenant the recording belongs to."""
    uri: str
    """Where the sound lies, for example gs://bucket/uploads/acme/call.wav."""
    generation: int
    """Generation of the object; a new upload under the same name is another recording."""
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    """Digest of the uploaded bytes; null when the file was refused before it was read whole."""
    size_bytes: int = Field(ge=0)
    """Size of the upload."""


class Fault(_Part):
    """Why there is no result."""

    code: str
    """One of the codes in docs/errors.md; it never changes."""
    message: str
    """What happened and what to do, for a person."""


class Warned(_Part):
    """Something the reader must know: what was cut, skipped or degraded."""

    code: str
    """Machine-readable name of the warning."""
    message: str
    """What happened, for a person."""


class AudioQuality(_Part):
    """How well the sound was recorded, measured on the 16 kHz mono mix."""

    peak_dbfs: float | None
    """Highest absolute sample, dB of full scale; null for digital silence."""
    clipped_share: Share
    """Share of samples at or above 0.999 of full scale."""
    loudness_lufs: float | None
    """Integrated loudness, ITU-R BS.1770-4; null where it is below the absolute gate."""
    silence_share: Share
    """Share of 20 ms frames below -60 dBFS."""
    noise_dbfs: float | None
    """Estimated noise floor, dB of full scale; null for digital silence."""


class Audio(_Part):
    """What the file holds, and how it sounds."""

    container: str
    """Short name of the container: wav, flac, mp3, ogg, mp4, matroska, aiff, adts."""
    codec: str
    """The codec, as FFmpeg names it."""
    sample_rate_hz: int = Field(gt=0)
    """Sample rate of the file."""
    channels: int = Field(gt=0)
    """Number of channels of the file."""
    duration_s: Seconds
    """Length of the sound that was decoded, not what the header claims."""
    quality: AudioQuality
    """Measurements of the sound."""


class TranscriptWord(_Part):
    """One word, with its place in the recording."""

    start_s: Seconds
    """Start, from the beginning of the recording."""
    end_s: Seconds
    """End, from the beginning of the recording."""
    text: str
    """The word with its punctuation, without surrounding blanks."""
    confidence: Share | None
    """The engine's own number for the word; null where it gives none, and where the segment's
    confidence is a measured probability: nobody has measured what a word's number is worth."""
    source: str
    """Who placed the word in time: engine (the one that wrote it), engine+energy (its times,
    moved to where the sound begins and ends), or the aligner's name."""


class TranscriptSegment(_Part):
    """A stretch of speech."""

    start_s: Seconds
    """Start, from the beginning of the recording."""
    end_s: Seconds
    """End, from the beginning of the recording."""
    channel: int | None
    """The channel it was heard on, from 0; null for the mix of all channels."""
    language: str | None
    """ISO 639-1 code of the language; null where none was determined."""
    text: str
    """What was said."""
    confidence: Share | None
    """How probably the text is right; null where its engine is not calibrated."""
    words: tuple[TranscriptWord, ...]
    """The words in order; empty where the engine gives none."""


class Transcript(_Part):
    """What was said."""

    text: str
    """The whole text, segments in order of time."""
    confidence: Share | None
    """Confidence of the whole, weighted by the length of the segments."""
    calibrated: bool
    """True where every segment's confidence is a measured probability; else some are null."""
    coverage: Share
    """Seconds accounted for / seconds of sound."""
    unexplained_s: Seconds
    """Loud stretches that no detector took for speech and no engine explained."""
    segments: tuple[TranscriptSegment, ...]
    """Stretches of speech, in order of time."""


class Sound(_Part):
    """Something heard that need not be speech."""

    label: str
    """What it is."""
    start_s: Seconds
    """Start, from the beginning of the recording."""
    end_s: Seconds
    """End, from the beginning of the recording."""
    confidence: Share | None
    """How sure the engine was; null where it gives no number."""


class DescriptionPart(_Part):
    """A stretch of the recording described in words."""

    start_s: Seconds
    """Start of the stretch, from the beginning of the recording."""
    end_s: Seconds
    """End of the stretch."""
    engine: str
    """The engine that described it."""
    text: str
    """The description of the stretch."""
    confidence: Share | None
    """How sure the engine was; null where it gives no number."""


class Description(_Part):
    """The recording described in words."""

    text: str
    """The description: that of every part, in order of time."""
    support: Share | None
    """Share of its claims that another engine's hearing bears out; null where not checked."""
    parts: tuple[DescriptionPart, ...] = ()
    """The stretches that were described; a warning says if something was left out."""


class AnsweredPart(_Part):
    """What was answered about a stretch of the recording."""

    start_s: Seconds
    """Start of the stretch, from the beginning of the recording."""
    end_s: Seconds
    """End of the stretch."""
    engine: str
    """The engine that answered."""
    text: str
    """The answer about the stretch."""
    evidence: str | None = None
    """The words or sounds it rests on; empty: the sound does not tell; null: it was not said."""
    confidence: Share | None
    """How sure the engine was; null where it gives no number."""


class Answered(_Part):
    """A question that was asked of the recording, and its answer."""

    question: str
    """The question as it was asked."""
    text: str
    """The answer: that of every part that knows one; empty where a warning says why."""
    confidence: Share | None
    """How sure the engine was; null where it gives no number."""
    parts: tuple[AnsweredPart, ...] = ()
    """The stretches that were asked about; a warning says if something was left out."""


class Features(_Part):
    """The vector of the recording that similarity search uses."""

    engine: str
    """The engine that made it."""
    dims: int = Field(gt=0)
    """Its number of dimensions."""
    vector_ref: str
    """Where it lies: a file beside the result, .npy, float32; means, then deviations."""
    frames_ref: str | None = None
    """The file of what it sounds like over time, .npy, int8, a row a frame; null if none."""
    frame_dims: int | None = Field(default=None, gt=0)
    """Numbers a frame."""
    frames_per_s: float | None = Field(default=None, gt=0)
    """Frames a second; frame i begins at i / frames_per_s."""


class Conflict(_Part):
    """Two engines heard different things and both were sure."""

    start_s: Seconds
    """Start of the stretch, from the beginning of the recording."""
    end_s: Seconds
    """End of the stretch."""
    channel: int | None
    """The channel, from 0; null for the mix."""
    engines: tuple[str, ...]
    """The engines that disagree, the one that was believed first."""
    texts: tuple[str, ...]
    """What each of them said, in the order of `engines`."""


class Step(_Part):
    """One step of the cascade: an engine answered or failed, and what followed from that."""

    segment: int = Field(ge=0)
    """Number of the segment in the plan of its task."""
    channel: int | None = None
    """The channel the segment was cut from, from 0; null for the mix."""
    task: Task
    """What was asked."""
    question: int | None = Field(default=None, ge=0)
    """Which of `answers` it is about, from 0; null where no question was asked."""
    engine: str
    """Who was asked."""
    verdict: Verdict
    """What became of the answer."""
    reason: str
    """confident, uncalibrated, low_confidence, coverage, no_words, degraded, aligned, unplaced;
    why a call that costs was not made; the code of a failure; or, where another answer than the
    last one stands, the strategy that chose it: highest-confidence, latest, weighted."""
    confidence: Share | None = None
    """The confidence the verdict rests on; null where there is none."""
    calibrated: bool = False
    """True where that confidence is a measured probability."""
    coverage: Share | None = None
    """Share of the spoken seconds that the words account for; null where none were asked for."""
    cost_usd: float = Field(default=0.0, ge=0.0)
    """What the step cost, or may have: a call without an answer may have been paid for."""
    start_s: Seconds | None = None
    """Start of the segment, from the beginning of the recording."""
    end_s: Seconds | None = None
    """End of the segment."""


class Result(_Part):
    """Everything Earwitness has to say about one recording."""

    schema_: Literal["earwitness.result/v1"] = Field(default="earwitness.result/v1", alias="schema")
    """Name and version of this document. v1 grows by adding keys only: ignore unknown ones."""
    recording: Subject
    """The recording this is the result of."""
    status: State
    """The state of the recording."""
    review: bool = False
    """True where no engine was sure enough and a person should look."""
    error: Fault | None = None
    """Why there is no result; null unless status is rejected or dead."""
    warnings: tuple[Warned, ...] = ()
    """What the reader must know: what was cut, skipped or degraded."""
    tier: Tier
    """The tenant's tier when the recording came."""
    lane: Lane | None = None
    """The lane it waited in; null when it was refused at the door."""
    rule: str | None = None
    """Name of the rule that chose the lane."""
    kept_until: AwareDatetime | None = None
    """When the promise to keep the recording ends."""
    audio: Audio | None = None
    """What the file holds; null when it was never decoded."""
    language: str | None = None
    """ISO 639-1 code of the language most is spoken in; null where nothing is."""
    transcript: Transcript | None = None
    """What was said; null when nobody was asked to transcribe."""
    sounds: tuple[Sound, ...] = ()
    """What was heard, in order of time."""
    description: Description | None = None
    """The recording described in words; null when nobody was asked to."""
    answers: tuple[Answered, ...] = ()
    """Answers to the questions that came with the upload."""
    features: Features | None = None
    """The vector similarity search uses; null where none was made."""
    conflicts: tuple[Conflict, ...] = ()
    """Where engines disagree."""
    decisions: tuple[Step, ...] = ()
    """Every step of the cascade, in the order it was taken."""
    reused_from: str | None = None
    """Id of the recording of the same content whose answers these are; null where it was heard."""
    cost_usd: float = Field(default=0.0, ge=0.0)
    """What was paid to others for this recording."""
    timings_s: dict[str, Seconds] = Field(default_factory=dict)
    """Seconds spent, by phase: queue, decode, hear, total and others."""
    versions: dict[str, str] = Field(default_factory=dict)
    """What answered: earwitness, and each engine with checkpoint, revision and library."""


def written(result: Result) -> bytes:
    """The document, UTF-8 JSON, every key present."""
    return result.model_dump_json(indent=2).encode() + b"\n"


def read(document: bytes | str) -> Result:
    """The result in a v1 document, also of a later release: keys unknown here are ignored.

    Raises:
        pydantic.ValidationError: this is no such document.
    """
    return Result.model_validate_json(document, extra="ignore")


def schema_document() -> dict[str, Any]:
    """The JSON Schema of the written document, draft 2020-12.

    It allows keys it does not name, because a consumer that checks with today's schema
    must accept tomorrow's result.
    """
    schema = Result.model_json_schema(by_alias=True, mode="serialization")
    for part in (schema, *schema["$defs"].values()):
        part.pop("additionalProperties", None)
    return {"$schema": DIALECT, "$id": SCHEMA_ID, **schema}
