"""What the flows need from the world, in our words.

The docstrings are the contract: `tests/contracts` names each sentence and runs it against
every adapter. Every method may raise StoreUnavailable (or DiskFull); unless a docstring
says otherwise nothing was changed then, and calling again is safe.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import BinaryIO, Protocol

from shared.domain.answers import Answer, Task
from shared.domain.api_keys import ApiKey
from shared.domain.corrections import Correction
from shared.domain.lanes import Lane
from shared.domain.permits import Brought, Permit, Signed
from shared.domain.prices import Terms
from shared.domain.questions import Question
from shared.domain.recording import (
    Arrival,
    Checkpoint,
    Deaths,
    Failure,
    Found,
    Kept,
    Lease,
    Ledger,
    Message,
    Moved,
    Outcome,
    Placement,
    Recording,
    UploadedObject,
)
from shared.domain.sound import Limits, Segment, Survey
from shared.domain.spending import Bought, DayOfMoney, Intent, PaidCall, Refusal
from shared.domain.states import State
from shared.domain.tenants import Tenant, Tier
from shared.domain.wishes import Wishes

Clock = Callable[[], datetime]
#: Uniform in 0..1.
Chance = Callable[[], float]
Place = Callable[[Ledger], Placement]
PlaceAgain = Callable[[Recording, Ledger], Placement]


class Tenants(Protocol):
    def get(self, tenant: str) -> Tenant | None:
        """The tenant, or None."""
        ...

    def put(self, tenant: Tenant) -> None:
        """Create the tenant or replace all that is said of it; its ledger stays as it is."""
        ...

    def ensure(self, tenant: str, tier: Tier, at: datetime) -> bool:
        """Create the tenant unless it exists; True if it was created just now."""
        ...

    def all(self) -> list[Tenant]:
        """Every tenant, by id."""
        ...

    def charge(self, tenant: str, charged: Callable[[Ledger], Ledger]) -> None:
        """Put what `charged` makes of the tenant's ledger in its place, in one commit.

        Of concurrent callers each is given what the one before left. `charged` is pure and may
        be called again after a conflict; what it raises is raised, and nothing changes. An
        unknown tenant has used nothing, and nothing of it is kept.
        """
        ...


class ApiKeys(Protocol):
    def add(self, key: ApiKey) -> bool:
        """Keep a new key; False if there is one of this id, which stays as it is."""
        ...

    def get(self, key_id: str) -> ApiKey | None:
        """The key, revoked or not, or None."""
        ...

    def all(self, tenant: str | None = None) -> list[ApiKey]:
        """Every key, revoked ones too, the newest first (then by id); of one tenant, or of all."""
        ...

    def revoke(self, key_id: str, at: datetime) -> ApiKey:
        """End a key for good. Revoking twice is once: the first time stays.

        Raises:
            NotFound: there is none of this id.
        """
        ...

    def rotate(self, old: ApiKey, new: ApiKey) -> bool:
        """Put `new` beside `old`, which ends at its `expires_at` and names its successor.

        One commit; both open until then. False, and nothing is changed, where the old key is not
        there, was revoked or has a successor already, or where the new one's id is taken. Of
        concurrent callers one rotates.
        """
        ...

    def used(self, key_id: str, on: date) -> None:
        """Remember that the key was used on that day; an earlier day changes nothing."""
        ...


class Recordings(Protocol):
    def create_or_get(self, recording: Recording, place: Place) -> Recording:
        """Record an admitted upload with its job and its ticket, or return what is there.

        Atomic: recording, job, ledger, history line and the ticket in the outbox are one
        commit, and of several concurrent callers exactly one creates. `place` is pure, is
        given the tenant's ledger and may be called again after a conflict. A deferred
        placement creates no ticket.
        """
        ...

    def refuse(self, recording: Recording, cause: Failure) -> Recording:
        """Record an upload that is refused (state rejected), or return what is there.

        The announcement of the refusal goes to the outbox in the same commit. No job is made.
        """
        ...

    def get(self, recording_id: str) -> Recording | None:
        """The recording, or None."""
        ...

    def many(self, recording_ids: Sequence[str]) -> dict[str, Recording]:
        """Those of these recordings that there are, by id; for at most 500 ids at a time."""
        ...

    def answered(self, tenant: str, answer_key: str) -> Recording | None:
        """A done recording of this tenant whose outcome had this answer key, or None."""
        ...

    def page(
        self,
        tenant: str | None = None,
        *,
        states: Iterable[State] = (),
        before: tuple[datetime, str] | None = None,
        limit: int = 50,
    ) -> list[Recording]:
        """Recordings, newest first (then by id), of one tenant or of all.

        `states` empty means all states; `before` is (received_at, id) of the last row of
        the page before.
        """
        ...

    def history(self, recording_id: str) -> list[Moved]:
        """Every change of state, oldest first; empty for an unknown id.

        The line of a lease has the number of its attempt. The line that ends an attempt
        without a result (fail, give_back, defer, reject, take_back) and the line of a refusal
        have the cause as it was given, with its engine.
        """
        ...

    def counts(self) -> dict[State, int]:
        """How many recordings are in each state, in one read; states without any are 0."""
        ...

    def find(self, tenant: str | None, text: str, limit: int = 20) -> list[Found]:
        """Passages of finished transcripts that hold every word of `text`, best first.

        Where hundreds hold them the newest are ranked: at least 200 on every store.
        Words in double quotes are a phrase; case and accents do not matter; nothing in
        `text` is an operator. Of one tenant, or of all with None.
        """
        ...


class Jobs(Protocol):
    """Lease, write under the token, let go. A stale token raises StaleLease, changing nothing."""

    def lease_next(
        self, lanes: Sequence[Lane], worker: str, now: datetime, lease_s: float
    ) -> Lease | None:
        """Lease the ready job with the lowest start tag of the first lane that has one.

        One commit: the token grows by one, the recording becomes processing, the attempt
        is counted (unless the job was handed over). Jobs whose not_before lies ahead are
        not ready. Of several concurrent callers each gets another job. None: nothing ready.
        """
        ...

    def extend(self, lease: Lease, now: datetime, lease_s: float) -> Lease:
        """Hold on for another `lease_s` seconds from now.

        A lease that ran out may be extended as long as nobody else has taken the job.
        """
        ...

    def checkpoint(
        self, lease: Lease, done: Sequence[Checkpoint], progress: float, now: datetime
    ) -> None:
        """Keep answers in one commit, with the recording's progress.

        Writing the same (task, index) again replaces it.
        """
        ...

    def checkpoints(self, lease: Lease, plan: str) -> list[Checkpoint]:
        """The answers kept under this plan, by task and index; those of other plans are void."""
        ...

    def hand_over(self, lease: Lease, now: datetime) -> None:
        """Let go of an unfinished job without spending an attempt.

        The job is ready at once, its lane is rung for in the same commit, and its next
        lease has the same attempt number.
        """
        ...

    def give_back(self, lease: Lease, cause: Failure, not_before: datetime, now: datetime) -> None:
        """Let go for trouble around the work: the attempt is not counted, what was kept stays."""
        ...

    def defer(self, lease: Lease, cause: Failure, until: datetime, now: datetime) -> None:
        """Put off until a promised time what cannot go on before: state deferred, announced.

        The attempt is not counted, what was kept of it stays, and `undefer` queues it then.
        """
        ...

    def fail(
        self, lease: Lease, cause: Failure, not_before: datetime | None, now: datetime
    ) -> None:
        """Record a failed attempt.

        With `not_before` the job is ready again from then on; with None it is dead, and
        the dead letter and its announcement go to the outbox in the same commit.
        """
        ...

    def reject(self, lease: Lease, cause: Failure, now: datetime) -> None:
        """Refuse a recording that only decoding could refuse: state rejected, announced."""
        ...

    def complete(
        self, lease: Lease, outcome: Outcome, effects: Sequence[Message], now: datetime
    ) -> Recording:
        """Make the result visible: pointer, state done, passages, effects, in one commit.

        The job's checkpoints go. Completing twice raises StaleLease the second time.
        """
        ...

    def replay(self, recording_id: str, actor: str, now: datetime) -> Recording:
        """Give a dead job its attempts back, in the low lane, and ring for it.

        It keeps its id, its upload and its history.

        Raises:
            NotFound: no such recording. WrongState: it is not dead, or was discarded.
        """
        ...

    def discard(self, recording_id: str, actor: str, why: str, now: datetime) -> Recording:
        """Take a dead job off the list for good; the recording stays dead.

        Who and why stand in the history (`shared.domain.attempts.discarded`). Discarding
        twice is once: the first reason stays.

        Raises:
            NotFound: no such recording. WrongState: it is not dead.
        """
        ...

    def lapse(self, before: datetime, now: datetime, limit: int = 100) -> int:
        """Discard dead jobs that died before `before`, oldest first, at most `limit`.

        The actor is `retention`; the reason says how many days they are kept. Returns how
        many were discarded; of concurrent callers each letter is counted by one.
        """
        ...

    def dead(self, tenant: str | None = None, limit: int = 100) -> list[Recording]:
        """Dead jobs that nobody discarded, those that died last first (then by id)."""
        ...

    def causes(self, since: datetime, limit: int = 1_000) -> list[Deaths]:
        """How often jobs died from `since` on, by UTC day and cause code.

        Each death counts, whether the letter still waits, was replayed or discarded. The
        newest day first, in a day the most frequent first, then by code; at most `limit`
        rows.
        """
        ...

    def take_back(self, now: datetime, worker: str | None = None, limit: int = 1_000) -> int:
        """End leases that ran out; with `worker`, every lease of that worker (it has died).

        Each counts as a failed attempt with its cause recorded: ready again, or dead after
        the last. Returns how many were ended, at most `limit`; of concurrent callers each
        lease is counted by one. Nothing is lost if nobody calls; it waits.
        """
        ...

    def undefer(self, now: datetime, place: PlaceAgain, limit: int = 1_000) -> int:
        """Place the deferred recordings whose time has come again, oldest first.

        At most `limit` are looked at.

        Each is queued and rung for, or deferred anew where `place` says so: the day's quota
        is used up again. Returns how many were queued.
        """
        ...

    def waiting(self, now: datetime) -> dict[Lane, int]:
        """How many jobs are ready in each lane."""
        ...

    def unrung(self, patience_s: float, now: datetime, limit: int = 100) -> dict[Lane, int]:
        """How many ready jobs of each lane nobody has rung for in `patience_s` seconds.

        The job was last rung for when its ticket went into the outbox, or came due
        (`not_before`), for then its ticket's redelivery rings. Counted are at most `limit`,
        those not rung for the longest first; from this commit on they are rung for at
        `now`, so that of concurrent callers each job is counted by one.
        """
        ...


class Outbox(Protocol):
    def pending(self, recording_id: str | None = None, limit: int = 100) -> list[Message]:
        """Messages not yet published, oldest first."""
        ...

    def sent(self, messages: Sequence[Message], now: datetime) -> None:
        """Forget published messages; a received recording whose ticket went out is queued.

        Forgetting what is already forgotten does nothing.
        """
        ...


class Publisher(Protocol):
    def publish(self, messages: Sequence[Message]) -> None:
        """Hand messages to the broker, each at least once; returns when it has them.

        Raises:
            BrokerUnavailable: some may have been taken; publish all of them again.
        """
        ...


class Uploads(Protocol):
    """The uploads bucket, read only."""

    def stat(self, name: str, generation: int) -> UploadedObject | None:
        """What is known of the object, or None if that generation is gone."""
        ...

    def read(self, name: str, generation: int, start: int, length: int) -> bytes:
        """Bytes from `start`; fewer at the end.

        Raises:
            NotFound: that generation is gone.
        """
        ...

    def page(self, after: tuple[str, int] | None = None, limit: int = 500) -> list[UploadedObject]:
        """Objects by name (bytes of UTF-8), then generation; `after` is the last one seen.

        An empty page is the end. An object that is there all along is met exactly once.
        """
        ...

    def fetch(self, name: str, generation: int) -> AbstractContextManager["Fetched"]:
        """The whole object as an open, seekable file with its digest, for one `with` block.

        Raises:
            NotFound: that generation is gone.
        """
        ...


class Arrivals(Protocol):
    """The bucket's second notification, on a pull subscription nobody else drains."""

    def pull(self, now: datetime, limit: int = 100) -> list[Arrival]:
        """Uploads not acknowledged yet, the oldest first; at most `limit`, maybe fewer.

        Each is hidden from other callers for a minute, then comes again.
        """
        ...

    def ack(self, arrivals: Sequence[Arrival]) -> None:
        """Forget them for good; forgetting what is forgotten does nothing."""
        ...


