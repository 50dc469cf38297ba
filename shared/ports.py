"""What the flows need from the world, in our words.

The docstrings are the contract: `tests/contracts` names each sentence and runs it against
every adapter. Every method may raise StoreUnavailable (or DiskFull); unless a docstring
says otherwise nothing was changed then, and calling again is safe.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import IO, TYPE_CHECKING, BinaryIO, Protocol

from shared.domain.answers import Answer, Task
from shared.domain.api_keys import ApiKey
from shared.domain.audit import Action, Chain, Leaf
from shared.domain.carried import Carried
from shared.domain.corrections import Correction
from shared.domain.erasures import Erasure, Part, Tombstone
from shared.domain.lanes import Lane
from shared.domain.permits import Brought, Permit, Signed
from shared.domain.questions import Question
from shared.domain.quotas import DayOfSound, Portion
from shared.domain.recording import (
    Arrival,
    Checkpoint,
    Deaths,
    Failure,
    Found,
    Hold,
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
from shared.domain.tenants import Rules, Tenant, Tier
from shared.domain.timekeeping import Times
from shared.domain.webhooks import Delivered, Delivery, Reply, Webhook
from shared.domain.wishes import Wishes

if TYPE_CHECKING:
    # Brings pydantic, for which no function should wait (P8).
    from shared.domain.prices import Terms

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
        """Create the tenant or replace all that is said of it; its ledger stays as it is.

        If it keeps recordings for another time than before, that is noted for `Retention`.
        """
        ...

    def ensure(self, tenant: str, tier: Tier, at: datetime) -> bool:
        """Create the tenant unless it exists; True if it was created just now.

        One that was erased is not created anew: whoever wants it back says so with `put`.
        """
        ...

    def all(self) -> list[Tenant]:
        """Every tenant, by id."""
        ...


class Quotas(Protocol):
    """The seconds of a tenant's UTC day that are heard while their sender waits.

    They count on the ledger that intake charges, in slices (`shared.domain.slices.SOUND`): who
    hears holds one, uses it by itself (`shared.flows.allowance`), and tells what was used. Intake
    is stricter: it charges each upload in the upload's own commit, to the thousandth, because an
    upload is admitted once and kept, and because its commit writes the ledger anyhow.
    """

    def take(
        self, tenant: str, held: Portion, cost_ms: int, limit_s: float | None, now: datetime
    ) -> Portion | None:
        """Return the rest of what is held, and take a fresh slice that pays `cost_ms` of its day.

        One conditional commit, which also tells what was used of the old one. With all uploads and
        slices of the UTC day of `now` it is never over `limit_s` (None is no limit): of concurrent
        callers no two get the same seconds. None, and nothing is changed, where less is left. A
        clock set back over midnight begins no new day.

        Raises:
            UnknownTenant: nobody is called so; nothing was taken.
        """
        ...

    def settle(self, tenant: str, held: Portion, *, rest: bool) -> None:
        """Tell what was used of a slice; with `rest`, give what was not back to the day.

        Repeating does nothing, and nothing is kept of a slice the store does not know. What is
        never settled is stranded: nobody gets it on that day.
        """
        ...

    def day(self, tenant: str, now: datetime) -> DayOfSound:
        """Files and seconds of the tenant's UTC day; of an unknown tenant there are none."""
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
    def create_or_get(
        self, recording: Recording, place: Place, digests: Collection[str] = ()
    ) -> Recording:
        """Record an admitted upload with its job and its ticket, or return what is there.

        That may be its tombstone. In the same commit it is refused (`erased_before`) if one of
        its `digests` is that of content that was erased on request, unless it wishes to be heard
        `again`, which the history says then; and (`unknown_tenant`) if its tenant is being erased.

        Atomic: recording, job, ledger, history line and the ticket in the outbox are one
        commit, and of several concurrent callers exactly one creates. `place` is pure, is
        given the tenant's ledger and may be called again after a conflict; what it raises is
        raised, and nothing changes. A deferred placement creates no ticket; the limit that
        deferred it is the recording's error until its time has come.
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

        `states` empty means all states but erased; `before` is (received_at, id) of the last row of
        the page before.
        """
        ...

    def about(self, tenant: str, subject: str) -> list[str]:
        """Ids of the tenant's recordings about that subject, sorted; erased ones are not."""
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

        Each is queued and rung for, its error gone, or deferred anew where `place` says so: the
        day's quota is used up again. Returns how many were queued.
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


