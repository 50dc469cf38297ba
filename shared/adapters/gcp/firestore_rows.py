"""Documents of Firestore and values of the domain, both ways; and the lines every move writes.

    tenants/{id}                      with the ledger
    tenants/{id}/days/{date}          what was taken; below it slices/{digest}, one a worker
    tenants/{id}/days/{date}.heard    when it goes; below it slices/{digest} of sound
    recordings/{id}                   recordings/{id}/history/{number}
                                      recordings/{id}/corrections/{version}
    jobs/{id}                         jobs/{id}/segments/{task}-{index}, jobs/{id}/calls/{digest}
    outbox/{event id}
    passages/{recording}-{token}-{n}
    bookmarks/{name}
    api_keys/{id}
    actions/{random id}
    unsealed/{recording}-{number}, unsealed/{action id}
    webhooks/{id}
    deliveries/{event id}.{webhook id}

Ids are digests or names, never rising numbers: rising ids crowd into one range of keys. What
is only carried, never asked for, is JSON in one field that no index covers.
"""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from google.cloud.firestore_v1 import SERVER_TIMESTAMP, DocumentReference

from shared.adapters.gcp.firestore_client import Commit, Snapshot
from shared.domain.audit import SALT_BYTES, Kind, Leaf, Link, linked
from shared.domain.lanes import Lane
from shared.domain.moments import from_us, to_us
from shared.domain.recording import (
    Archived,
    Failure,
    Hold,
    Ledger,
    Message,
    Moved,
    Recording,
    Topic,
)
from shared.domain.states import State, check
from shared.domain.tenants import Tier
from shared.domain.wishes import read as read_wishes

RECORDINGS, JOBS, TENANTS, OUTBOX, PASSAGES = "recordings", "jobs", "tenants", "outbox", "passages"
API_KEYS = "api_keys"
BOOKMARKS, HISTORY, SEGMENTS = "bookmarks", "history", "segments"
CALLS, DAYS, SLICES = "calls", "days", "slices"
CORRECTIONS = "corrections"
ERASURES, TOMBSTONES, TENANT_KEYS = "erasures", "tombstones", "tenant_keys"
ACTIONS, UNSEALED = "actions", "unsealed"
WEBHOOKS, DELIVERIES = "webhooks", "deliveries"
Row = Mapping[str, Any]


def row(found: Snapshot) -> dict[str, Any]:
    """The fields of a document that is there."""
    fields: dict[str, Any] = found.to_dict() or {}
    return fields


def failed_with(cause: Failure | None) -> dict[str, Any]:
    """The fields of an error, or of none."""
    return {
        "error_code": cause and cause.code,
        "error_message": cause and cause.message,
        "error_engine": cause and cause.engine,
    }


def failure(row: Row) -> Failure | None:
    if row["error_code"] is None:
        return None
    return Failure(row["error_code"], row["error_message"], row["error_engine"])


def recording_row(r: Recording) -> dict[str, Any]:
    return {
        "id": r.id,
        "tenant": r.tenant,
        "bucket": r.bucket,
        "name": r.name,
        "path": r.path,
        "generation": r.generation,
        "size_bytes": r.size_bytes,
        "content_type": r.content_type,
        "state": r.state.value,
        "tier": r.tier.value,
        "lane": r.lane and r.lane.value,
        "rule": r.rule,
        "wishes": json.dumps(asdict(r.wishes)),
        "received_us": to_us(r.received_at),
        "updated_us": to_us(r.updated_at),
        "seconds": r.seconds,
        "deferred_until_us": r.deferred_until and to_us(r.deferred_until),
        **failed_with(r.error),
        "review": r.review,
        "attempts": r.attempts,
        "progress": r.progress,
        "language": r.language,
        "confidence": r.confidence,
        "result": r.result,
        "trace": r.trace,
        "subject": r.subject,
        "uploaded_us": r.uploaded_at and to_us(r.uploaded_at),
        **kept_with(r),
    }


