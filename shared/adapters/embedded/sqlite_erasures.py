"""Implements `Erasures` on SQLite.

`secure_delete` overwrites what is deleted, but two things lie elsewhere. Search keeps the words of
deleted passages until its segments are merged: `purge` merges them all (FTS5, "The 'optimize'
Command"; its 'secure-delete' needs SQLite 3.42, and Debian 12 has 3.40). And the log keeps pages
as they were: `purge` moves it into the file and cuts it to nothing.
"""

import json
import secrets
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from sqlite3 import Connection, Row

from shared.adapters.embedded.sqlite_database import Database, from_us, to_us
from shared.adapters.embedded.sqlite_rows import fetch_recording, put_out, remember
from shared.domain.erasures import (
    KEY_BYTES,
    REQUESTED,
    Cause,
    Erasure,
    Part,
    Step,
    Tombstone,
    came_back,
    keyed,
    read,
    reason,
    written,
)
from shared.domain.messages import announcement
from shared.domain.recording import Moved, Recording
from shared.domain.states import State, check
from shared.errors import NotFound

#: What each part is counted by. Every statement is given the recording's id, and its
#: object's name and generation.
COUNTS: dict[Part, dict[str, str]] = {
    Part.PASSAGES: {
        "passages": "SELECT count(*) FROM passage_places WHERE recording_id = :id",
    },
    Part.CACHES: {
        "checkpoints": "SELECT count(*) FROM checkpoints WHERE recording_id = :id",
        "paid_answers": "SELECT count(*) FROM calls"
        " WHERE recording_id = :id AND answer IS NOT NULL",
        "answers_known_again": "SELECT count(*) FROM recordings"
        " WHERE id = :id AND answer_key IS NOT NULL",
    },
    Part.METADATA: {
        "recordings": "SELECT count(*) FROM recordings WHERE id = :id AND name <> ''",
        "history": "SELECT count(*) FROM history WHERE recording_id = :id AND state <> 'erased'"
        " AND (actor <> '' OR reason <> '' OR error_message IS NOT NULL)",
        "corrections": "SELECT count(*) FROM corrections WHERE recording_id = :id",
        "messages": "SELECT (SELECT count(*) FROM outbox WHERE recording_id = :id)"
        " + (SELECT count(*) FROM published WHERE recording_id = :id AND topic = 'jobs-dead')",
        "events": "SELECT (SELECT count(*) FROM storage_events"
        " WHERE name = :name AND generation = :generation) + (SELECT count(*) FROM arrivals"
        " WHERE name = :name AND generation = :generation)",
        "inbox": "SELECT count(*) FROM inbox_seen WHERE name = :name AND generation = :generation",
    },
}
_FORGET: dict[Part, tuple[str, ...]] = {
    Part.PASSAGES: (
        "DELETE FROM passages WHERE rowid IN"
        " (SELECT passage_id FROM passage_places WHERE recording_id = :id)",
        "INSERT OR IGNORE INTO bookmarks (name, note)"
        " SELECT 'erasures/unmerged', '' FROM passage_places WHERE recording_id = :id",
        "DELETE FROM passage_places WHERE recording_id = :id",
    ),
    Part.CACHES: (
        "DELETE FROM checkpoints WHERE recording_id = :id",
        "UPDATE calls SET answer = NULL WHERE recording_id = :id",
        "UPDATE recordings SET answer_key = NULL WHERE id = :id",
    ),
    Part.METADATA: (
        "UPDATE recordings SET name = '', path = '', content_type = '', wishes = '{}',"
        " size_bytes = 0, seconds = NULL, subject = NULL, language = NULL, confidence = NULL,"
        " error_code = NULL, error_message = NULL, error_engine = NULL, trace = NULL,"
        " result = NULL, hold_reason = NULL, hold_actor = NULL, hold_us = NULL, compress_us = NULL,"
        " clear_us = NULL, archived_name = NULL, archived_generation = NULL, archived_bytes = NULL,"
        " archived_us = NULL WHERE id = :id",
        # What the salted commitments were made of goes; they stay, and the chain holds.
        "UPDATE history SET actor = '', reason = '', error_code = NULL, error_message = NULL,"
        " error_engine = NULL, salt = NULL WHERE recording_id = :id AND state <> 'erased'",
        "DELETE FROM corrections WHERE recording_id = :id",
        "DELETE FROM outbox WHERE recording_id = :id",
        # Other announcements and the measurements are ids and numbers.
        "DELETE FROM published WHERE recording_id = :id AND topic = 'jobs-dead'",
        "DELETE FROM storage_events WHERE name = :name AND generation = :generation",
        "DELETE FROM arrivals WHERE name = :name AND generation = :generation",
    ),
}
#: What is a tenant's own, beside its recordings. What calls did cost stays, for bills.
_OF_TENANTS = {
    "corrections": "corrections WHERE tenant = ?",
    "keys": "api_keys WHERE tenant = ?",
    "deliveries": "deliveries WHERE tenant = ?",
    "webhooks": "webhooks WHERE tenant = ?",
    "money": "money WHERE tenant = ?",
    "slices_of_money": "slices WHERE tenant = ?",
    "slices_of_sound": "sound_slices WHERE tenant = ?",
    "inbox": "inbox_forgotten WHERE tenant = ?",
    "tombstones": "tombstones WHERE tenant = ?",
    "tombstone_keys": "tenant_keys WHERE tenant = ?",
    "tenants": "tenants WHERE id = ?",
}
#: The note in `bookmarks` that search has words to be merged away.
UNMERGED = "erasures/unmerged"
_COLUMNS = (  # noqa: SIM905  # reads as the table does
    "id tenant recording_id cause actor asked_us step name listed found engines erased_us receipt"
).split()
_KEEP = (
    f"INSERT OR REPLACE INTO erasures ({', '.join(_COLUMNS)})"  # noqa: S608  # fixed names
    f" VALUES ({', '.join('?' * len(_COLUMNS))})"
)


