"""Erasures: what is gone for good, in which order, and the receipt that says so.

Pure: time, keys and randomness are arguments.
"""

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from shared.domain.recording import Failure, Recording, UploadedObject
from shared.domain.states import State as Life
from shared.errors import ErasedBefore, UnknownTenant

#: Hexadecimal digits of an erasure's id, 128 bit.
ID_DIGITS = 32
#: Days that a tombstone of requested erasure outlives what the platform still holds (issue 7).
TOMBSTONE_DAYS = 30
#: Bytes of a tenant's key for tombstones: as long as the digest it makes (RFC 2104, section 3).
KEY_BYTES = 32
#: What a receipt is, and what is written before its digest when it is signed: the same key
#: signs other things.
FORMAT = "earwitness.receipt/v1"


class Cause(StrEnum):
    REQUEST = "request"  #: somebody named the recording
    SUBJECT = "subject"  #: somebody named whom it is about
    TENANT = "tenant"  #: somebody named its tenant
    EXPIRY = "expiry"  #: its time was over


#: Asked for by somebody: content that comes again is refused for a while.
REQUESTED = frozenset({Cause.REQUEST, Cause.SUBJECT, Cause.TENANT})


class Step(StrEnum):
    """The last step that is over. The order is E1's; a kill between two is gone on from here."""

    WAITING = "waiting"  #: under hold
    FENCED = "fenced"  #: nobody sees it, and no worker's token counts any more
    LISTED = "listed"  #: what there is was written down
    PASSAGES = "passages"  #: search no longer finds it
    CACHES = "caches"  #: nothing of it is answered again
    METADATA = "metadata"
    GENERATIONS = "generations"  #: the sound, and all its results
    VERIFIED = "verified"  #: every store was listed anew and has nothing of it
    DONE = "done"  #: there is a receipt


ORDER = tuple(Step)