def kept_with(r: Recording) -> dict[str, Any]:
    """The fields that say how long it is kept; `due_us` is there to be asked for.

    None of it is ever due while it is held or once it is erased.
    """
    free = r.hold is None and r.state is not State.ERASED
    return {
        "kept_until_us": to_us(r.kept_until),
        "due_us": to_us(r.kept_until) if free else None,
        "announced_us": r.announced_at and to_us(r.announced_at),
        "extended_us": r.extended_until and to_us(r.extended_until),
        "hold_reason": r.hold and r.hold.reason,
        "hold_actor": r.hold and r.hold.actor,
        "hold_us": r.hold and to_us(r.hold.at),
        **formed_with(r),
    }


def formed_with(r: Recording) -> dict[str, Any]:
    """The fields that say in which form its original is kept; `..._due_us` are asked for."""
    free, kept = r.hold is None and r.state is State.DONE, r.archived
    return {
        **compressed_at(r.compress_at, free=free),
        "clear_us": r.clear_at and to_us(r.clear_at),
        "clear_due_us": to_us(r.clear_at) if r.clear_at and free else None,
        "archived_name": kept and kept.name,
        "archived_generation": kept and kept.generation,
        "archived_bytes": kept and kept.size_bytes,
        "archived_us": kept and to_us(kept.at),
    }


def compressed_at(at: datetime | None, *, free: bool) -> dict[str, Any]:
    """`free`: heard, neither held nor erased."""
    us = None if at is None else to_us(at)
    return {"compress_us": us, "compress_due_us": us if free else None}


def _moment(us: int | None) -> datetime | None:
    return None if us is None else from_us(us)


def hold(row: Row) -> Hold | None:
    at = _moment(row.get("hold_us"))
    return Hold(row["hold_reason"], row["hold_actor"], at) if at else None


def archived(row: Row) -> Archived | None:
    at = _moment(row.get("archived_us"))
    if at is None:
        return None
    return Archived(row["archived_name"], row["archived_generation"], row["archived_bytes"], at)


def recording(row: Row) -> Recording:
    """Fields that came later (`subject` and those of `kept_with`) are missing in old documents."""
    return Recording(
        id=row["id"],
        tenant=row["tenant"],
        bucket=row["bucket"],
        name=row["name"],
        path=row["path"],
        generation=row["generation"],
        size_bytes=row["size_bytes"],
        content_type=row["content_type"],
        state=State(row["state"]),
        tier=Tier(row["tier"]),
        lane=Lane(row["lane"]) if row["lane"] else None,
        rule=row["rule"],
        wishes=read_wishes(row["wishes"]),
        received_at=from_us(row["received_us"]),
        updated_at=from_us(row["updated_us"]),
        kept_until=from_us(row["kept_until_us"]),
        seconds=row["seconds"],
        deferred_until=_moment(row["deferred_until_us"]),
        error=failure(row),
        review=row["review"],
        attempts=row["attempts"],
        progress=row["progress"],
        language=row["language"],
        confidence=row["confidence"],
        result=row["result"],
        trace=row["trace"],
        subject=row.get("subject"),
        announced_at=_moment(row.get("announced_us")),
        extended_until=_moment(row.get("extended_us")),
        hold=hold(row),
        uploaded_at=_moment(row.get("uploaded_us")),
        compress_at=_moment(row.get("compress_us")),
        archived=archived(row),
        clear_at=_moment(row.get("clear_us")),
    )


def moved(row: Row) -> Moved:
    at = from_us(row["at_us"])
    return Moved(State(row["state"]), at, row["actor"], row["reason"], failure(row), row["attempt"])


def begin(commit: Commit, at: DocumentReference, made: Recording, line: Moved) -> int:
    """Create the recording with the first line of its history; returns the line's number."""
    link = linked(made.id, 1, line, None, secrets.token_bytes(SALT_BYTES))
    chained = {"moves": 1, "head": link.head, "touched": SERVER_TIMESTAMP}
    commit.create(at, {**recording_row(made), **chained})
    _remember(commit, at, made.tenant, link)
    return 1


