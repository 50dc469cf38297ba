"""Implements `Recordings` on SQLite."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from sqlite3 import Connection, Row

from shared.adapters.embedded.sqlite_database import Database, to_us
from shared.adapters.embedded.sqlite_erasures import erased_before, is_being_erased
from shared.adapters.embedded.sqlite_rows import (
    begin,
    fetch_recording,
    moved,
    put_out,
    recording,
)
from shared.adapters.embedded.sqlite_tenants import ledger, write_ledger
from shared.domain.erasures import AGAIN, CONTENT_GONE, TENANT_GOES
from shared.domain.hits import K1, ORDINARY_WORDS, B
from shared.domain.messages import announcement, ticket
from shared.domain.recording import Failure, Found, Moved, Passage, Placement, Recording
from shared.domain.search import match_expression
from shared.domain.states import State
from shared.ports import Place

#: Passages ranked for one search: the newest that hold every term. FTS5's own rank first counts
#: the passages of the whole store that hold each word, which for a common one takes seconds.
MOST_RANKED = 200
#: As FTS5 shows a passage: 24 words at most, each find between \x02 and \x03.
SNIPPET = "snippet(passages, 0, char(2), char(3), '…', 24)"
#: As `hits.hit` scores them: BM25 without the rarity of words.
_FIND = f"""
    WITH ranked AS MATERIALIZED (
        SELECT p.rowid AS passage_id, p.recording_id, p.start_s, p.end_s, p.text AS passage,
            {{snippet}} AS snippet,
            length(highlight(passages, 0, char(2), '')) - length(p.text) AS finds,
            length(p.text) - length(replace(p.text, ' ', '')) + 1 AS words
        FROM passages p
        WHERE passages MATCH :asked AND (:tenant IS NULL OR p.tenant = :tenant)
        {{which}}
    )
    SELECT r.*, passage_id, n.start_s, n.end_s, n.passage, n.snippet
    FROM ranked n JOIN recordings r ON r.id = n.recording_id AND r.state <> 'erased'
    WHERE (SELECT count(*) FROM ranked) <= {{most}}
    ORDER BY finds / (finds + {K1} * ({1 - B} + {B} * words / {ORDINARY_WORDS})) DESC,
        r.received_us DESC
    LIMIT :limit