class Compressor(Protocol):
    """Compresses without loss, so that the file comes back byte for byte."""

    def __call__(
        self,
        read: Callable[[int, int], bytes],
        size_bytes: int,
        into: BinaryIO,
        alive: Callable[[], None],
    ) -> str:
        """Write a file's sound as FLAC, read it again, and compare; the sha256 of the file.

        Args:
            read: the bytes from a place on, so many.
            into: empty, seekable.
            alive: called at least once a second of work; what it raises ends the work.

        Raises:
            NotCompressible: the file stays as it came, and why.
        """
        ...


class Uploads(Protocol):
    """The uploads bucket, and the archive of what is kept long: an object's name says where it
    lies. Nothing in them is ever changed, it is only kept or erased."""

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
        """Uploads by name (bytes of UTF-8), then generation; `after` is the last one seen.

        Nothing of the archive. An empty page is the end. An object that is there all along is met
        exactly once.
        """
        ...

    def fetch(self, name: str, generation: int) -> AbstractContextManager["Fetched"]:
        """The whole object as an open, seekable file with its digest, for one `with` block.

        Raises:
            NotFound: that generation is gone.
        """
        ...

    def generations(self, name: str) -> list[UploadedObject]:
        """Every generation of the object there is, replaced ones too, the oldest first."""
        ...

    def delete(self, name: str, generation: int) -> None:
        """Delete that generation for good; deleting what is gone does nothing.

        Raises:
            UnderHold: a hold lies on the object; nothing was deleted.
        """
        ...

    def shelve(
        self, name: str, content: BinaryIO, content_type: str, at: datetime
    ) -> UploadedObject:
        """Put an object into the archive, under a name that begins with `archive/`; tell nobody.

        `content` is read from its beginning. Where there is an object of that name, it stays and
        is what is returned.
        """
        ...

    def intact(self, name: str, generation: int) -> bool:
        """Whether that generation is there, and byte for byte as it was put in."""
        ...

    def shelved(self, folder: str, after: str = "", limit: int = 500) -> list[UploadedObject]:
        """Objects of the archive whose name begins with `folder`, by name; `after` is the last
        one seen. An empty page is the end."""
        ...

    def hold(self, name: str, generation: int) -> None:
        """Let nobody erase that generation, us included, until `unhold`. Repeating does nothing.

        Raises:
            NotFound: that generation is gone.
        """
        ...

    def unhold(self, name: str, generation: int) -> None:
        """End the hold; where there is none, or the generation is gone, there is nothing to do."""
        ...


class Retention(Protocol):
    """How long recordings are kept. What a method does to one is decided in its own commit by
    `shared.domain.retention` and `long_term`, with a line of the history and an announcement in the
    outbox; where nothing is different, nothing is written."""

    def time(self, ours: datetime) -> Times:
        """What time it is, for whatever is announced or erased.

        `earliest` is never later than `ours`, and never further ahead of an earlier answer than
        time has passed since, as far as the store can tell: a clock that jumps ahead moves only
        `latest` (`shared.domain.timekeeping`; a store with a clock of its own asks that).
        """
        ...

    def ending(
        self,
        by: datetime,
        *,
        tenant: str | None = None,
        unannounced: bool = False,
        after: tuple[datetime, str] | None = None,
        limit: int = 100,
    ) -> list[Recording]:
        """Recordings whose time ends by then, the soonest first (then by id).

        Neither those that are held nor those that are erased. Of one tenant, or of all; with
        `unannounced` only those whose end was not announced (then of all). `after` is
        (kept_until, id) of the last one of the page before. Costs what is found, not what is
        stored.
        """
        ...

    def received(
        self, tenant: str, after: tuple[datetime, str] | None = None, limit: int = 100
    ) -> list[Recording]:
        """All recordings of a tenant, the oldest first (then by id).

        `after` is (received_at, id) of the last one of the page before.
        """
        ...

    def settle(self, recording_id: str, rules: Rules, now: Times) -> Recording | None:
        """Keep it as the rules say now, and announce its end if that is near (`settled`).

        Returns it as it is kept then; None if there is no such recording.
        """
        ...

    def extend(
        self, recording_id: str, until: datetime, rules: Rules, actor: str, now: Times
    ) -> Recording:
        """Keep it until then, or longer (`extended`). Repeating does nothing.

        Raises:
            NotFound: no such recording. WrongState: it is erased.
            ExtensionRefused: the rules do not allow it; nothing was changed.
        """
        ...

    def hold(self, recording_id: str, hold: Hold) -> Recording:
        """Let nothing of it be erased until it is released; a hold that stands stays.

        Raises:
            NotFound: no such recording. WrongState: it is erased.
        """
        ...

    def release(self, recording_id: str, actor: str, at: datetime) -> Recording:
        """End its hold. Repeating does nothing.

        Raises:
            NotFound: no such recording. WrongState: it is erased.
        """
        ...

    def compressible(self, by: datetime, limit: int = 100) -> list[Recording]:
        """Recordings whose original is to be compressed by then, the soonest first (then by id).

        None that is held or erased. Costs what is found, not what is stored.
        """
        ...

    def clearable(self, by: datetime, limit: int = 100) -> list[Recording]:
        """As `compressible`: what was uploaded goes by then, for there is a FLAC."""
        ...

    def archived_as(self, name: str) -> list[str]:
        """The ids of archived recordings that were uploaded under this object's name, sorted."""
        ...

    def decide(
        self, recording_id: str, made: Callable[[Recording], Recording], actor: str, at: datetime
    ) -> Recording:
        """Keep the recording as `made` says of what it is in the very moment of the commit.

        `made` changes only what is said about keeping, and may be asked more than once; the last
        time counts. Returns the recording as it is then.

        Raises:
            NotFound: no such recording.
        """
        ...

    def unsettle(self, tenant: str) -> None:
        """Note that the tenant's recordings are to be settled, as when its rules change."""
        ...

    def unsettled(self, limit: int = 100) -> list[Tenant]:
        """Tenants that keep recordings for another time than before, by id, until `settled_all`."""
        ...

    def settled_all(self, tenant: Tenant) -> bool:
        """Forget that its rules have changed; False if they changed again since, and is kept."""
        ...