class Bookmarks(Protocol):
    """Small durable notes of how far a long errand has come."""

    def get(self, name: str) -> str | None:
        """The note, or None."""
        ...

    def move(self, name: str, seen: str | None, to: str) -> bool:
        """Write `to` if the note still says `seen` (None: there is none); False if not.

        One conditional commit: of concurrent callers that saw the same, one moves.
        """
        ...


class Inlet(Protocol):
    """How uploads come in where no cloud takes them: the embedded twin of the bucket."""

    def put(
        self,
        name: str,
        content: BinaryIO,
        *,
        content_type: str,
        metadata: Mapping[str, str],
        at: datetime,
        max_bytes: int | None = None,
    ) -> UploadedObject:
        """Copy `content` in as the next generation of `name`, with its finalized event.

        Object and event are one commit: an object that is there will be announced.

        Raises:
            AudioTooLarge: `max_bytes` were passed; nothing was kept.
            InvalidRequest: this bucket takes no such name; nothing was kept.
        """
        ...


class Permits(Protocol):
    """Addresses that take the bytes of one upload each, signed: what is signed cannot be changed.

    The bucket refuses, with the status of Cloud Storage: another header, value, name or method
    (403); a signed header left out, or one more that speaks to it (400); another length, or a
    request after its time (400); a second upload under the name (412).
    """

    def sign(
        self, permit: Permit, door: str, valid: timedelta, *, resumable: bool = False
    ) -> Signed:
        """The request that brings these bytes, or the one that begins a session for them.

        It may begin until `valid` is over, counted in whole seconds; how long it then takes does
        not matter. `door` is the origin where the asker found us, for buckets that have no
        address of their own. Signing twice gives two addresses of the same name, of which one
        can be used.

        Raises:
            InvalidSettings: whoever runs this cannot sign.
        """
        ...

    def opened(self, request: Brought) -> Permit:
        """What a request may upload that came to us; of a session, what begins it may.

        Raises:
            Forbidden: it is not the one that was signed.
            InvalidRequest: a header is missing or one too many, or its time is over.
            NotFound: uploads do not come by here; the bucket takes them.
        """
        ...