class SqliteErasures:
    """One row an erasure; what it forgets lies in the tables of its neighbours."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def ask(
        self, recording_id: str, draft: Callable[[Recording], Erasure | None]
    ) -> Erasure | None:
        with self._db.write() as db:
            known = fetch_recording(db, recording_id)
            if known is None:
                raise NotFound(recording_id=recording_id)
            found = _of(db, recording_id)
            if found is not None and came_back(found, known):
                found = None
            if found is not None and found.step is not Step.WAITING:
                return found
            asked = draft(known)
            if asked is None or (found is not None and asked.step is Step.WAITING):
                return found
            begun = asked if found is None else found.at(asked.step)
            if begun.step is not Step.WAITING:
                _fence(db, known, begun, asked.asked_at)
            _keep(db, begun)
            return begun

    def get(self, erasure_id: str) -> Erasure | None:
        with self._db.read() as db:
            row = db.execute("SELECT * FROM erasures WHERE id = ?", (erasure_id,)).fetchone()
        return _erasure(row) if row else None

    def of(self, recording_id: str) -> Erasure | None:
        with self._db.read() as db:
            return _of(db, recording_id)

    def ask_tenant(self, erasure: Erasure) -> Erasure:
        with self._db.write() as db:
            row = db.execute(
                "SELECT * FROM erasures WHERE tenant = ? AND recording_id IS NULL"
                " AND step <> 'done'",
                (erasure.tenant,),
            ).fetchone()
            if row is not None:
                return _erasure(row)
            known = "SELECT 1 FROM tenants WHERE id = ?"
            if db.execute(known, (erasure.tenant,)).fetchone() is None:
                raise NotFound(f"There is no tenant {erasure.tenant}.")
            _keep(db, erasure)
            return erasure

    def running(self, limit: int = 100, tenant: str | None = None) -> list[Erasure]:
        which = "step NOT IN ('waiting', 'done') AND (?1 IS NULL OR tenant = ?1)"
        return self._page(which, (tenant,), limit)

    def waiting(self, after: str = "", limit: int = 500) -> list[Erasure]:
        return self._page("step = 'waiting' AND id > ?", (after,), limit, "id")

    def _page(
        self, which: str, given: tuple[object, ...], limit: int, order: str = "asked_us, id"
    ) -> list[Erasure]:
        with self._db.read() as db:
            rows = db.execute(
                f"SELECT * FROM erasures WHERE {which} ORDER BY {order} LIMIT ?",  # noqa: S608
                (*given, limit),
            ).fetchall()
        return [_erasure(row) for row in rows]

    def go_on(self, seen: Erasure, to: Erasure, left: Sequence[Tombstone] = ()) -> Erasure:
        with self._db.write() as db:
            row = db.execute("SELECT * FROM erasures WHERE id = ?", (seen.id,)).fetchone()
            if row is None:
                raise NotFound(erasure_id=seen.id)
            if row["step"] != seen.step.value:
                return _erasure(row)
            _keep(db, to)
            db.executemany(
                "INSERT OR REPLACE INTO tombstones (tenant, hash, until_us) VALUES (?, ?, ?)",
                [(one.tenant, one.hash, to_us(one.until)) for one in left],
            )
            if to.step is Step.DONE and to.recording_id and to.erased_at:
                _announce(db, to.recording_id, to.erased_at)
            return to

    def counts(self, erasure: Erasure) -> tuple[tuple[str, int], ...]:
        with self._db.read() as db:
            given = _given(db, erasure)
            every = {what: sql for part in COUNTS.values() for what, sql in part.items()}
            return tuple(
                (what, db.execute(sql, given).fetchone()[0]) for what, sql in every.items()
            )

    def engines(self, recording_id: str) -> list[str]:
        with self._db.read() as db:
            rows = db.execute(
                "SELECT engine FROM calls WHERE recording_id = ?1 UNION SELECT error_engine"
                " FROM history WHERE recording_id = ?1 AND error_engine IS NOT NULL ORDER BY 1",
                (recording_id,),
            ).fetchall()
        return [row[0] for row in rows]

    def forget(self, part: Part, erasure: Erasure) -> None:
        with self._db.write() as db:
            given = _given(db, erasure)
            for statement in _FORGET[part]:
                db.execute(statement, given)
            if part is Part.METADATA and erasure.name:
                _forget_marks(db, erasure.name)
                _forget_drops(db, erasure, given)

    def tenant_counts(self, tenant: str) -> tuple[tuple[str, int], ...]:
        with self._db.read() as db:
            return tuple(
                (what, db.execute(f"SELECT count(*) FROM {where}", (tenant,)).fetchone()[0])  # noqa: S608
                for what, where in _OF_TENANTS.items()
            )

    def forget_tenant(self, tenant: str) -> None:
        with self._db.write() as db:
            for where in _OF_TENANTS.values():
                db.execute(f"DELETE FROM {where}", (tenant,))  # noqa: S608  # fixed names

    def purge(self) -> None:
        with self._db.write() as db:
            left = db.execute("DELETE FROM bookmarks WHERE name = ?", (UNMERGED,))
            if left.rowcount:
                db.execute("INSERT INTO passages (passages) VALUES ('optimize')")
        self._db.truncate_log()

    def key(self, tenant: str) -> bytes:
        with self._db.write() as db:
            return _key(db, tenant)

    def erased_before(self, tenant: str, digests: Collection[str], now: datetime) -> bool:
        with self._db.read() as db:
            return erased_before(db, tenant, digests, now)

    def sweep(self, now: datetime, limit: int = 500) -> int:
        with self._db.write() as db:
            gone = db.execute(
                "DELETE FROM tombstones WHERE (tenant, hash) IN"
                " (SELECT tenant, hash FROM tombstones WHERE until_us <= ? LIMIT ?)",
                (to_us(now), limit),
            )
            return gone.rowcount


def erased_before(db: Connection, tenant: str, digests: Collection[str], now: datetime) -> bool:
    """Whether this content of the tenant was erased on request and is still remembered."""
    if not digests:
        return False
    row = db.execute("SELECT key FROM tenant_keys WHERE tenant = ?", (tenant,)).fetchone()
    if row is None:
        return False
    hashes = [keyed(row["key"], one) for one in digests]
    found = db.execute(
        "SELECT 1 FROM tombstones WHERE tenant = ? AND until_us > ?"  # noqa: S608  # only marks
        f" AND hash IN ({', '.join('?' * len(hashes))}) LIMIT 1",
        (tenant, to_us(now), *hashes),
    ).fetchone()
    return found is not None


def is_being_erased(db: Connection, tenant: str) -> bool:
    row = db.execute(
        "SELECT 1 FROM erasures WHERE tenant = ? AND recording_id IS NULL AND step <> 'done'"
        " LIMIT 1",
        (tenant,),
    ).fetchone()
    return row is not None


def _fence(db: Connection, known: Recording, erasure: Erasure, now: datetime) -> None:
    """The tombstone and the raised token, together: no older token writes from here on."""
    check(known.state, State.ERASED)
    db.execute(
        "UPDATE jobs SET state = 'over', token = token + 1, worker = NULL, lease_until_us = NULL"
        " WHERE recording_id = ?",
        (known.id,),
    )
    line = Moved(State.ERASED, now, erasure.actor, reason(erasure.cause))
    state = {"state": line.state.value, "erased": 1, "deferred_until_us": None}
    remember(db, known.id, line, updated_us=to_us(now), **state)


def _announce(db: Connection, recording_id: str, at: datetime) -> None:
    known = fetch_recording(db, recording_id)
    if known is not None:
        row = db.execute("SELECT moves FROM recordings WHERE id = ?", (recording_id,)).fetchone()
        put_out(db, [announcement(known, "erased", at, row["moves"])])


def _forget_marks(db: Connection, name: str) -> None:
    """Errands that stand at this object's name begin their round anew."""
    for row in db.execute("SELECT name, note FROM bookmarks").fetchall():
        if json.dumps(name)[1:-1] in row["note"]:
            db.execute("DELETE FROM bookmarks WHERE name = ?", (row["name"],))