"""  # noqa: S608  # numbers of our own
#: All at once where all of them are shown; nothing where there are more. From the newest on, as it
#: then has to be, FTS5 takes four times as long.
FIND_FEW = _FIND.format(snippet=SNIPPET, which="LIMIT :limit + 1", most=":limit")
FIND_NEWEST = _FIND.format(
    snippet="NULL", which=f"ORDER BY p.rowid DESC LIMIT {MOST_RANKED}", most=MOST_RANKED
)
#: In one walk over their span; `+` keeps SQLite from asking FTS5 for each rowid by itself.
SNIPPETS = (
    f"SELECT rowid, {SNIPPET} AS snippet FROM passages"  # noqa: S608  # fixed words, and marks
    " WHERE passages MATCH ? AND rowid BETWEEN ? AND ? AND +rowid IN ({places})"
)


class SqliteRecordings:
    def __init__(self, db: Database) -> None:
        self._db = db

    def create_or_get(
        self, recording: Recording, place: Place, digests: Collection[str] = ()
    ) -> Recording:
        with self._db.write() as db:
            found = fetch_recording(db, recording.id)
            if found is not None:
                return found
            if is_being_erased(db, recording.tenant):
                return _refuse(db, recording, TENANT_GOES)
            before = erased_before(db, recording.tenant, digests, recording.received_at)
            if before and not recording.wishes.again:
                return _refuse(db, recording, CONTENT_GONE)
            placed = place(ledger(db, recording.tenant))
            return _create(db, recording, placed, AGAIN if before else "")

    def refuse(self, recording: Recording, cause: Failure) -> Recording:
        with self._db.write() as db:
            found = fetch_recording(db, recording.id)
            return found or _refuse(db, recording, cause)

    def get(self, recording_id: str) -> Recording | None:
        with self._db.read() as db:
            return fetch_recording(db, recording_id)

    def many(self, recording_ids: Sequence[str]) -> dict[str, Recording]:
        places = ", ".join("?" * len(recording_ids))
        with self._db.read() as db:
            rows = db.execute(
                f"SELECT * FROM recordings WHERE id IN ({places})",  # noqa: S608  # only marks
                tuple(recording_ids),
            ).fetchall()
        return {row["id"]: recording(row) for row in rows}

    def answered(self, tenant: str, answer_key: str) -> Recording | None:
        with self._db.read() as db:
            row = db.execute(
                "SELECT * FROM recordings WHERE tenant = ? AND answer_key = ? AND state = 'done'"
                " LIMIT 1",
                (tenant, answer_key),
            ).fetchone()
        return recording(row) if row else None

    def page(
        self,
        tenant: str | None = None,
        *,
        states: Iterable[State] = (),
        before: tuple[datetime, str] | None = None,
        limit: int = 50,
    ) -> list[Recording]:
        where, values = ["1"], list[object]()
        if tenant is not None:
            where.append("tenant = ?")
            values.append(tenant)
        if wanted := [s.value for s in states]:
            where.append(f"state IN ({', '.join('?' * len(wanted))})")
            values += wanted
        else:
            where.append("state <> 'erased'")
        if before is not None:
            where.append("(received_us, id) < (?, ?)")
            values += [to_us(before[0]), before[1]]
        query = (
            f"SELECT * FROM recordings WHERE {' AND '.join(where)}"  # noqa: S608  # fixed words
            " ORDER BY received_us DESC, id DESC LIMIT ?"
        )
        with self._db.read() as db:
            return [recording(row) for row in db.execute(query, (*values, limit))]

    def about(self, tenant: str, subject: str) -> list[str]:
        with self._db.read() as db:
            rows = db.execute(
                "SELECT id FROM recordings WHERE tenant = ? AND subject = ?"
                " AND state <> 'erased' ORDER BY id",
                (tenant, subject),
            ).fetchall()
        return [row["id"] for row in rows]

    def history(self, recording_id: str) -> list[Moved]:
        with self._db.read() as db:
            rows = db.execute(
                "SELECT * FROM history WHERE recording_id = ? ORDER BY seq", (recording_id,)
            ).fetchall()
        return [moved(row) for row in rows]

    def counts(self) -> dict[State, int]:
        with self._db.read() as db:
            rows = db.execute("SELECT state, count(*) AS n FROM recordings GROUP BY state")
            found = {State(row["state"]): row["n"] for row in rows}
        return {state: found.get(state, 0) for state in State}

    def find(self, tenant: str | None, text: str, limit: int = 20) -> list[Found]:
        expression = match_expression(text)
        if not expression:
            return []
        of = {"asked": expression, "tenant": tenant, "limit": limit}
        with self._db.read() as db:
            if few := db.execute(FIND_FEW, of).fetchall():
                return [_found(row, row["snippet"]) for row in few]
            rows = db.execute(FIND_NEWEST, of).fetchall()
            snippets = _snippets(db, expression, [row["passage_id"] for row in rows])
        # What was erased in between has none.
        ids = (row["passage_id"] for row in rows)
        return [_found(row, snippets[n]) for row, n in zip(rows, ids, strict=True) if n in snippets]


def _snippets(db: Connection, expression: str, passages: Sequence[int]) -> dict[int, str]:
    if not passages:
        return {}
    query = SNIPPETS.format(places=", ".join("?" * len(passages)))
    given = (expression, min(passages), max(passages), *passages)
    return {row["rowid"]: row["snippet"] for row in db.execute(query, given)}


def _found(row: Row, snippet: str) -> Found:
    passage = Passage(row["start_s"], row["end_s"], row["passage"])
    return Found(recording(row), passage, snippet)


def _create(db: Connection, draft: Recording, placed: Placement, said: str) -> Recording:
    late = placed.deferred_until is not None
    made = replace(
        draft,
        state=State.DEFERRED if late else State.RECEIVED,
        lane=placed.lane,
        rule=placed.rule,
        deferred_until=placed.deferred_until,
        error=placed.over,
    )
    line = Moved(made.state, made.received_at, "intake", placed.reason + said)
    seq = begin(db, made, line)
    db.execute(
        "INSERT INTO jobs (recording_id, lane, state, start_tag, rung_us) VALUES (?, ?, ?, ?, ?)",
        (
            *(made.id, placed.lane.value, "deferred" if late else "ready", placed.start_tag),
            to_us(made.received_at),
        ),
    )
    write_ledger(db, made.tenant, placed.ledger)
    effects = [announcement(made, made.state.value, made.received_at, seq)] if late else []
    put_out(db, effects or [ticket(made.id, placed.lane, seq, made.trace)])
    return made


def _refuse(db: Connection, draft: Recording, cause: Failure) -> Recording:
    made = replace(draft, state=State.REJECTED, error=cause)
    line = Moved(made.state, made.received_at, "intake", cause.code, cause)
    seq = begin(db, made, line)
    put_out(db, [announcement(made, "rejected", made.received_at, seq)])
    return made
