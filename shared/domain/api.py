"""What the gateway's API is told and answers: one set of models for the door and its clients.

The result of a recording is `shared.domain.result`. Answers only grow: a client ignores keys it
does not know.
"""

import json
import unicodedata
from collections.abc import Sequence
from datetime import date
from typing import Any, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from shared.domain import permits
from shared.domain.api_keys import MAX_LIFE, MAX_NAME, MAX_OVERLAP, Role, Scope
from shared.domain.corrections import MAX_STRETCHES, MAX_TEXT, MAX_VERSIONS, MAX_WHOLE
from shared.domain.erasures import Cause as ErasureCause
from shared.domain.erasures import State as ErasureState
from shared.domain.lanes import Lane
from shared.domain.names import MAX_NAME_BYTES, TENANT
from shared.domain.questions import MAX_QUESTIONS, checked
from shared.domain.result import Fault, Subject
from shared.domain.retention import MAX_REASON
from shared.domain.states import State
from shared.domain.tenants import DEMO, OverQuotaPolicy, Tier
from shared.domain.webhooks import MAX_OVERLAP as MAX_SECRET_OVERLAP
from shared.domain.webhooks import MAX_URL, MOST_TYPES, Delivered
from shared.domain.webhooks import Fault as DeliveryFault
from shared.errors import InvalidWish

#: The metadata key under which the uploader's own name travels.
NAME_KEY = "name"
#: The metadata key under which questions travel, a JSON list.
QUESTIONS_KEY = "questions"
#: Source: Cloud Storage, "Object metadata": custom metadata of one object is at most 8 KiB.
MAX_METADATA_BYTES, MAX_METADATA_KEYS = 8 << 10, 32
#: Bytes; no object is larger. Source: Cloud Storage, "Quotas and limits".
MAX_OBJECT_BYTES = 5 << 40
#: Source: RFC 6838 section 4.2 (type names), with parameters.
CONTENT_TYPE = r"^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}(; ?[!-~]{1,100}){0,3}$"  # noqa: E501


class ErrorDetail(BaseModel):
    """Why a request failed, in the shape of OpenAI's API."""

    message: str = Field(description="What happened and what to do, for a person.")
    type: str = Field(description="The kind of failure; follows from the status.")
    param: str | None = Field(description="The parameter at fault, where there is one.")
    code: str = Field(description="Machine-readable name; it never changes.")


class ErrorBody(BaseModel):
    error: ErrorDetail


class Wanted(BaseModel):
    """What somebody is about to upload."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    name: str = Field(min_length=1, max_length=MAX_NAME_BYTES, examples=["talk.mp3"])
    """The file's name, shown in lists; any text."""
    size: int = Field(ge=0, le=MAX_OBJECT_BYTES, examples=[1_048_576])
    """Bytes, exactly."""
    content_type: str = Field("application/octet-stream", pattern=CONTENT_TYPE)
    """Media type; the sound itself is looked at later, whatever this says."""
    tenant: str = Field(DEMO, pattern=f"^{TENANT.pattern}$")
    """Whose recording it will be."""
    metadata: dict[str, str] = Field(default_factory=dict, max_length=MAX_METADATA_KEYS)
    """Wishes (language, engine, channels, lane) and whatever else shall be kept with it."""
    questions: list[str] = Field(
        default_factory=list, max_length=MAX_QUESTIONS, examples=[["Who is calling, and why?"]]
    )
    """Asked of the sound, an answer each in the result; up to 300 characters a question."""

    @field_validator("name")
    @classmethod
    def _short_enough(cls, name: str) -> str:
        if len(name.encode()) > MAX_NAME_BYTES:
            raise ValueError(f"must be at most {MAX_NAME_BYTES:,} bytes of UTF-8")
        return name

    @field_validator("metadata")
    @classmethod
    def _named_well(cls, metadata: dict[str, str]) -> dict[str, str]:
        if NAME_KEY in metadata:
            raise ValueError("must not hold `name`; use the field `name`")
        odd = [key for key in metadata if not permits.KEY.fullmatch(key)]
        if odd:
            raise ValueError("has a key that is not of a-z, 0-9, `.`, `_` and `-`, 1 to 128")
        return metadata

    @field_validator("questions")
    @classmethod
    def _askable(cls, questions: list[str], known: ValidationInfo) -> list[str]:
        if not questions:
            return questions
        metadata = known.data.get("metadata", {})
        if {"question", QUESTIONS_KEY} & metadata.keys():
            raise ValueError("stand in `metadata` too; ask in one place")
        try:
            asked = [checked(question) for question in questions]
        except InvalidWish as error:
            raise ValueError(str(error)) from error
        return asked

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if permits.size_bytes(self.kept) > MAX_METADATA_BYTES:
            raise ValueError(
                f"name, metadata and questions must be at most {MAX_METADATA_BYTES:,} bytes in all"
            )
        return self

    @property
    def kept(self) -> dict[str, str]:
        """The custom metadata of the object, with the questions and the name."""
        asked = _as_metadata(self.questions) if self.questions else {}
        return {**self.metadata, **asked, NAME_KEY: self.name}


