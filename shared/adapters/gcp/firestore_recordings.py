"""Implements `Recordings` on Firestore."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice

from google.cloud.firestore_v1 import Client, DocumentReference
from google.cloud.firestore_v1.base_query import FieldFilter

from shared.adapters.gcp.firestore_client import Commit, Documents, Snapshot, possible
from shared.adapters.gcp.firestore_erasures import erased_before
from shared.adapters.gcp.firestore_passages import Match, Passages
from shared.adapters.gcp.firestore_rows import (
    HISTORY,
    JOBS,
    RECORDINGS,
    TENANTS,
    begin,
    ledger,
    moved,
    put_out,
    recording,
    row,
    write_ledger,
)
from shared.domain.erasures import AGAIN, CONTENT_GONE, TENANT_GOES
from shared.domain.hits import snippet, terms
from shared.domain.messages import announcement, ticket
from shared.domain.moments import to_us
from shared.domain.recording import Failure, Found, Moved, Placement, Recording
from shared.domain.states import State
from shared.ports import Place


class FirestoreRecordings:
    """One document a recording, its history below it; its job and its passages beside it.

    Search finds the same passages as FTS5 does, among those of the newest 500 chunks (300
    words each) that hold the query's rarest word; the order is that of `shared.domain.hits`,
    equals newest first.

    IAM: roles/datastore.user, granted in terraform/stack/firestore.tf. Run on the
    Firestore emulator of the gcloud SDK.
    """

    def __init__(self, client: Client) -> None:
        self._db = Documents(client)
        self._passages = Passages(self._db)

    def create_or_get(
        self, recording: Recording, place: Place, digests: Collection[str] = ()
    ) -> Recording:
        def step(commit: Commit) -> Recording:
            found, tenant = self._db.get_all(
                [self._at(recording.id), self._db.at(TENANTS, recording.tenant)]
            )
            if found.exists:
                return _read(found)
            if row(tenant).get("erasing"):
                return _refuse(commit, found, recording, TENANT_GOES)
            before = erased_before(self._db, recording.tenant, digests, recording.received_at)
            if before and not recording.wishes.again:
                return _refuse(commit, found, recording, CONTENT_GONE)
            placed = place(ledger(tenant))
            return _create(commit, found, recording, tenant, placed, AGAIN if before else "")

        return self._db.settle(step)

    def refuse(self, recording: Recording, cause: Failure) -> Recording:
        def step(commit: Commit) -> Recording:
            found = self._db.get(self._at(recording.id))
            return _read(found) if found.exists else _refuse(commit, found, recording, cause)

        return self._db.settle(step)

    def get(self, recording_id: str) -> Recording | None:
        return self.many([recording_id]).get(recording_id)

    def many(self, recording_ids: Sequence[str]) -> dict[str, Recording]:
        where = [self._at(one) for one in dict.fromkeys(recording_ids) if possible(one)]
        found = self._db.get_all(where) if where else []
        return {one.id: _read(one) for one in found if one.exists}

    def answered(self, tenant: str, answer_key: str) -> Recording | None:
        query = self._db.all_of(RECORDINGS)
        for field, value in (("tenant", tenant), ("answer_key", answer_key), ("state", "done")):
            query = query.where(filter=FieldFilter(field, "==", value))
        return next((_read(one) for one in self._db.found(query.limit(1))), None)

    def page(
        self,
        tenant: str | None = None,
        *,
        states: Iterable[State] = (),
        before: tuple[datetime, str] | None = None,
        limit: int = 50,
    ) -> list[Recording]:
        query = self._db.all_of(RECORDINGS)
        if tenant is not None:
            query = query.where(filter=FieldFilter("tenant", "==", tenant))
        wanted = [s.value for s in states] or [s.value for s in State if s is not State.ERASED]
        query = query.where(filter=FieldFilter("state", "in", wanted))
        query = query.order_by("received_us", direction="DESCENDING")
        query = query.order_by("__name__", direction="DESCENDING")
        if before is not None:
            last = {"received_us": to_us(before[0]), "__name__": self._at(before[1])}
            query = query.start_after(last)
        return [_read(one) for one in self._db.found(query.limit(limit))]

    def about(self, tenant: str, subject: str) -> list[str]:
        query = self._db.all_of(RECORDINGS)
        for field, value in (("tenant", tenant), ("subject", subject)):
            query = query.where(filter=FieldFilter(field, "==", value))
        found = self._db.found(query.select(["state"]))
        return sorted(one.id for one in found if one.get("state") != State.ERASED)

    def history(self, recording_id: str) -> list[Moved]:
        if not possible(recording_id):
            return []
        lines = self._db.all_of(f"{RECORDINGS}/{recording_id}/{HISTORY}").order_by("seq")
        return [moved(row(line)) for line in self._db.found(lines)]

    def counts(self) -> dict[State, int]:
        found, as_of = dict[State, int](), None
        for state in State:
            of_state = FieldFilter("state", "==", state.value)
            query = self._db.all_of(RECORDINGS).where(filter=of_state)
            # All as of the moment of the first, so that a recording is counted once.
            found[state], as_of = self._db.count(query, as_of)
        return found

    def find(self, tenant: str | None, text: str, limit: int = 20) -> list[Found]:
        asked = terms(text)
        if not asked or not all(asked):
            return []
        best = sorted(self._passages.matches(tenant, asked), key=_better, reverse=True)
        return list(islice(self._visible(best, limit), limit))

    def _visible(self, matches: Sequence[Match], limit: int) -> Iterator[Found]:
        """Matches of transcripts that count, with their recordings, read a few at a time."""
        for first in range(0, len(matches), limit):
            part = matches[first : first + limit]
            where = [self._at(one) for one in {match.recording_id for match in part}]
            known = {one.id: one for one in self._db.get_all(where)}
            for match in part:
                of = known[match.recording_id]
                if of.exists and row(of).get("token") == match.token:
                    yield Found(_read(of), match.passage, snippet(match.hit))

    def _at(self, recording_id: str) -> DocumentReference:
        return self._db.at(RECORDINGS, recording_id)


def _better(match: Match) -> tuple[float, int, str, float]:
    return match.hit.score, match.received_us, match.recording_id, -match.passage.start_s


def _read(found: Snapshot) -> Recording:
    return recording(row(found))


def _create(
    commit: Commit,
    found: Snapshot,
    draft: Recording,
    tenant: Snapshot,
    placed: Placement,
    said: str,
) -> Recording:
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
    seq = begin(commit, found.reference, made, line)
    commit.create(commit.at(JOBS, made.id), _job(made, placed))
    write_ledger(commit, tenant, placed.ledger)
    effects = [announcement(made, made.state.value, made.received_at, seq)] if late else []
    put_out(commit, effects or [ticket(made.id, placed.lane, seq, made.trace)])
    return made


def _job(made: Recording, placed: Placement) -> dict[str, object]:
    return {
        "tenant": made.tenant,
        "lane": placed.lane.value,
        # ready, leased, deferred, over, dead, discarded
        "state": "ready" if placed.deferred_until is None else "deferred",
        "start_tag": placed.start_tag,
        "not_before_us": 0,
        "rung_us": to_us(made.received_at),
        "token": 0,
        "attempts": 0,
        "handed_over": False,
        "worker": None,
        "lease_until_us": None,
        "dead_us": None,
    }


def _refuse(commit: Commit, found: Snapshot, draft: Recording, cause: Failure) -> Recording:
    made = replace(draft, state=State.REJECTED, error=cause)
    line = Moved(made.state, made.received_at, "intake", cause.code, cause)
    seq = begin(commit, found.reference, made, line)
    put_out(commit, [announcement(made, "rejected", made.received_at, seq)])
    return made
