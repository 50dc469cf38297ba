"""What the flows need from the world, in our words.

The docstrings are the contract: `tests/contracts` names each sentence and runs it against
every adapter. Every method may raise StoreUnavailable (or DiskFull); unless a docstring
says otherwise nothing was changed then, and calling again is safe.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Protocol

from shared.domain.answers import Answer, Task
from shared.domain.lanes import Lane
from shared.domain.recording import (
    Checkpoint,
    Failure,
    Found,
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
        """Create the tenant or replace its tier and overrides; its ledger stays as it is."""
        ...

    def ensure(self, tenant: str, tier: Tier, at: datetime) -> bool:
        """Create the tenant unless it exists; True if it was created just now."""
        ...

    def all(self) -> list[Tenant]:
        """Every tenant, by id."""
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
        """Every change of state, oldest first; empty for an unknown id."""
        ...

    def counts(self) -> dict[State, int]:
        """How many recordings are in each state, in one read; states without any are 0."""
        ...

    def find(self, tenant: str | None, text: str, limit: int = 20) -> list[Found]:
        """Passages of finished transcripts that hold every word of `text`, best first.

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
        """Let go before work on the sound began: the attempt is not counted."""
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

        Raises:
            NotFound: no such recording. WrongState: it is not dead, or was discarded.
        """
        ...

    def discard(self, recording_id: str, actor: str, now: datetime) -> Recording:
        """Take a dead job off the list for good; the recording stays dead.

        Raises:
            NotFound: no such recording. WrongState: it is not dead. Discarding twice is once.
        """
        ...

    def dead(self, tenant: str | None = None, limit: int = 100) -> list[Recording]:
        """Dead jobs that nobody discarded, newest first."""
        ...

    def take_back(self, now: datetime, worker: str | None = None) -> int:
        """End leases that ran out; with `worker`, every lease of that worker (it has died).

        Each counts as a failed attempt with its cause recorded: ready again, or dead after
        the last. Returns how many were ended. Nothing is lost if nobody calls; it waits.
        """
        ...

    def undefer(self, now: datetime, place: PlaceAgain) -> int:
        """Place the deferred recordings whose time has come again, oldest first.

        Each is queued and rung for, or deferred anew where the day's quota is used up
        again. Returns how many were queued.
        """
        ...

    def waiting(self, now: datetime) -> dict[Lane, int]:
        """How many jobs are ready in each lane."""
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

    def fetch(self, name: str, generation: int) -> AbstractContextManager["Fetched"]:
        """The whole object as an open, seekable file with its digest, for one `with` block.

        Raises:
            NotFound: that generation is gone.
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


class Hearing(Protocol):
    """One recording, opened: surveyed once, then asked about, segment by segment."""

    @property
    def survey(self) -> Survey:
        """What the one pass over the whole sound told."""
        ...

    def ask(self, engine: str, task: Task, segments: Sequence[Segment]) -> list[Answer]:
        """Ask one engine about segments of one plan, in order; times are the recording's.

        Raises:
            EngineUnavailable, EngineDied: none was answered; another engine may be.
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
    ) -> AbstractContextManager[Hearing]:
        """Decode the sound once, counting, and survey it. `alive` is called all along.

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


class Meter(Protocol):
    def count(self, name: str, **labels: str) -> None:
        """Add one to a registered counter; labels are a small closed set, never a tenant."""
        ...