class State(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"


class Part(StrEnum):
    """What of the metadata store is forgotten together."""

    PASSAGES = "passages"
    CACHES = "caches"
    METADATA = "metadata"


@dataclass(frozen=True, slots=True)
class Listing:
    """What a recording has, store by store, as one look found it."""

    generations: tuple[int, ...] = ()  #: of its object, those that this erasure deletes
    results: tuple[str, ...] = ()  #: folders of every token, without their roots
    counts: tuple[tuple[str, int], ...] = ()  #: of the metadata store: what, how many
    archived: tuple[str, ...] = ()  #: objects of the archive

    @property
    def empty(self) -> bool:
        objects = self.generations or self.results or self.archived
        return not (objects or any(n for _, n in self.counts))


@dataclass(frozen=True, slots=True)
class Erasure:
    """One recording's erasure, or with no recording a whole tenant's."""

    id: str
    tenant: str
    recording_id: str | None
    cause: Cause
    actor: str
    asked_at: datetime
    step: Step
    name: str | None = None  #: of its object; forgotten once verified
    before: Listing = field(default_factory=Listing)
    after: Listing | None = None  #: None until every store was listed anew
    engines: tuple[str, ...] = ()  #: that were asked about the sound, wherever they are
    erased_at: datetime | None = None
    receipt: str | None = None

    @property
    def state(self) -> State:
        fixed = {Step.WAITING: State.WAITING, Step.DONE: State.DONE}
        return fixed.get(self.step, State.RUNNING)

    def at(self, step: Step, **changes: Any) -> "Erasure":
        """The same, one step on."""
        return replace(self, step=step, **changes)


def of_recording(known: Recording, cause: Cause, actor: str, now: datetime) -> Erasure:
    """The erasure of a recording: always the same id, so that asking twice is asking once."""
    waits = known.hold is not None
    return Erasure(
        id=_id("recording", known.id),
        tenant=known.tenant,
        recording_id=known.id,
        cause=cause,
        actor=actor,
        asked_at=now,
        step=Step.WAITING if waits else Step.FENCED,
        name=known.name,
    )


def of_tenant(tenant: str, actor: str, now: datetime) -> Erasure:
    """The erasure of all that is a tenant's; each time one is asked for it is another."""
    return Erasure(
        id=_id("tenant", f"{tenant}/{now.isoformat()}"),
        tenant=tenant,
        recording_id=None,
        cause=Cause.TENANT,
        actor=actor,
        asked_at=now,
        step=Step.FENCED,
    )


def _id(kind: str, whose: str) -> str:
    return hashlib.sha256(f"erasure/{kind}/{whose}".encode()).hexdigest()[:ID_DIGITS]


def came_back(erasure: Erasure, known: Recording) -> bool:
    """Whether what was erased is there all the same: a backup was put in place of the store."""
    return erasure.step is Step.DONE and known.state is not Life.ERASED


def reason(cause: Cause) -> str:
    """For the last line of the history."""
    return {
        Cause.REQUEST: "erasure was asked for",
        Cause.SUBJECT: "erasure of its subject was asked for",
        Cause.TENANT: "erasure of its tenant was asked for",
        Cause.EXPIRY: "its time was over",
    }[cause]


# --- tombstones -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tombstone:
    """Content that was erased on request, by a keyed hash that says nothing without the key."""

    tenant: str
    hash: str
    until: datetime


def keyed(key: bytes, digest: str) -> str:
    """HMAC-SHA256 (RFC 2104) of a digest with its kind, such as `sha256:ab…`."""
    return hmac.new(key, digest.encode(), hashlib.sha256).hexdigest()


def tombstones(
    erasure: Erasure, key: bytes, digests: Iterable[str], outer_bound_days: int
) -> list[Tombstone]:
    """What refuses this content if it comes again; expiry leaves none."""
    if erasure.cause not in REQUESTED:
        return []
    until = erasure.asked_at + timedelta(days=outer_bound_days + TOMBSTONE_DAYS)
    hashes = sorted({keyed(key, digest) for digest in digests})
    return [Tombstone(erasure.tenant, one, until) for one in hashes]


#: Why an upload is refused in the very commit that would have recorded it.
CONTENT_GONE = Failure(ErasedBefore.code, str(ErasedBefore()))
TENANT_GOES = Failure(UnknownTenant.code, str(UnknownTenant()))
#: What the history says where content is heard although it was erased before.
AGAIN = "; heard again though it was erased before"


def digests(uploads: Iterable[UploadedObject]) -> set[str]:
    return {digest for upload in uploads for digest in upload.digests}


# --- receipts -------------------------------------------------------------------------------------

#: What the receipt says of copies that nobody here can reach.
BACKUPS = (
    "Backups and exports that were made before are their makers' and are not covered:"
    " erase there, too. Files that were dropped into an inbox were copied and stay where they lie."
)


def receipt(
    erasure: Erasure, processors: Mapping[str, str], outer_bound_days: int
) -> dict[str, object]:
    """What is signed: ids only, no name, no path, no text.

    `processors` says who runs an engine elsewhere, by its name.
    """
    assert erasure.after is not None and erasure.erased_at is not None
    forgotten = erasure.erased_at + timedelta(days=outer_bound_days)
    return {
        "format": FORMAT,
        "erasure_id": erasure.id,
        "tenant": erasure.tenant,
        "recording_id": erasure.recording_id,
        "cause": erasure.cause.value,
        "asked_at": erasure.asked_at.isoformat(),
        "erased_at": erasure.erased_at.isoformat(),
        "stores": stores(erasure.before, erasure.after),
        "processors": _processors(erasure.engines, processors),
        "outer_bound": {
            "days": outer_bound_days,
            "forgotten_by": forgotten.isoformat(),
            "not_covered": BACKUPS,
        },
    }


def stores(before: Listing, after: Listing) -> list[dict[str, object]]:
    """Each store: what was there and deleted, and what a listing found afterwards."""
    deleted, found = dict(before.counts), dict(after.counts)
    lists: list[tuple[str, Sequence[object], Sequence[object]]] = [
        ("uploads", before.generations, after.generations),
        ("archive", before.archived, after.archived),
        ("results", before.results, after.results),
    ]
    rows: list[dict[str, object]] = [
        {"store": name, "deleted": list(was), "found": list(now)} for name, was, now in lists
    ]
    for what in sorted(deleted | found):
        rows.append({"store": what, "deleted": deleted.get(what, 0), "found": found.get(what, 0)})
    return rows


def _processors(engines: Sequence[str], known: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"engine": name, "processor": known[name]} for name in engines if name in known]


def canonical(document: Mapping[str, object]) -> bytes:
    """One text for one document: sorted keys, no spaces, ASCII (as RFC 8785 for these types)."""
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def statement(document: Mapping[str, object]) -> bytes:
    """What the signature is over: the format and the digest of all but the signature itself."""
    unsigned = {key: value for key, value in document.items() if key != "signature"}
    return f"{FORMAT}\n{hashlib.sha256(canonical(unsigned)).hexdigest()}".encode()


# --- records as text ------------------------------------------------------------------------------


def written(listing: Listing | None) -> str | None:
    return None if listing is None else json.dumps(asdict(listing))


def read(text: str | None) -> Listing | None:
    if text is None:
        return None
    kept = json.loads(text)
    counts = tuple((what, int(n)) for what, n in kept["counts"])
    archived = tuple(kept.get("archived", ()))  # none in older listings
    return Listing(tuple(kept["generations"]), tuple(kept["results"]), counts, archived)