class Sweeper(Protocol):
    """Temporary files, which nobody needs any more after a day."""

    def sweep(self, before: datetime) -> int:
        """Remove those last written before then; returns how many. Nothing in use is removed."""
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

    @property
    def bucket_url(self) -> str | None:
        """What the addresses begin with, up to a slash; None where they begin with `door`."""
        ...

    @property
    def sessions(self) -> bool:
        """Whether a session can be begun here."""
        ...

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

    def names(self, folder: str) -> list[str]:
        """The files below a folder, from there on, sorted; none where there is no folder."""
        ...

    def folders(self, after: str | None = None, limit: int = 500) -> list[Kept]:
        """Folders of results by name, whoever points to them; `after` is the last one seen.

        Names are compared with a slash behind them. An empty page is the end. A folder that
        is there all along is met exactly once.
        """
        ...

    def all_of(self, tenant: str, recording_id: str) -> list[str]:
        """The folders of every token of a recording, sorted; none is no error."""
        ...

    def remove(self, folder: str) -> None:
        """Remove a folder with all below it; removing what is gone does nothing."""
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

    def terms(self, engine: str, task: Task) -> "Terms | None":
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


class Imports(Protocol):
    """How recordings come in that were heard elsewhere: into a HOME, for no bucket of Google's
    lets anybody choose an object's generation, and an id follows from it."""

    def bring(self, carried: Carried) -> bool:
        """Keep a recording as it was: with history, corrections, job and passages, in one commit.

        Nothing is announced, nothing is put out; a job that is ready is rung for by `reconcile`.
        False if there is a recording of this id, which stays as it is.
        """
        ...

    def lay(self, upload: UploadedObject, content: IO[bytes], *, held: bool) -> bool:
        """Put an object in under its own name and generation, announced to nobody.

        Where the recording is `held`, so is the object. False if it is there already; then it is
        left as it is, and held all the same.
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


class Webhooks(Protocol):
    """Whom tenants want told."""

    def add(self, webhook: Webhook) -> bool:
        """Keep a new webhook; False if there is one of this id, which stays as it is."""
        ...

    def get(self, webhook_id: str) -> Webhook | None:
        """The webhook, disabled or not, or None."""
        ...

    def all(self, tenant: str | None = None) -> list[Webhook]:
        """Every webhook, disabled ones too, the newest first (then by id); of one tenant or all."""
        ...

    def remove(self, webhook_id: str) -> None:
        """Remove the webhook and all its deliveries; removing what is gone does nothing."""
        ...

    def disable(self, webhook_id: str, at: datetime) -> None:
        """Send nothing there any more; the first time stays. One that is gone stays gone."""
        ...

    def rotate(self, webhook_id: str, secret: str, old_until: datetime) -> Webhook:
        """Sign with this secret from now on, and until `old_until` with the one before it, too.

        Raises:
            NotFound: there is none of this id.
        """
        ...

    def failing(self, webhook_id: str, since: datetime | None) -> None:
        """Remember that its attempts fail since then (the first time stays), or no longer fail.

        Of one that is gone nothing is remembered.
        """
        ...


class Deliveries(Protocol):
    """What is on its way to webhooks, and the log of what was."""

    def enqueue(self, delivery: Delivery) -> bool:
        """Keep a new delivery; False if this webhook was given this event before.

        Of several concurrent callers exactly one gets True.
        """
        ...

    def get(self, webhook_id: str, event_id: str) -> Delivery | None:
        """The delivery, or None."""
        ...

    def lease(self, now: datetime, lease_s: float, limit: int = 50) -> list[Delivery]:
        """Take deliveries whose next attempt is due, those due longest first, at most `limit`.

        Each is taken by a conditional commit that makes it due again `lease_s` seconds from
        now: of concurrent callers no two get the same one, and one that dies loses none.
        """
        ...

    def record(
        self, leased: Delivery, reply: Reply, now: datetime, chance: float
    ) -> Delivery | None:
        """Log an attempt and move the delivery on, as `webhooks.noted` says; returns it as kept.

        None: it was removed meanwhile, and nothing is kept.
        """
        ...

    def postpone(self, leased: Delivery, until: datetime) -> None:
        """Let go without an attempt, due again then. Where the lease is over nothing changes."""
        ...

    def page(
        self,
        *,
        tenant: str | None = None,
        webhook_id: str | None = None,
        state: Delivered | None = None,
        before: tuple[datetime, str, str] | None = None,
        limit: int = 50,
    ) -> list[Delivery]:
        """Deliveries, newest first, of one webhook or of one tenant, of one state or of all.

        In full the order is by made_at, then by event and by webhook, all falling; `before` is
        (made_at, event_id, webhook_id) of the last one of the page before. Tenant or webhook is
        given, not both.
        """
        ...

    def replay(self, webhook_id: str, event_id: str, now: datetime) -> Delivery:
        """Make a delivery due now, with all its attempts before it (`webhooks.replayed`).

        Raises:
            NotFound: there is none.
        """
        ...

    def lapse(self, before: datetime, limit: int = 500) -> int:
        """Forget deliveries that were settled before then, at most `limit`; how many were."""
        ...


class Courier(Protocol):
    def send(self, webhook: Webhook, delivery: Delivery, now: datetime) -> Reply:
        """Make one attempt, signed with the time of `now`; the answer, or why there is none.

        Bounded in time whatever the endpoint does, follows no redirect, uses no proxy, and
        connects to an address that was looked at and is allowed. Keeps nothing of an answer but
        its status and when it wants to be asked again. Never raises for what an endpoint does.
        """
        ...


class Actions(Protocol):
    """Who did what, and who looked at what; nothing is ever changed."""

    def append(self, action: Action) -> None:
        """Keep it; in the same commit it waits for a seal. Appending twice is once."""
        ...

    def page(
        self,
        tenant: str | None = None,
        *,
        before: tuple[datetime, str] | None = None,
        limit: int = 50,
    ) -> list[Action]:
        """Actions, the newest first (then by id), of one tenant or of all.

        `before` is (at, id) of the last one of the page before.
        """
        ...


class Chains(Protocol):
    """Histories as they prove themselves, and what waits for a seal.

    Each line that the other ports write, and each action, waits from its own commit on.
    """

    def page(self, tenant: str, after: str | None = None, limit: int = 100) -> list[Chain]:
        """Histories of a tenant's recordings, by id; `after` is the last one seen."""
        ...

    def tenants(self) -> list[str]:
        """Of whom anything waits, by id. It costs by what waits, and by nothing else there is."""
        ...

    def waiting(self, tenant: str, limit: int | None = None) -> list[Leaf]:
        """What waits, sorted; with `limit` at most so many, no matter which."""
        ...

    def sealed(self, tenant: str, leaves: Sequence[Leaf]) -> None:
        """These wait no longer; what waits no longer already is passed over."""
        ...