def _as_metadata(questions: Sequence[str]) -> dict[str, str]:
    return {QUESTIONS_KEY: json.dumps(questions, ensure_ascii=False)}


class Resumable(BaseModel):
    """How to begin a session, of which what broke off can be gone on with."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    url: str
    """Where to begin it; the answer's `Location` is where the bytes go, with `Content-Range`."""
    method: Literal["POST"]
    """How; with an empty body."""
    headers: dict[str, str]
    """To be sent with it, as they are; the requests that bring bytes need none of them."""


class Minted(BaseModel):
    """How to upload it: one request, as described here. Every header of it is signed."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    recording_hint: str
    """The id the recording will have, where the bucket counts generations: on one machine.
    Cloud Storage numbers them by time; there `status_url` tells the id once the bytes are there."""
    url: str
    """Where to send the bytes: to the bucket, in the cloud."""
    method: Literal["PUT"]
    """How."""
    headers: dict[str, str]
    """To be sent with them, as they are. What they do not say is refused: another length, type or
    metadata, a second upload to the same address."""
    expires_at: AwareDatetime
    """Until when the upload may begin; both ways."""
    resumable: Resumable | None = None
    """For large files: instead of the request above, begin a session."""
    status_url: str | None = None
    """Asked with GET and your key: the id, once the bytes are there; 404 until then."""


class Taken(BaseModel):
    """The upload is here and will be announced."""

    recording_hint: str = Field(description="The id the recording will have.")


class _Described(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class Listed(_Described):
    """What is known of a recording without opening its result."""

    recording: Subject
    """Id, name, tenant and size."""
    status: State
    """The state of the recording."""
    review: bool
    """True where no engine was sure enough and a person should look."""
    error: Fault | None
    """Why there is no result, or why the last attempt failed."""
    tier: Tier
    """The tenant's tier when the recording came."""
    lane: Lane | None
    """The lane it waits or waited in; null when it was refused at the door."""
    rule: str | None
    """Name of the rule that chose the lane."""
    received_at: AwareDatetime
    """When it came."""
    updated_at: AwareDatetime
    """When its state last changed."""
    kept_until: AwareDatetime
    """When the promise to keep it ends."""
    deferred_until: AwareDatetime | None
    """While deferred: when it will be placed again."""
    duration_s: float | None = Field(ge=0)
    """Length: estimated from the header, measured once decoded."""
    attempts: int = Field(ge=0)
    """How often work on the sound began."""
    progress: float = Field(ge=0, le=1)
    """Share of the sound heard so far."""
    language: str | None
    """ISO 639-1 code of the language most is spoken in."""
    confidence: float | None
    """Confidence of the transcript; calibrated only where its result says so."""


class RecordingPage(_Described):
    recordings: list[Listed]
    """Newest first."""
    next: str | None
    """Give this as `before` for the page after this one; null on the last page."""


class HistoryLine(_Described):
    """One change of state."""

    state: State
    """The state it came into."""
    at: AwareDatetime
    """When."""
    actor: str
    """Who: a worker, reconcile, page, api."""
    reason: str
    """Why, in a word or a code."""
    error: Fault | None = None
    """Why it was refused, or an attempt ended without a result; null for every other line."""