@dataclass(frozen=True, slots=True)
class Fetched:
    file: BinaryIO
    sha256: str


class Results(Protocol):
    def save(self, folder: str, files: dict[str, bytes]) -> None:
        """Write files below `folder`, create-only: a file that exists stays as it is."""
        ...

    def load(self, folder: str, name: str) -> bytes:
        """One file.

        Raises:
            NotFound: there is none.
        """
        ...

    def folders(self, after: str | None = None, limit: int = 500) -> list[Kept]:
        """Folders of results by name, whoever points to them; `after` is the last one seen.

        Names are compared with a slash behind them. An empty page is the end. A folder that
        is there all along is met exactly once.
        """
        ...

    def remove(self, folder: str) -> None:
        """Remove a folder with its files; removing what is gone does nothing."""
        ...


#: What goes with a segment: words to place in time, or a question.
Said = Answer | Question


class Hearing(Protocol):
    """One recording, opened: surveyed once, then asked about, segment by segment."""

    @property
    def survey(self) -> Survey:
        """What the one pass over the whole sound told."""
        ...

    def ask(
        self, engine: str, task: Task, segments: Sequence[Segment], said: Sequence[Said] = ()
    ) -> list[Answer]:
        """Ask one engine about segments of one plan, in order; times are the recording's.

        For ALIGN, `said` is an answer a segment: what was said there, to be placed in time. For
        ANSWER it is a question a segment. What comes back is confined (`confined.confined`).

        Raises:
            EngineUnavailable, EngineDied: none was answered; another engine may be.
            WeightsRefused, LibraryMissing, InvalidSettings: the engine cannot be loaded.
        """
        ...

    def terms(self, engine: str, task: Task) -> Terms | None:
        """How this task of the engine is bought; None where it costs nothing."""
        ...

    def suits(self, engine: str, segment: Segment, language: str | None) -> bool:
        """Whether the engine is there, takes segments so long and knows the language.

        None is a language nobody determined: then the one wished for, and without a wish only
        an engine for any language suits.
        """
        ...

    def identity(self, engine: str) -> Mapping[str, str]:
        """What names the engine's model and its rules: checkpoint, revision, dtype ...

        The same answer as long as the process lives; empty for an engine that is not there.
        """
        ...


