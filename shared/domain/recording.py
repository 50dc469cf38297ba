"""A recording, the job on it, and the messages about both."""

from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum

from shared.domain.lanes import Lane
from shared.domain.states import State
from shared.domain.tenants import Tier
from shared.domain.wishes import Wishes


@dataclass(frozen=True, slots=True)
class UploadedObject:
    """One generation of one object, as the storage event announces it."""

    bucket: str
    name: str  #: uploads/{tenant}/{path}
    generation: int
    size_bytes: int
    content_type: str
    metadata: tuple[tuple[str, str], ...]  #: the uploader's own, sorted by key
    created_at: datetime
    digests: tuple[str, ...] = ()  #: of its content, as far as the store knows: `sha256:…`, `md5:…`


@dataclass(frozen=True, slots=True)
class Failure:
    """Why something did not work: a code of `shared.errors` and a sentence for the user."""

    code: str
    message: str
    engine: str | None = None  #: the engine that is to blame, where one is


@dataclass(frozen=True, slots=True)
class Hold:
    """Why nothing of a recording may be erased until somebody releases it."""

    reason: str
    actor: str
    at: datetime


#: What an original in its long-term form is.
FLAC = "audio/flac"


@dataclass(frozen=True, slots=True)
class Archived:
    """An original in its long-term form: FLAC, which brings the upload back byte for byte."""

    name: str  #: archive/{tenant}/{id}/{token}.flac
    generation: int
    size_bytes: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Original:
    """Where the sound of a recording lies, and as what."""

    name: str
    generation: int
    size_bytes: int
    content_type: str
    ending: str = ""  #: what its name ends in beside the recording's own path


@dataclass(frozen=True, slots=True)
class Recording:
    """What the list shows of one recording; the transcript lies in the results."""

    id: str
    tenant: str
    bucket: str
    name: str  #: the whole object name
    path: str  #: the name inside the tenant's folder; shown to people, always escaped
    generation: int
    size_bytes: int
    content_type: str
    state: State
    tier: Tier
    lane: Lane | None  #: None while rejected at the door
    rule: str | None  #: the lane rule that applied
    wishes: Wishes
    received_at: datetime
    updated_at: datetime
    kept_until: datetime
    seconds: float | None = None  #: estimated at intake, measured once decoded
    deferred_until: datetime | None = None
    error: Failure | None = None
    review: bool = False
    attempts: int = 0
    progress: float = 0.0  #: share of the sound heard so far, 0..1
    language: str | None = None
    confidence: float | None = None
    result: str | None = None  #: results/{tenant}/{id}/{token}, set by `complete`
    trace: str | None = None  #: W3C `traceparent` of its intake; whoever works on it goes on there
    subject: str | None = None  #: whom it is about, as the uploader says; erased together
    announced_at: datetime | None = None  #: when it was said that its time ends
    extended_until: datetime | None = None  #: what somebody asked for; `kept_until` counts it in
    hold: Hold | None = None
    uploaded_at: datetime | None = None  #: the object's own time; None in old recordings
    compress_at: datetime | None = None  #: when its original is to be compressed
    archived: Archived | None = None  #: the FLAC that is its original from then on
    clear_at: datetime | None = None  #: when what was uploaded goes, beside its FLAC

    @property
    def uploaded(self) -> Original:
        """The sound as it came."""
        return Original(self.name, self.generation, self.size_bytes, self.content_type)

    @property
    def original(self) -> Original:
        """The sound as it is kept from now on."""
        if self.archived is None:
            return self.uploaded
        flac = self.archived
        return Original(flac.name, flac.generation, flac.size_bytes, FLAC, ".flac")


@dataclass(frozen=True, slots=True)
class Ledger:
    """What a tenant has used, as the store holds it; changed by conditional commits only."""

    next_tag: float = 0.0
    day: str = ""  #: UTC date of the two counts below, ISO
    files: int = 0
    seconds: float = 0.0  #: of uploads
    sliced_ms: int = 0  #: taken in slices for sound that is waited for; thousandths of a second
    burst_from: float = 0.0  #: seconds since the epoch
    burst_files: int = 0


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an admitted recording goes."""

    lane: Lane
    rule: str
    start_tag: float
    deferred_until: datetime | None
    ledger: Ledger  #: the tenant's, after this recording
    shed_by: str | None = None  #: the overload rule that deferred it
    over: Failure | None = None  #: the day's limit that deferred it, and how much of it is used

    @property
    def reason(self) -> str:
        """Why it goes there, for its history."""
        if self.deferred_until is None:
            return f"lane {self.lane} by rule {self.rule}"
        if self.shed_by:
            return f"deferred by rule {self.shed_by}"
        return f"deferred: {self.over.message}" if self.over else "over the day's quota"


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write about one job, until it ends or is taken over.

    `token` is the fencing token: it grows with every lease of the job, and the store
    refuses whatever carries an older one.
    """

    recording: Recording
    token: int
    worker: str
    until: datetime
    attempt: int  #: from 1; the same after a hand-over


class Topic(StrEnum):
    LANE_HIGH = "lane-high"
    LANE_LOW = "lane-low"
    JOBS_DEAD = "jobs-dead"
    EVENTS = "recording-events"
    METRICS = "inference-metrics"


LANE_TOPIC = {Lane.HIGH: Topic.LANE_HIGH, Lane.LOW: Topic.LANE_LOW}


@dataclass(frozen=True, slots=True)
class Message:
    """An effect recorded with the state it belongs to, published afterwards."""

    topic: Topic
    recording_id: str
    body: dict[str, str | int | float | bool | None]
    event_id: str  #: consumers drop what they have seen
    trace: str | None = None  #: W3C `traceparent`, sent along as an attribute


@dataclass(frozen=True, slots=True)
class Moved:
    """One line of a recording's history."""

    state: State
    at: datetime
    actor: str
    reason: str
    error: Failure | None = None  #: why an attempt ended without a result
    attempt: int | None = None  #: set where a lease began it, from 1


@dataclass(frozen=True, slots=True)
class Arrival:
    """An upload as the bucket's second notification tells of it."""

    upload: UploadedObject
    handle: str  #: what acknowledges it


@dataclass(frozen=True, slots=True)
class Kept:
    """A folder of results, whoever may point to it."""

    folder: str  #: results/{tenant}/{id}/{token}
    saved_at: datetime


@dataclass(frozen=True, slots=True)
class Deaths:
    """How many jobs died of one cause on one day."""

    day: date  #: UTC
    code: str
    count: int


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Answers already paid for, kept so that nobody pays twice.

    `plan` names the cut of the segments; `body` is the JSON of one decided segment.
    """

    plan: str
    task: str
    index: int
    body: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What `complete` makes visible, in one commit."""

    result: str  #: where the results lie
    seconds: float
    language: str | None
    confidence: float | None
    review: bool
    passages: tuple["Passage", ...] = field(default=())
    answer_key: str | None = None  #: names everything the answer depends on; None: not reusable
    compress_at: datetime | None = None  #: when the original is to be compressed; None: never


@dataclass(frozen=True, slots=True)
class Passage:
    """A stretch of transcript that search can find."""

    start_s: float
    end_s: float
    text: str


@dataclass(frozen=True, slots=True)
class Found:
    """One hit of a search."""

    recording: Recording
    passage: Passage
    snippet: str  #: the text with hits between \\x02 and \\x03, never HTML
