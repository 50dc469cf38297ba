"""Implements `Retention` on SQLite."""

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from sqlite3 import Connection

from shared.adapters.embedded.machine_uptime import uptime
from shared.adapters.embedded.sqlite_database import Database, from_us, to_us
from shared.adapters.embedded.sqlite_rows import (
    fetch_recording,
    form_row,
    put_out,
    recording,
    remember,
)
from shared.adapters.embedded.sqlite_tenants import tenant_of, unsettle
from shared.domain.messages import announcement
from shared.domain.recording import Hold, Moved, Recording
from shared.domain.retention import change, extended, held, released, settled
from shared.domain.tenants import Rules, Tenant
from shared.domain.timekeeping import Anchor, Times, Uptime, told
from shared.errors import NotFound

#: Where the last moment that was believed is noted.
ANCHOR = "retention/clock"
#: Who settles, in a recording's history.
ACTOR = "retention"


class SqliteRetention:
    """The machine's uptime is held against its clock: nobody else knows the time here."""

    def __init__(self, db: Database, up: Callable[[], Uptime] = uptime) -> None:
        self._db, self._up = db, up

    def time(self, ours: datetime) -> Times:
        with self._db.write() as db:
            row = db.execute("SELECT note FROM bookmarks WHERE name = ?", (ANCHOR,)).fetchone()
            known = _anchor(row["note"]) if row else None
            anchor, times = told(known, ours, self._up())
            if anchor != known:
                db.execute(
                    "INSERT INTO bookmarks VALUES (?, ?)"
                    " ON CONFLICT (name) DO UPDATE SET note = excluded.note",
                    (ANCHOR, _note(anchor)),
                )
        return times

    def ending(
        self,
        by: datetime,
        *,
        tenant: str | None = None,
        unannounced: bool = False,
        after: tuple[datetime, str] | None = None,
        limit: int = 100,
    ) -> list[Recording]:
        where, values = ["erased = 0 AND hold_us IS NULL"], list[object]()
        if unannounced:
            where.append("announced_us IS NULL")
        if tenant is not None:
            where.append("tenant = ?")
            values.append(tenant)
        if after is not None:
            where.append("(kept_until_us, id) > (?, ?)")
            values += [to_us(after[0]), after[1]]
        query = (
            f"SELECT * FROM recordings WHERE {' AND '.join(where)} AND kept_until_us <= ?"  # noqa: S608  # fixed words
            " ORDER BY kept_until_us, id LIMIT ?"
        )
        with self._db.read() as db:
            return [recording(row) for row in db.execute(query, (*values, to_us(by), limit))]

    def received(
        self, tenant: str, after: tuple[datetime, str] | None = None, limit: int = 100
    ) -> list[Recording]:
        mark = (to_us(after[0]), after[1]) if after else (-1, "")
        with self._db.read() as db:
            rows = db.execute(
                "SELECT * FROM recordings WHERE tenant = ? AND (received_us, id) > (?, ?)"
                " ORDER BY received_us, id LIMIT ?",
                (tenant, *mark, limit),
            ).fetchall()
        return [recording(row) for row in rows]

    def settle(self, recording_id: str, rules: Rules, now: Times) -> Recording | None:
        with self._db.read() as db:
            known = fetch_recording(db, recording_id)
        if known is None or change(known, settled(known, rules, now)) is None:
            return known  # most of a walk through all: without the lock that writers wait for
        with self._db.write() as db:
            known = fetch_recording(db, recording_id)
            return known and _keep(db, known, settled(known, rules, now), ACTOR, now.latest)

    def extend(
        self, recording_id: str, until: datetime, rules: Rules, actor: str, now: Times
    ) -> Recording:
        with self._db.write() as db:
            known = _known(db, recording_id)
            return _keep(db, known, extended(known, until, rules, now), actor, now.latest)

    def hold(self, recording_id: str, hold: Hold) -> Recording:
        with self._db.write() as db:
            known = _known(db, recording_id)
            return _keep(db, known, held(known, hold), hold.actor, hold.at)

    def release(self, recording_id: str, actor: str, at: datetime) -> Recording:
        with self._db.write() as db:
            known = _known(db, recording_id)
            return _keep(db, known, released(known), actor, at)

    def compressible(self, by: datetime, limit: int = 100) -> list[Recording]:
        return self._due("compress_us", by, limit)

    def clearable(self, by: datetime, limit: int = 100) -> list[Recording]:
        return self._due("clear_us", by, limit)

    def _due(self, column: str, by: datetime, limit: int) -> list[Recording]:
        query = (
            f"SELECT * FROM recordings WHERE {column} IS NOT NULL AND hold_us IS NULL"  # noqa: S608  # fixed words
            # `+`, or SQLite goes through all that is done instead of what is due.
            f" AND +state = 'done' AND {column} <= ? ORDER BY {column}, id LIMIT ?"
        )
        with self._db.read() as db:
            return [recording(row) for row in db.execute(query, (to_us(by), limit))]

    def archived_as(self, name: str) -> list[str]:
        query = "SELECT id FROM recordings WHERE name = ? AND archived_us IS NOT NULL ORDER BY id"
        with self._db.read() as db:
            return [row["id"] for row in db.execute(query, (name,))]

    def decide(
        self, recording_id: str, made: Callable[[Recording], Recording], actor: str, at: datetime
    ) -> Recording:
        with self._db.write() as db:
            known = _known(db, recording_id)
            return _keep(db, known, made(known), actor, at)

    def unsettle(self, tenant: str) -> None:
        with self._db.write() as db:
            unsettle(db, tenant)

    def unsettled(self, limit: int = 100) -> list[Tenant]:
        with self._db.read() as db:
            rows = db.execute("SELECT * FROM tenants WHERE resettle ORDER BY id LIMIT ?", (limit,))
            return [tenant_of(row) for row in rows]

    def settled_all(self, tenant: Tenant) -> bool:
        with self._db.write() as db:
            row = db.execute("SELECT * FROM tenants WHERE id = ?", (tenant.id,)).fetchone()
            if row is None or not tenant_of(row).keeps_as(tenant):
                return False
            db.execute("UPDATE tenants SET resettle = 0 WHERE id = ?", (tenant.id,))
            return True