class History(_Described):
    history: list[HistoryLine]
    """Oldest first."""


class Hit(BaseModel):
    """One passage."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    recording: Listed
    """Where it was said."""
    start_s: float = Field(ge=0)
    """Start of the passage, from the beginning of the recording."""
    end_s: float = Field(ge=0)
    """End of the passage."""
    text: str
    """The passage."""
    snippet: str
    """A part of it; each hit stands between the characters U+0002 and U+0003."""


class Hits(BaseModel):
    hits: list[Hit] = Field(description="Best first.")


class Discarding(BaseModel):
    why: str = Field(description="Why nobody needs it heard, for whoever reads the history.")


class DeadLetters(BaseModel):
    recordings: list[Listed] = Field(description="Newest first; `error` is the cause.")


class Attempt(_Described):
    """One stretch of work on the recording."""

    number: int = Field(ge=1)
    """From 1; the same again after a hand-over, and from 1 again after a replay."""
    worker: str
    """Who worked."""
    began_at: AwareDatetime
    """When it was leased."""
    ended_at: AwareDatetime | None
    """When it ended; null while it goes on."""
    ending: str
    """How it ended, in a word or a code; empty while it goes on."""
    engine: str | None
    """The engine that is to blame for the error, where one is."""
    error: Fault | None
    """Why it ended without a result."""


class DeadLetter(_Described):
    recording: Listed
    """What is known of the recording; `error` is the cause."""
    attempts: list[Attempt]
    """Oldest first."""
    discarded: HistoryLine | None
    """Who took it off the list, when and why; null where nobody did."""


class Cause(_Described):
    day: date
    """UTC."""
    code: str
    """Code of the failure."""
    count: int = Field(ge=1)
    """How many jobs died of it on this day."""


class Causes(_Described):
    causes: list[Cause]
    """The newest day first, in a day the most frequent first."""


class NewKey(BaseModel):
    """A key to be made."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    tenant: str | None = Field(None, pattern=f"^{TENANT.pattern}$")
    """Who it acts for; the caller's own tenant if left out, `demo` for whoever has no key."""
    role: Role | None = None
    """What it may do; the first role that has `scopes` if left out, else as scope `write`."""
    scopes: list[Scope] = Field([], max_length=len(Scope))
    """Only these of the role's; all of them if left out."""
    scope: Literal["read", "write", "operator"] | None = None
    """A short name instead of both. read: a reader; write: an owner who may only look, upload and
    transcribe; operator: an operator."""
    expires_in_days: int | None = Field(None, ge=1, le=MAX_LIFE.days)
    """It ends by itself so many days from now; never if left out."""
    name: str = Field("", max_length=MAX_NAME)
    """What it is for; printable."""

    @field_validator("name")
    @classmethod
    def _printable(cls, name: str) -> str:
        if not name.isprintable():
            raise ValueError("a name has printable characters only")
        return name

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.scope is not None and (self.role is not None or self.scopes):
            raise ValueError("say either scope, or role and scopes")
        return self


class Rotation(BaseModel):
    """A key to be replaced."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    overlap_hours: float = Field(24.0, ge=0, le=MAX_OVERLAP.days * 24, allow_inf_nan=False)
    """Hours for which the old key opens beside the new one."""
    expires_in_days: int | None = Field(None, ge=1, le=MAX_LIFE.days)
    """The new key ends so many days from now; as the old one was made for, if left out."""


class Key(_Described):
    """What is kept of a key."""

    id: str
    """Stands in the key, after `ew_`."""
    tenant: str
    """Who it acts for."""
    role: Role
    """What it may do."""
    scopes: list[Scope]
    """What that comes to: all of the role's, or those it was narrowed to."""
    scope: Literal["read", "write", "operator"]
    """The nearest word from before there were roles, for older clients; `scopes` is exact."""
    name: str
    """What it is for."""
    made_at: AwareDatetime
    """When it was made."""
    expires_at: AwareDatetime | None
    """From then on it opens nothing; null: it lives until it is revoked."""
    revoked_at: AwareDatetime | None
    """When it was revoked; null where it was not."""
    rotated_to: str | None
    """Id of the key that takes its place."""
    used_on: date | None
    """UTC; the last day it was used."""


