"""Rows of SQLite and values of the domain, both ways; and the lines every move writes."""

import json
import secrets
from collections.abc import Iterable, Sequence
from datetime import datetime
from sqlite3 import Connection, Row

import msgspec

from shared.adapters.embedded.sqlite_database import from_us, to_us
from shared.domain.audit import SALT_BYTES, Kind, Leaf, Link, linked
from shared.domain.lanes import Lane
from shared.domain.recording import Archived, Failure, Hold, Message, Moved, Recording, Topic
from shared.domain.states import State
from shared.domain.tenants import Tier
from shared.domain.wishes import read as read_wishes

_COLUMNS = (  # noqa: SIM905  # reads as the table does
    "id tenant bucket name path generation size_bytes content_type state tier lane rule wishes"
    " received_us updated_us kept_until_us seconds deferred_until_us error_code error_message"
    " review attempts progress language confidence result error_engine trace"
    " subject announced_us extended_us hold_reason hold_actor hold_us uploaded_us"
    " compress_us clear_us archived_name archived_generation archived_bytes archived_us erased"
).split()


def _insert(columns: Sequence[str]) -> str:
    return f"INSERT INTO recordings ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608  # fixed names


INSERT_RECORDING = _insert(_COLUMNS)
_BEGIN_RECORDING = _insert((*_COLUMNS, "moves", "head"))


def recording_row(r: Recording) -> tuple[object, ...]:
    error = r.error or Failure("", "")
    return (
        *(r.id, r.tenant, r.bucket, r.name, r.path, r.generation, r.size_bytes, r.content_type),
        *(r.state.value, r.tier.value, r.lane and r.lane.value, r.rule),
        msgspec.json.encode(r.wishes).decode(),  # thirty times as fast as asdict and json
        *(to_us(r.received_at), to_us(r.updated_at), to_us(r.kept_until), r.seconds),
        r.deferred_until and to_us(r.deferred_until),
        *(error.code or None, error.message or None),
        *(int(r.review), r.attempts, r.progress, r.language, r.confidence, r.result),
        *(error.engine, r.trace),
        *(r.subject, r.announced_at and to_us(r.announced_at)),
        r.extended_until and to_us(r.extended_until),
        *((r.hold.reason, r.hold.actor, to_us(r.hold.at)) if r.hold else (None, None, None)),
        r.uploaded_at and to_us(r.uploaded_at),
        *(*form_row(r), int(r.state is State.ERASED)),
    )


def form_row(r: Recording) -> tuple[object, ...]:
    """The columns from `compress_us` to `archived_us`."""
    kept = r.archived
    return (
        r.compress_at and to_us(r.compress_at),
        r.clear_at and to_us(r.clear_at),
        *((kept.name, kept.generation, kept.size_bytes, to_us(kept.at)) if kept else (None,) * 4),
    )


def failure(row: Row) -> Failure | None:
    """The error in a row of a recording or of its history."""
    if row["error_code"] is None:
        return None
    return Failure(row["error_code"], row["error_message"], row["error_engine"])


def moved(row: Row) -> Moved:
    at = from_us(row["at_us"])
    return Moved(State(row["state"]), at, row["actor"], row["reason"], failure(row), row["attempt"])


def _moment(us: int | None) -> datetime | None:
    return None if us is None else from_us(us)


def hold(row: Row) -> Hold | None:
    at = _moment(row["hold_us"])
    return Hold(row["hold_reason"], row["hold_actor"], at) if at else None


def archived(row: Row) -> Archived | None:
    at = _moment(row["archived_us"])
    if at is None:
        return None
    return Archived(row["archived_name"], row["archived_generation"], row["archived_bytes"], at)


def recording(row: Row) -> Recording:
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
        review=bool(row["review"]),
        attempts=row["attempts"],
        progress=row["progress"],
        language=row["language"],
        confidence=row["confidence"],
        result=row["result"],
        trace=row["trace"],
        subject=row["subject"],
        announced_at=_moment(row["announced_us"]),
        extended_until=_moment(row["extended_us"]),
        hold=hold(row),
        uploaded_at=_moment(row["uploaded_us"]),
        compress_at=_moment(row["compress_us"]),
        archived=archived(row),
        clear_at=_moment(row["clear_us"]),
    )


def fetch_recording(db: Connection, recording_id: str) -> Recording | None:
    row = db.execute("SELECT * FROM recordings WHERE id = ?", (recording_id,)).fetchone()
    return recording(row) if row else None


def begin(db: Connection, made: Recording, line: Moved) -> int:
    """Create the recording with the first line of its history; returns the line's number."""
    link = linked(made.id, 1, line, None, secrets.token_bytes(SALT_BYTES))
    db.execute(_BEGIN_RECORDING, (*recording_row(made), link.seq, link.head))
    _remember(db, made.id, made.tenant, link)
    return link.seq


def remember(db: Connection, recording_id: str, line: Moved, **changes: object) -> Row:
    """Add a line to the recording's history, chained to the one before; the recording's row then.

    `changes` are its columns that change with it: written once, not row by row.
    """
    known = db.execute("SELECT moves, head FROM recordings WHERE id = ?", (recording_id,))
    moves, head = known.fetchone()
    link = linked(recording_id, moves + 1, line, head, secrets.token_bytes(SALT_BYTES))
    columns = {"moves": link.seq, "head": link.head, **changes}
    names = ", ".join(f"{name} = ?" for name in columns)
    row: Row = db.execute(
        f"UPDATE recordings SET {names} WHERE id = ? RETURNING *",  # noqa: S608  # our own words
        (*columns.values(), recording_id),
    ).fetchone()
    _remember(db, recording_id, row["tenant"], link)
    return row


def _remember(db: Connection, recording_id: str, tenant: str, link: Link) -> None:
    line, error = link.line, link.line.error or Failure("", "")
    db.execute(
        "INSERT INTO history (recording_id, seq, state, at_us, actor, reason, attempt,"
        " error_code, error_message, error_engine, salt, commitment, head)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(recording_id, link.seq, line.state.value, to_us(line.at), line.actor, line.reason),
            *(line.attempt, error.code or None, error.message if line.error else None),
            *(error.engine, link.salt, link.commitment, link.head),
        ),
    )
    await_seal(db, tenant, Leaf(Kind.HISTORY, recording_id, link.seq, link.head or ""))


def await_seal(db: Connection, tenant: str, leaf: Leaf) -> None:
    """The next seal of the tenant takes it; in the same commit as what it speaks of."""
    db.execute(
        "INSERT INTO unsealed (tenant, kind, id, seq, digest) VALUES (?, ?, ?, ?, ?)",
        (tenant, leaf.kind.value, leaf.id, leaf.seq, leaf.digest),
    )


def put_out(db: Connection, messages: Iterable[Message]) -> None:
    """Lay messages in the outbox; one that lies there already stays as it is."""
    db.executemany(
        "INSERT INTO outbox (event_id, topic, recording_id, body, trace) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (event_id) DO NOTHING",
        [
            (m.event_id, m.topic.value, m.recording_id, json.dumps(m.body), m.trace)
            for m in messages
        ],
    )


def message(row: Row) -> Message:
    topic, body = Topic(row["topic"]), json.loads(row["body"])
    return Message(topic, row["recording_id"], body, row["event_id"], row["trace"])