def _known(db: Connection, recording_id: str) -> Recording:
    known = fetch_recording(db, recording_id)
    if known is None:
        raise NotFound(recording_id=recording_id)
    return known


def _keep(
    db: Connection, before: Recording, after: Recording, actor: str, at: datetime
) -> Recording:
    """Write what is different, with its line and its announcement."""
    changed = change(before, after)
    if changed is None:
        return before
    hold = after.hold
    db.execute(
        "UPDATE recordings SET kept_until_us = ?, announced_us = ?, extended_us = ?,"
        " hold_reason = ?, hold_actor = ?, hold_us = ?, compress_us = ?, clear_us = ?,"
        " archived_name = ?, archived_generation = ?, archived_bytes = ?, archived_us = ?"
        " WHERE id = ?",
        (
            to_us(after.kept_until),
            after.announced_at and to_us(after.announced_at),
            after.extended_until and to_us(after.extended_until),
            *((hold.reason, hold.actor, to_us(hold.at)) if hold else (None, None, None)),
            *form_row(after),
            after.id,
        ),
    )
    if changed.reason is None:
        return after
    seq = remember(db, after.id, Moved(after.state, at, actor, changed.reason))["moves"]
    if changed.kind is not None:
        put_out(db, [announcement(after, changed.kind, at, seq)])
    return after


def _note(anchor: Anchor) -> str:
    known = asdict(anchor) | {"at": to_us(anchor.at), "ahead": anchor.ahead.total_seconds()}
    return json.dumps(known)


def _anchor(note: str) -> Anchor:
    known = json.loads(note)
    return Anchor(
        at=from_us(known["at"]),
        up=Uptime(**known["up"]),
        patience_s=known["patience_s"],
        ahead=timedelta(seconds=known["ahead"]),
        doubted_s=known["doubted_s"],
    )