class MadeKey(Key):
    key: str
    """The key itself, told this once: only a digest is kept."""


class RotatedKey(MadeKey):
    replaced: Key
    """The old key: it opens until its `expires_at`."""


class Keys(_Described):
    keys: list[Key]
    """The newest first; revoked ones too."""


class FilesUsed(_Described):
    used: int = Field(ge=0)
    """Uploads heard, or waiting to be, that count on this day."""
    limit: int | None
    """How many a day; null: any."""


class SecondsUsed(_Described):
    used: float = Field(ge=0)
    """Seconds of sound: of uploads, and of what was heard while its sender waited."""
    reserved: float
    """Held by processes that hear now, and partly heard; told within fifteen seconds."""
    stranded: float
    """Held by processes that are gone; nobody gets them on this day."""
    limit: float | None
    """How many a day; null: any."""


class MoneyUsed(_Described):
    spent: float = Field(ge=0)
    """US dollars that paid engines cost, calls under way at their most."""
    reserved: float
    """Held by workers at work."""
    stranded: float
    """Held by workers that are gone; it comes back within five minutes."""
    limit: float | None
    """How many a day; null: any."""
    agreed: bool
    """Whether the tenant has agreed to paid engines at all."""


class Usage(_Described):
    """What a tenant used of its UTC day."""

    tenant: str
    """Whose."""
    tier: Tier
    """What its limits come from, where it has none of its own."""
    files: FilesUsed
    """Uploads."""
    seconds: SecondsUsed
    """Sound."""
    usd: MoneyUsed
    """Money for paid engines."""
    over_quota: OverQuotaPolicy
    """What becomes of an upload over a limit: it waits for the next day, or is refused."""
    next_day_at: AwareDatetime
    """When all of this begins anew: 00:00 UTC."""


class CorrectedStretch(BaseModel):
    """What is said in one stretch of the recording."""

    model_config = ConfigDict(
        extra="forbid", allow_inf_nan=False, frozen=True, use_attribute_docstrings=True
    )

    start_s: float = Field(ge=0)
    """Start, from the beginning; that of a segment of the transcript, or of something missed."""
    end_s: float = Field(gt=0)
    """End."""
    channel: int | None = Field(None, ge=0, le=255)
    """The channel, from 0; null for the mix."""
    text: str = Field(max_length=MAX_TEXT)
    """What is said there; empty: nothing. The machine's own text confirms it."""

    @field_validator("text")
    @classmethod
    def _plain(cls, text: str) -> str:
        return " ".join(plain(text).split())

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if self.end_s <= self.start_s:
            raise ValueError("end_s must be after start_s")
        return self


class DoneAction(_Described):
    """Somebody did something, or looked at something."""

    id: str
    tenant: str
    """Whose log it stands in; `_everybody` where it was about no single tenant."""
    at: AwareDatetime
    """When it was asked for."""
    actor: str
    """`key:ID`, `viewer:DIGEST`, `page`, `api`, `permit` (an address for uploads) or `cli`."""
    method: str
    """GET, POST ... as asked; CLI for a command."""
    route: str
    """The route's template, or the command's words: never what was filled in."""
    recording_id: str | None
    """The recording it was about, where it was about one."""
    status: int
    """How it ended: the answer's status, or the command's exit status."""
    commitment: str
    """What seals hold of it; SHA-256."""


class LastSeal(_Described):
    """What was there at a moment, signed."""

    number: int = Field(ge=1)
    """From 1, without gaps."""
    at: AwareDatetime
    """When."""
    root: str
    """Merkle root of what was new then."""
    histories: int
    """Recordings whose history went on."""
    actions: int
    """Actions that were new."""
    key_id: str
    """The key that signed."""
    digest: str
    """SHA-256 of the whole seal, as the next one names it: keep it, and nobody can take the seal
    away unseen."""


