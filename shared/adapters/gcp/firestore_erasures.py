"""Implements `Erasures` on Firestore.

erasures/{id}
tombstones/{tenant}.{hash}
tenant_keys/{tenant}
"""

import json
import secrets
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

from google.cloud.firestore_v1 import SERVER_TIMESTAMP, Client, DocumentReference
from google.cloud.firestore_v1.base_query import FieldFilter
from google.cloud.firestore_v1.query import Query

from shared.adapters.gcp.firestore_client import (
    PAGE,
    Commit,
    Documents,
    Fields,
    Snapshot,
    possible,
)
from shared.adapters.gcp.firestore_rows import (
    API_KEYS,
    BOOKMARKS,
    CALLS,
    CORRECTIONS,
    DAYS,
    DELIVERIES,
    ERASURES,
    HISTORY,
    JOBS,
    OUTBOX,
    PASSAGES,
    RECORDINGS,
    SEGMENTS,
    SLICES,
    TENANT_KEYS,
    TENANTS,
    TOMBSTONES,
    WEBHOOKS,
    failed_with,
    move,
    put_out,
    recording,
    row,
    touch,
)
from shared.domain.erasures import (
    KEY_BYTES,
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
from shared.domain.moments import from_us, to_us
from shared.domain.recording import Moved, Recording
from shared.domain.states import State
from shared.errors import NotFound

#: Documents of one commit: far below Firestore's 10 MiB a request, whatever they hold.
MOST = 400
#: What a recording's document keeps: its id, whose it was, how it went, and its chain.
_BLANK: dict[str, Any] = {
    **{"name": "", "path": "", "content_type": "", "wishes": "{}", "size_bytes": 0},
    **dict.fromkeys(("seconds", "subject", "language", "confidence", "trace", "result")),
    **dict.fromkeys(("hold_reason", "hold_actor", "hold_us")),
    **dict.fromkeys(("compress_us", "clear_us", "archived_us")),
    **dict.fromkeys(("archived_name", "archived_generation", "archived_bytes")),
    **failed_with(None),
    CORRECTIONS: 0,
}
#: What a line of history loses; its salted commitment stays, and the chain holds.
_UNSAID: dict[str, Any] = {"actor": "", "reason": "", "salt": None, **failed_with(None)}


class FirestoreErasures:
    """One document an erasure; what it forgets lies in the collections of its neighbours.

    The platform keeps what was deleted for a while (point-in-time recovery): receipts state it.

    IAM: roles/datastore.user, granted in terraform/stack/firestore.tf. Run on the
    Firestore emulator of the gcloud SDK.
    """

    def __init__(self, client: Client) -> None:
        self._db = Documents(client)

    def ask(
        self, recording_id: str, draft: Callable[[Recording], Erasure | None]
    ) -> Erasure | None:
        if not possible(recording_id):
            raise NotFound(recording_id=recording_id)

        def step(commit: Commit) -> Erasure | None:
            job, known = self._db.get_all(
                [self._db.at(JOBS, recording_id), self._db.at(RECORDINGS, recording_id)]
            )
            if not known.exists:
                raise NotFound(recording_id=recording_id)
            seen = self._of(recording_id)
            found, life = _erasure(seen) if seen else None, recording(row(known))
            if found is not None and came_back(found, life):
                found = None
            if found is not None and found.step is not Step.WAITING:
                return found
            asked = draft(life)
            if asked is None or (found is not None and asked.step is Step.WAITING):
                return found
            begun = asked if found is None else found.at(asked.step)
            if begun.step is not Step.WAITING:
                _fence(commit, job, known, begun, asked.asked_at)
            else:
                # Held until this very commit: a release in between would not see it waiting.
                touch(commit, known, {})
            self._put(commit, seen, begun)
            return begun

        return self._db.settle(step)

    def _put(self, commit: Commit, seen: "Snapshot | None", erasure: Erasure) -> None:
        if seen is None:
            commit.create(self._db.at(ERASURES, erasure.id), _fields(erasure))
        else:
            commit.change(seen, _fields(erasure))

    def get(self, erasure_id: str) -> Erasure | None:
        if not possible(erasure_id):
            return None
        found = self._db.get(self._db.at(ERASURES, erasure_id))
        return _erasure(found) if found.exists else None

    def of(self, recording_id: str) -> Erasure | None:
        found = self._of(recording_id)
        return _erasure(found) if found else None

    def _of(self, recording_id: str) -> "Snapshot | None":
        query = self._db.all_of(ERASURES)
        query = query.where(filter=FieldFilter("recording_id", "==", recording_id))
        return next(iter(self._db.found(query.limit(1))), None)

    def ask_tenant(self, erasure: Erasure) -> Erasure:
        def step(commit: Commit) -> Erasure:
            tenant = self._db.get(self._db.at(TENANTS, erasure.tenant))
            if not tenant.exists:
                raise NotFound(f"There is no tenant {erasure.tenant}.")
            begun = row(tenant).get("erasing")
            if begun:
                return _erasure(self._db.get(self._db.at(ERASURES, begun)))
            commit.change(tenant, {"erasing": erasure.id})
            commit.create(self._db.at(ERASURES, erasure.id), _fields(erasure))
            return erasure

        if not possible(erasure.tenant):
            raise NotFound(f"There is no tenant {erasure.tenant}.")
        return self._db.settle(step)

    def running(self, limit: int = 100, tenant: str | None = None) -> list[Erasure]:
        query = self._db.all_of(ERASURES).where(filter=FieldFilter("running", "==", True))
        if tenant is not None:
            query = query.where(filter=FieldFilter("tenant", "==", tenant))
        found = self._db.found(query.order_by("asked_us").limit(limit))
        return sorted((_erasure(one) for one in found), key=lambda e: (e.asked_at, e.id))

    def waiting(self, after: str = "", limit: int = 500) -> list[Erasure]:
        query = self._db.all_of(ERASURES)
        query = query.where(filter=FieldFilter("step", "==", Step.WAITING.value))
        query = query.order_by("__name__")
        if after:
            query = query.start_after({"__name__": self._db.at(ERASURES, after)})
        return [_erasure(one) for one in self._db.found(query.limit(limit))]

    def go_on(self, seen: Erasure, to: Erasure, left: Sequence[Tombstone] = ()) -> Erasure:
        # They only refuse what is being erased: laid before the commit that says so is as good.
        for part in _parts(left):
            laid = self._db.commit()
            for one in part:
                fields = {"tenant": one.tenant, "until_us": to_us(one.until)}
                laid.put(self._tombstone(one.tenant, one.hash), fields)
            self._db.try_to(laid)

        def step(commit: Commit) -> Erasure:
            found = self._db.get(self._db.at(ERASURES, seen.id))
            if not found.exists:
                raise NotFound(erasure_id=seen.id)
            if found.get("step") != seen.step.value:
                return _erasure(found)
            if left:
                self._touch_tenant(commit, to.tenant)
            commit.change(found, _fields(to))
            if to.step is Step.DONE and to.recording_id and to.erased_at:
                known = self._db.get(self._db.at(RECORDINGS, to.recording_id))
                its, seq = recording(row(known)), int(known.get("moves"))
                put_out(commit, [announcement(its, "erased", to.erased_at, seq)])
            return to

        return self._db.settle(step)

    def _touch_tenant(self, commit: Commit, name: str) -> None:
        """Whoever records an upload meanwhile read the tombstones before these were laid: its
        commit is on condition that the tenant is as it was, and is tried again."""
        tenant = self._db.get(self._db.at(TENANTS, name))
        if tenant.exists:
            commit.change(tenant, {"touched": SERVER_TIMESTAMP})

    def counts(self, erasure: Erasure) -> tuple[tuple[str, int], ...]:
        rid = str(erasure.recording_id)
        known = row(self._db.get(self._db.at(RECORDINGS, rid)))
        history = sum(1 for one in self._history(rid) if _says(row(one)))
        return (
            ("passages", self._db.count(self._passages(rid))[0]),
            ("checkpoints", self._db.count(self._below(JOBS, rid, SEGMENTS))[0]),
            ("paid_answers", len(self._answers(rid))),
            ("answers_known_again", int(bool(known.get("answer_key")))),
            ("recordings", int(bool(known.get("name")))),
            ("history", history),
            ("corrections", self._db.count(self._below(RECORDINGS, rid, CORRECTIONS))[0]),
            ("messages", self._db.count(self._messages(rid))[0]),
        )

    def engines(self, recording_id: str) -> list[str]:
        calls = self._db.found(self._below(JOBS, recording_id, CALLS))
        named = {row(one).get("engine") for one in calls}
        named |= {row(one).get("error_engine") for one in self._history(recording_id)}
        return sorted(str(name) for name in named if name)

    def forget(self, part: Part, erasure: Erasure) -> None:
        rid = str(erasure.recording_id)
        if part is Part.PASSAGES:
            self._drop_all(self._passages(rid))
        elif part is Part.CACHES:
            self._drop_all(self._below(JOBS, rid, SEGMENTS))
            self._drop(self._answers(rid))
            self._change(rid, {"answer_key": None})
        else:
            self._forget_metadata(rid, erasure.name)

    def _forget_metadata(self, rid: str, name: str | None) -> None:
        self._drop_all(self._below(RECORDINGS, rid, CORRECTIONS))
        self._drop_all(self._messages(rid))
        lines = [one for one in self._history(rid) if _says(row(one))]
        for part in _parts(lines):
            commit = self._db.commit()
            for line in part:
                commit.change(line, _UNSAID)
            self._db.try_to(commit)
        self._change(rid, _BLANK)
        if name:
            self._forget_marks(name)

    def _change(self, rid: str, fields: Fields) -> None:
        def step(commit: Commit) -> None:
            touch(commit, self._db.get(self._db.at(RECORDINGS, rid)), fields)

        self._db.settle(step)

    def _forget_marks(self, name: str) -> None:
        """Errands that stand at this object's name begin their round anew."""
        standing = json.dumps(name)[1:-1]
        for one in self._db.found(self._db.all_of(BOOKMARKS)):
            if standing in str(row(one).get("note", "")):
                self._drop([one.reference])

    def tenant_counts(self, tenant: str) -> tuple[tuple[str, int], ...]:
        queries = self._of_tenant(tenant).items()
        counted = [(what, self._db.count(query)[0]) for what, query in queries]
        alone = [TENANT_KEYS, TENANTS]
        known = self._db.get_all([self._db.at(one, tenant) for one in alone])
        return (
            *counted,
            ("tombstone_keys", int(known[0].exists)),
            ("tenants", int(known[1].exists)),
        )

    def forget_tenant(self, tenant: str) -> None:
        # Slices before their days: without the day nobody would find them.
        for day in self._db.found(self._below(TENANTS, tenant, DAYS).select([])):
            self._drop_all(self._db.all_of(f"{TENANTS}/{tenant}/{DAYS}/{day.id}/{SLICES}"))
        for query in self._of_tenant(tenant).values():
            self._drop_all(query)
        self._drop([self._db.at(TENANT_KEYS, tenant)])
        self._drop([self._db.at(TENANTS, tenant)])

    def _of_tenant(self, tenant: str) -> dict[str, Query]:
        """What is a tenant's own, beside its recordings. What calls did cost stays, for bills."""
        its = FieldFilter("tenant", "==", tenant)
        flat = (API_KEYS, DELIVERIES, WEBHOOKS, TOMBSTONES)
        days = {DAYS: self._below(TENANTS, tenant, DAYS)}
        return {what: self._db.all_of(what).where(filter=its) for what in flat} | days

    def purge(self) -> None:
        """Nothing is left in Firestore's hands that a query or a read finds."""

    def key(self, tenant: str) -> bytes:
        def step(commit: Commit) -> bytes:
            found = self._db.get(self._db.at(TENANT_KEYS, tenant))
            if found.exists:
                kept: bytes = found.get("key")
                return kept
            made = secrets.token_bytes(KEY_BYTES)
            commit.create(found.reference, {"key": made})
            return made

        return self._db.settle(step)

    def erased_before(self, tenant: str, digests: Collection[str], now: datetime) -> bool:
        return erased_before(self._db, tenant, digests, now)

    def sweep(self, now: datetime, limit: int = 500) -> int:
        query = self._db.all_of(TOMBSTONES)
        query = query.where(filter=FieldFilter("until_us", "<=", to_us(now)))
        found = self._db.found(query.order_by("until_us").limit(limit).select([]))
        self._drop([one.reference for one in found])
        return len(found)

    # --- where things lie -------------------------------------------------------------------------

    def _tombstone(self, tenant: str, hash: str) -> DocumentReference:
        return self._db.at(TOMBSTONES, stone(tenant, hash))

    def _passages(self, rid: str) -> Query:
        return self._db.all_of(PASSAGES).where(filter=FieldFilter("recording_id", "==", rid))

    def _messages(self, rid: str) -> Query:
        return self._db.all_of(OUTBOX).where(filter=FieldFilter("recording_id", "==", rid))

    def _below(self, collection: str, rid: str, inner: str) -> Query:
        return self._db.all_of(f"{collection}/{rid}/{inner}")

    def _history(self, rid: str) -> list[Snapshot]:
        return self._db.found(self._below(RECORDINGS, rid, HISTORY).order_by("seq"))

    def _answers(self, rid: str) -> list[DocumentReference]:
        found = self._db.found(self._below(JOBS, rid, CALLS).select([]))
        return [one.reference for one in found if "-" in one.id]

    def _drop_all(self, query: Query) -> None:
        while found := self._db.found(query.select([]).limit(PAGE)):
            self._drop([one.reference for one in found])

    def _drop(self, where: Iterable[DocumentReference]) -> None:
        for part in _parts(list(where)):
            commit = self._db.commit()
            for one in part:
                commit.drop(one)
            self._db.try_to(commit)


def erased_before(db: Documents, tenant: str, digests: Collection[str], now: datetime) -> bool:
    """Whether this content of the tenant was erased on request and is still remembered."""
    key = db.get(db.at(TENANT_KEYS, tenant)) if digests else None
    if key is None or not key.exists:
        return False
    hashes = [keyed(key.get("key"), one) for one in sorted(digests)]
    found = db.get_all([db.at(TOMBSTONES, stone(tenant, one)) for one in hashes])
    return any(one.exists and one.get("until_us") > to_us(now) for one in found)


def stone(tenant: str, hash: str) -> str:
    """A tombstone's id; no tenant's name has a dot."""
    return f"{tenant}.{hash}"


def _parts(many: Sequence[Any]) -> list[Sequence[Any]]:
    return [many[begin : begin + MOST] for begin in range(0, len(many), MOST)]


def _says(line: Fields) -> bool:
    """Whether a line of history still says who and why; the last one does, for good."""
    spoken = line.get("actor") or line.get("reason") or line.get("error_message")
    return line["state"] != State.ERASED.value and bool(spoken)


def _fence(commit: Commit, job: Snapshot, known: Snapshot, erasure: Erasure, now: datetime) -> None:
    """The tombstone and the raised token, together: no older token writes from here on."""
    if job.exists:
        raised = {"state": "over", "token": job.get("token") + 1}
        commit.change(job, raised | {"worker": None, "lease_until_us": None})
    line = Moved(State.ERASED, now, erasure.actor, reason(erasure.cause))
    # Its token says whose passages are shown: none.
    asked_for = ("due_us", "compress_due_us", "clear_due_us")
    nothing = dict.fromkeys(("deferred_until_us", "token", *asked_for))
    move(commit, known, line, nothing)


def _fields(e: Erasure) -> dict[str, Any]:
    return {
        "tenant": e.tenant,
        "recording_id": e.recording_id,
        "cause": e.cause.value,
        "actor": e.actor,
        "asked_us": to_us(e.asked_at),
        "step": e.step.value,
        "running": e.step not in (Step.WAITING, Step.DONE),
        "name": e.name,
        "listed": written(e.before),
        "found": written(e.after),
        "engines": list(e.engines),
        "erased_us": e.erased_at and to_us(e.erased_at),
        "receipt": e.receipt,
    }


def _erasure(found: Snapshot) -> Erasure:
    fields = row(found)
    before = read(fields["listed"])
    assert before is not None
    erased_us: int | None = fields["erased_us"]
    return Erasure(
        id=found.id,
        tenant=fields["tenant"],
        recording_id=fields["recording_id"],
        cause=Cause(fields["cause"]),
        actor=fields["actor"],
        asked_at=from_us(fields["asked_us"]),
        step=Step(fields["step"]),
        name=fields["name"],
        before=before,
        after=read(fields["found"]),
        engines=tuple(fields["engines"]),
        erased_at=None if erased_us is None else from_us(erased_us),
        receipt=fields["receipt"],
    )