def _forget_drops(db: Connection, erasure: Erasure, given: dict[str, object]) -> None:
    """The file lies in the inbox all the same: a keyed hash of its path keeps it from being taken
    again. Of content that was erased on request it keeps another, should somebody touch it."""
    of = "inbox_seen WHERE name = :name AND generation = :generation"
    for row in db.execute(f"SELECT * FROM {of}", given).fetchall():  # noqa: S608  # fixed words
        key = _key(db, erasure.tenant)
        content = keyed(key, f"sha256:{row['sha256']}") if erasure.cause in REQUESTED else None
        db.execute(
            "INSERT OR REPLACE INTO inbox_forgotten VALUES (?, ?, ?, ?, ?)",
            (
                *(erasure.tenant, keyed(key, f"path:{row['path']}")),
                *(row["size_bytes"], row["mtime_ns"], content),
            ),
        )
    db.execute(f"DELETE FROM {of}", given)  # noqa: S608  # fixed words


def _key(db: Connection, tenant: str) -> bytes:
    """Made at its first need."""
    db.execute(
        "INSERT OR IGNORE INTO tenant_keys (tenant, key) VALUES (?, ?)",
        (tenant, secrets.token_bytes(KEY_BYTES)),
    )
    row = db.execute("SELECT key FROM tenant_keys WHERE tenant = ?", (tenant,)).fetchone()
    found: bytes = row["key"]
    return found