class Seals(Protocol):
    """Write-once storage, a file a seal. No tenant is called other than TENANT or EVERYBODY."""

    def put(self, tenant: str, number: int, content: bytes) -> bool:
        """Write a seal where there is none: False if another stands there, which stays.

        True where this very content stands there already. Of concurrent callers with different
        ones one writes. A seal is there whole or not at all.
        """
        ...

    def get(self, tenant: str, number: int) -> bytes | None:
        """A seal as it was put, or None."""
        ...

    def numbers(self, tenant: str, after: int = 0, limit: int | None = None) -> list[int]:
        """Numbers of the tenant's seals behind `after`, ascending; at most `limit`."""
        ...

    def tenants(self) -> list[str]:
        """Who has seals, by id."""
        ...


class Leftovers(Protocol):
    """Copies of uploads that killed processes left where only we look."""

    def remove(self, size_bytes: int, read: Callable[[int, int], bytes], before: datetime) -> int:
        """Remove what the upload of that size begins with, whole or in part; how many were.

        `read` gives bytes of the upload from a place on. What somebody still writes stays, as
        far as can be told at `before`.
        """
        ...

    def remove_shelving(self, recording_id: str, before: datetime) -> int:
        """As `remove`: what was left of putting the recording's original into the archive."""
        ...