class AuditPage(_Described):
    actions: list[DoneAction]
    """Newest first."""
    seal: LastSeal | None
    """The tenant's last one; null where there is none so far, and over all tenants."""
    next: str | None
    """Give this as `before` for the page after this one; null on the last page."""


class NewCorrection(BaseModel):
    """What a person says was said: either some stretches, or the whole text."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    base: int = Field(ge=0, le=MAX_VERSIONS)
    """The version that is corrected; 0 is the machine's. Not the last one any more: 409."""
    segments: list[CorrectedStretch] | None = Field(None, min_length=1, max_length=MAX_STRETCHES)
    """Stretches; the others stay as they stand."""
    text: str | None = Field(None, max_length=MAX_WHOLE)
    """The text of the whole recording, without times."""

    @field_validator("text")
    @classmethod
    def _plain(cls, text: str | None) -> str | None:
        return text if text is None else plain(text).strip()

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.segments is None) == (self.text is None):
            raise ValueError("say either segments or text")
        return self


def plain(text: str) -> str:
    """Text without control characters but line breaks and tabs.

    Raises:
        ValueError: there are others.
    """
    if any(unicodedata.category(c) == "Cc" and c not in "\n\r\t" for c in text):
        raise ValueError("must hold no control characters")
    return text


class By(_Described):
    """Who corrected."""

    name: str
    """The key's name, or the user of this machine."""
    key: str | None
    """The API key's id; null for whoever sat at the machine."""


class CorrectedSegment(_Described):
    start_s: float = Field(ge=0)
    """Start, from the beginning of the recording."""
    end_s: float = Field(ge=0)
    """End."""
    channel: int | None
    """The channel, from 0; null for the mix."""
    text: str
    """What a person says was said there."""
    original: str
    """What the machine says there."""


class MadeCorrection(_Described):
    """One version of the transcript; it never changes."""

    version: int = Field(ge=1)
    """From 1, each on top of the one before."""
    by: By
    """Who."""
    at: AwareDatetime
    """When."""
    segments: list[CorrectedSegment]
    """The stretches it is about; empty where it is about the whole."""
    text: str | None
    """The text of the whole recording; null where it is about stretches."""
    original: str | None
    """The machine's text of the whole recording; null where it is about stretches."""


class Corrections(_Described):
    version: int = Field(ge=0)
    """The last one: give it as `base`. 0: nobody corrected this."""
    corrections: list[MadeCorrection]
    """The first one first."""


class Erasure(_Described):
    """What is erased for good, and how far that has come."""

    id: str
    """Names it."""
    tenant: str
    """Whose it was."""
    recording_id: str | None
    """What is erased; null where all of the tenant is."""
    cause: ErasureCause
    """Why: request, subject, tenant or expiry."""
    state: ErasureState
    """waiting (under hold), running, or done."""
    asked_at: AwareDatetime
    """When it was asked for. Nobody finds the recording from then on, unless it waits."""
    erased_at: AwareDatetime | None
    """When every store was listed and had nothing of it any more."""
    receipt: dict[str, Any] | None
    """The signed receipt, once it is done; `earwitness receipt verify` checks it."""


class WantedExtension(BaseModel):
    """Until when a recording shall be kept at least."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    until: AwareDatetime
    """Its end, if that is not later anyhow."""


class WantedHold(BaseModel):
    """Why nothing of a recording may be erased."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    reason: str = Field(min_length=1, max_length=MAX_REASON)
    """For whoever is to release it."""


class Held(_Described):
    """A hold: until it is released nothing of the recording is erased."""

    reason: str
    """Why it is held."""
    actor: str
    """Who said so."""
    at: AwareDatetime
    """When."""


class Keeping(_Described):
    """How long a recording is kept, and what keeps it."""

    recording_id: str
    """Names it."""
    tenant: str
    """Whose it is."""
    kept_until: AwareDatetime
    """When it may be erased: 7 days after that was announced at the soonest, never while held."""
    announced_at: AwareDatetime | None
    """When `recording.expiring` was announced; null: not yet."""
    extended_until: AwareDatetime | None
    """What somebody asked for; `kept_until` counts it in."""
    may_extend: bool
    """Whether the tenant's tier allows an extension."""
    latest_extension: AwareDatetime | None
    """How far; null: without limit, or not at all."""
    hold: Held | None
    """What keeps it whatever its time, or null."""
    why: str
    """All of it in a sentence or two."""