def _given(db: Connection, erasure: Erasure) -> dict[str, object]:
    row = db.execute(
        "SELECT generation FROM recordings WHERE id = ?", (erasure.recording_id,)
    ).fetchone()
    generation = row["generation"] if row else None
    return {"id": erasure.recording_id, "name": erasure.name, "generation": generation}


def _of(db: Connection, recording_id: str) -> Erasure | None:
    row = db.execute("SELECT * FROM erasures WHERE recording_id = ?", (recording_id,)).fetchone()
    return _erasure(row) if row else None


def _keep(db: Connection, e: Erasure) -> None:
    db.execute(
        _KEEP,
        (
            *(e.id, e.tenant, e.recording_id, e.cause.value, e.actor, to_us(e.asked_at)),
            *(e.step.value, e.name, written(e.before), written(e.after), json.dumps(e.engines)),
            *(e.erased_at and to_us(e.erased_at), e.receipt),
        ),
    )


def _erasure(row: Row) -> Erasure:
    before = read(row["listed"])
    assert before is not None
    return Erasure(
        id=row["id"],
        tenant=row["tenant"],
        recording_id=row["recording_id"],
        cause=Cause(row["cause"]),
        actor=row["actor"],
        asked_at=from_us(row["asked_us"]),
        step=Step(row["step"]),
        name=row["name"],
        before=before,
        after=read(row["found"]),
        engines=tuple(json.loads(row["engines"])),
        erased_at=from_us(row["erased_us"]) if row["erased_us"] is not None else None,
        receipt=row["receipt"],
    )