class Ears(Protocol):
    def open(
        self,
        sound: BinaryIO,
        *,
        tenant: str,
        wishes: Wishes,
        limits: Limits,
        alive: Callable[[], None],
        lane: Lane = Lane.HIGH,
    ) -> AbstractContextManager[Hearing]:
        """Decode the sound once, counting, and survey it. `alive` is called all along.

        Whoever waits calls it: in the thread that opens, later in each thread that asks. What it
        raises comes out there, and ends that wait.

        Where engines are busy, those who ask for the high lane go first.

        Raises:
            RefusedAudio: it cannot be heard; repeating will not help.
            DecoderDied: repeating may help.
        """
        ...

    def names(self) -> list[str]:
        """The engines an uploader may wish for, sorted."""
        ...

    def versions(self, engines: Sequence[str]) -> dict[str, str]:
        """What answered: engine name -> checkpoint, revision and library, in one line."""
        ...

    def identity(self, engine: str) -> Mapping[str, str]:
        """As `Hearing.identity`."""
        ...


class Identity(Protocol):
    """Who this process is, told to another process of ours."""

    def authorization(self) -> str:
        """The value of an Authorization header; one that will not expire on its way.

        Raises:
            IdentityUnavailable: asking again may help.
        """
        ...


class Corrections(Protocol):
    """What people corrected, a version each; none is ever changed."""

    def add(self, correction: Correction) -> None:
        """Keep it, on condition that it comes after the version before it.

        Raises:
            CorrectionOutdated: somebody else's has this number, or the one before it is missing.
            WrongState: the recording is not done, or its result is another one.
            NotFound: there is no such recording.
        """
        ...

    def of(self, recording_id: str) -> list[Correction]:
        """All of a recording, the first one first."""
        ...

    def corrected(self, tenant: str | None = None) -> Iterator[str]:
        """Ids of the recordings somebody corrected, each once, in the order of their ids."""
        ...