def touch(commit: Commit, known: Snapshot, changes: Row) -> Recording:
    """Change fields of a recording; returns it as it will be."""
    commit.change(known, {**changes, "touched": SERVER_TIMESTAMP})
    return recording({**row(known), **changes})


def remember(commit: Commit, known: Snapshot, line: Moved, changes: Row) -> int:
    """Add a line to the history, with other changes; returns the line's number, from 1.

    It is chained to the one before: the recording carries the head, so that nobody reads it again.
    """
    there = row(known)
    salt = secrets.token_bytes(SALT_BYTES)
    link = linked(known.id, there["moves"] + 1, line, there.get("head"), salt)
    touch(commit, known, {**changes, "moves": link.seq, "head": link.head})
    _remember(commit, known.reference, there["tenant"], link)
    return link.seq


def move(
    commit: Commit, known: Snapshot, line: Moved, changes: Row | None = None
) -> tuple[Recording, int]:
    """Bring the recording into the line's state; returns it as it will be and the number.

    Raises:
        WrongState: there is no such way.
    """
    check(State(known.get("state")), line.state)
    changed = {**(changes or {}), "state": line.state.value, "updated_us": to_us(line.at)}
    seq = remember(commit, known, line, changed)
    return recording({**row(known), **changed}), seq


def _remember(commit: Commit, at: DocumentReference, tenant: str, link: Link) -> None:
    line = link.line
    fields = {
        "seq": link.seq,
        "state": line.state.value,
        "at_us": to_us(line.at),
        "actor": line.actor,
        "reason": line.reason,
        "attempt": line.attempt,
        **failed_with(line.error),
        "salt": link.salt,
        "commitment": link.commitment,
        "head": link.head,
    }
    # Created, so that no two moves can have the same number.
    commit.create(at.collection(HISTORY).document(str(link.seq)), fields)
    await_seal(commit, tenant, Leaf(Kind.HISTORY, at.id, link.seq, link.head or ""))


def await_seal(commit: Commit, tenant: str, leaf: Leaf) -> None:
    """The next seal of the tenant takes it; in the same commit as what it speaks of.

    A document of its own, not a field: who seals then never stands in a lease holder's way.
    """
    fields = {"tenant": tenant, "kind": leaf.kind.value, "of": leaf.id, "seq": leaf.seq}
    commit.put(commit.at(UNSEALED, unsealed_id(leaf)), {**fields, "digest": leaf.digest})


def unsealed_id(leaf: Leaf) -> str:
    return leaf.id if leaf.kind is Kind.ACTION else f"{leaf.id}-{leaf.seq}"


def put_out(commit: Commit, messages: Sequence[Message]) -> None:
    """Lay messages in the outbox, in this order; one that lies there already is laid anew.

    Its id is that of the happening, so it says the same; a condition would refuse the commit.
    """
    for number, one in enumerate(messages):
        fields = {
            "topic": one.topic.value,
            "recording_id": one.recording_id,
            "body": json.dumps(one.body),
            "trace": one.trace,
            "laid": SERVER_TIMESTAMP,
            "number": number,
        }
        commit.put(commit.at(OUTBOX, one.event_id), fields)


def message(found: Snapshot) -> Message:
    fields = row(found)
    topic, body = Topic(fields["topic"]), json.loads(fields["body"])
    return Message(topic, fields["recording_id"], body, found.id, fields["trace"])


def ledger(tenant: Snapshot) -> Ledger:
    """What the tenant has used; an unknown tenant has used nothing."""
    return Ledger(**tenant.get("ledger")) if tenant.exists else Ledger()


def write_ledger(commit: Commit, tenant: Snapshot, after: Ledger) -> None:
    if tenant.exists:
        commit.change(tenant, {"ledger": asdict(after)})