class Erasures(Protocol):
    """What is erased, how far that has come, and the metadata store's own part of it."""

    def ask(
        self, recording_id: str, draft: Callable[[Recording], Erasure | None]
    ) -> Erasure | None:
        """Put the tombstone, in one conditional commit; returns the recording's erasure.

        `draft` is pure, is given the recording as it is in that commit and says which erasure
        begins; it may be called again after a conflict. None: none does, and nothing changes.
        One that waits is only kept. One that does not makes the recording erased, with a line
        in its history, ends its job and raises the job's token: nobody finds it any more, and
        whatever carries an older token is refused. An erasure that was begun stays as it is;
        one that waits begins as soon as `draft` does not wait, and stays whose it was. One that
        is done begins anew if its recording is there all the same, as a backup brings it back.

        Raises:
            NotFound: there is no such recording.
        """
        ...

    def get(self, erasure_id: str) -> Erasure | None:
        """The erasure, or None."""
        ...

    def of(self, recording_id: str) -> Erasure | None:
        """The recording's erasure, or None."""
        ...

    def ask_tenant(self, erasure: Erasure) -> Erasure:
        """Begin to erase all that is a tenant's, in one conditional commit.

        Nothing of it is recorded from then on. Where one was begun and is not done, that is
        returned.

        Raises:
            NotFound: there is no such tenant.
        """
        ...

    def running(self, limit: int = 100, tenant: str | None = None) -> list[Erasure]:
        """Those that neither wait nor are done, the oldest first; of one tenant, or of all."""
        ...

    def waiting(self, after: str = "", limit: int = 500) -> list[Erasure]:
        """Those under hold, by id, behind `after`."""
        ...

    def go_on(self, seen: Erasure, to: Erasure, left: Sequence[Tombstone] = ()) -> Erasure:
        """Put `to` in place of `seen` and lay down the tombstones `left`, in one commit.

        If its step is no longer that of `seen`, nothing changes and what is there is returned:
        of concurrent callers one goes on. The commit that brings it to DONE announces it.

        Raises:
            NotFound: there is no such erasure.
        """
        ...

    def counts(self, erasure: Erasure) -> tuple[tuple[str, int], ...]:
        """What the store has of the recording that `forget` takes: what, and how many."""
        ...

    def engines(self, recording_id: str) -> list[str]:
        """Engines that the store knows were asked about the recording, each once, sorted."""
        ...

    def forget(self, part: Part, erasure: Erasure) -> None:
        """Forget that part of the recording; forgetting twice is once.

        State and times stay, and what a call did cost; of the history only who and why goes.
        """
        ...

    def purge(self) -> None:
        """What was forgotten is in no byte of the store's files when this returns.

        Raises:
            StoreUnavailable: somebody is reading; calling again will help.
        """
        ...

    def tenant_counts(self, tenant: str) -> tuple[tuple[str, int], ...]:
        """What the store has of a tenant beside recordings: what, and how many."""
        ...

    def forget_tenant(self, tenant: str) -> None:
        """Forget all that; the tenant itself last, so that a kill leaves it to be found again.

        Its key goes, so that no tombstone of it matches anything any more.
        """
        ...

    def key(self, tenant: str) -> bytes:
        """The tenant's own key for tombstones: made at its first need, the same from then on."""
        ...

    def erased_before(self, tenant: str, digests: Collection[str], now: datetime) -> bool:
        """Whether a tombstone of the tenant matches one of these digests of a content."""
        ...

    def sweep(self, now: datetime, limit: int = 500) -> int:
        """Forget tombstones whose time is over, at most `limit`; how many were."""
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