class Signer(Protocol):
    """What vouches for receipts and seals: one Ed25519 key (RFC 8032).

    Every method may raise SignerUnavailable: asking again will help.
    """

    @property
    def key_id(self) -> str:
        """Names the public key, 32 hexadecimal digits: a new key has a new id."""
        ...

    def public_key(self) -> bytes:
        """The public key, PEM (SubjectPublicKeyInfo); the same as long as the process lives."""
        ...

    def sign(self, message: bytes) -> bytes:
        """The 64 bytes with which the public key verifies `message`; at most 64 KiB of it.

        The same message always has the same signature.
        """
        ...


class Spending(Protocol):
    """Paid calls, committed before they are made. Amounts are US dollars."""

    def intend(
        self, lease: Lease, call: PaidCall, budget_usd: float | None, now: datetime
    ) -> Intent | Bought | Refusal:
        """Commit that this call is about to be made and what it may cost, or say why not.

        Where this attempt has made the very call and settled it with its answer, that is what
        comes back and nothing is written. Else, in one conditional commit, it is refused where
        this attempt has sent one of the segments to this engine for this task before, whatever
        became of that (`Refusal.CALLED` if it was settled, else `UNRESOLVED`), and where it
        could cost more than is left of the tenant's `budget_usd` for the UTC day of `now`
        (`OVER_BUDGET`; None is no limit). Of concurrent callers no two get the same money. A
        replay begins new attempts.

        The money is of this adapter's slice of the tenant's day (`shared.domain.slices`): what
        other workers hold and have not spent, at most `slices.SLICE` each, is not left. It is
        left again when they give it back, or `slices.SLICE_S` after they took it: a worker that
        dies strands at most one slice, for that long. A call that is granted fits the budget it
        was granted under together with all others of the day, whoever is killed meanwhile.

        Raises:
            StaleLease: another worker holds the job; nothing was written.
        """
        ...

    def settle(self, intent: Intent, cost_usd: float, answer: str | None = None) -> None:
        """Put what the call did cost in place of what it could, on the intent's day.

        Its answer, if one came, is kept with it for as long as the job may need it. Settling
        twice keeps the first amount and answer. A stale lease settles too: money is spent
        whoever holds the job. What is never settled stays spent.
        """
        ...

    def spent_usd(self, tenant: str, now: datetime) -> float:
        """What the tenant's calls of this UTC day cost, unsettled ones at their most."""
        ...

    def day(self, tenant: str, now: datetime) -> DayOfMoney:
        """What of this UTC day is spent, reserved by workers at work, and stranded by others."""
        ...

    def give_back(self, now: datetime) -> None:
        """Return the rest of this adapter's slices: nothing more will be spent, for now.

        A later intent takes a new slice. Unsettled intents stay spent.
        """
        ...


class Meter(Protocol):
    def count(self, name: str, **labels: str) -> None:
        """Add one to a registered counter; labels are a small closed set, never a tenant."""
        ...