class WantedExport(BaseModel):
    """Whose things shall be exported."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    tenant: str | None = Field(None, pattern=f"^{TENANT.pattern}$")
    """The caller's own tenant if left out, `demo` for whoever has no key."""
    originals: bool = False
    """With the uploaded sound itself."""


class Export(BaseModel):
    """An export; its archive can be fetched, whole or in part, until it ends."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    """Names it."""
    tenant: str
    """Whose it is."""
    originals: bool
    """Whether the uploaded sound is in it."""
    made_at: AwareDatetime
    """What was uploaded later is not in it."""
    ends_at: AwareDatetime
    """Until when it can be fetched; sooner if something in it is erased."""
    ready: bool
    """Whether its plan is finished; until then, go on with POST /v1/exports/{id}/plan."""
    recordings: int | None = None
    """How many it holds; null until it is ready."""
    size_bytes: int | None = None
    """Of the archive; null until it is ready."""
    manifest_sha256: str | None = None
    """SHA-256 of `manifest.jsonl` in it, which names that of every other file."""


class NewWebhook(BaseModel):
    """Whom to tell of what."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    url: str = Field(min_length=1, max_length=MAX_URL, examples=["https://example.com/hooks"])
    """Where to post to: https, at a public address."""
    types: list[str] = Field(
        default_factory=list, max_length=MOST_TYPES, examples=[["recording.done"]]
    )
    """Told of these only, such as `recording.done`; of everything if left out."""
    tenant: str | None = Field(None, pattern=f"^{TENANT.pattern}$")
    """Whose recordings; the key's own tenant if left out."""


class NewSecret(BaseModel):
    """A webhook's secret is to be replaced."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    overlap_hours: float = Field(24.0, ge=0, le=MAX_SECRET_OVERLAP.days * 24, allow_inf_nan=False)
    """Hours for which each message is signed with the old secret, too."""


class Webhook(_Described):
    """An endpoint that is told what happens to a tenant's recordings."""

    id: str
    """Names it."""
    tenant: str
    """Whose recordings it is told of."""
    url: str
    """Where it is."""
    types: list[str]
    """Told of these; empty: of everything."""
    made_at: AwareDatetime
    """When it was made; of what was before it is told nothing."""
    disabled_at: AwareDatetime | None
    """When it answered 410 and was left alone for good; null: it is not."""
    failing_since: AwareDatetime | None
    """Since when every attempt has failed; null: the last one arrived."""


class MadeWebhook(Webhook):
    secret: str
    """What verifies its messages, told this once (docs/webhooks.md)."""


class Webhooks(_Described):
    webhooks: list[Webhook]
    """The newest first; disabled ones too."""


class DeliveryAttempt(_Described):
    at: AwareDatetime
    """When it was made."""
    status: int | None
    """What the endpoint answered; null: nothing."""
    fault: DeliveryFault | None
    """Why there was no answer; null: there was one."""


class WebhookDelivery(_Described):
    """One event on its way to one webhook."""

    webhook_id: str
    """Where to."""
    event_id: str
    """`webhook-id` of each attempt, and `data.event_id` in the body."""
    type: str
    """What happened."""
    recording_id: str
    """To which recording."""
    made_at: AwareDatetime
    """When it was laid out."""
    state: Delivered
    """waiting, delivered or failed."""
    next_at: AwareDatetime | None
    """When it is tried next, at the earliest; null: it is settled."""
    settled_at: AwareDatetime | None
    """When it was delivered or given up."""
    attempts: list[DeliveryAttempt]
    """Up to the last fifty, the oldest first."""


class DeliveryPage(_Described):
    deliveries: list[WebhookDelivery]
    """Newest first."""
    next: str | None
    """Give this as `before` for the page after this one; null on the last page."""
