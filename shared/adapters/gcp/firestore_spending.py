"""Implements `Spending` on Firestore."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Any

from google.cloud.firestore_v1 import Client, DocumentReference

from shared.adapters.gcp.firestore_client import Commit, Documents, Snapshot
from shared.adapters.gcp.firestore_jobs import SEGMENT_DAYS, held
from shared.adapters.gcp.firestore_rows import CALLS, DAYS, JOBS, TENANTS, row
from shared.domain.moments import to_us
from shared.domain.recording import Lease
from shared.domain.spending import MICRO, Bought, Intent, PaidCall, Refusal, micros, micros_at_most


@dataclass(frozen=True, slots=True)
class _Seen:
    """What an intent depends on, as of one moment."""

    job: Snapshot
    calls: Snapshot  #: of this attempt, engine and task
    day: Snapshot


class FirestoreSpending:
    """A document an attempt, engine and task: its calls and which segment is in which.

    The day's sum is one document a tenant, changed by each call: the store takes about one
    sustained write a second there, so a tenant's calls queue a little where many are made.

    IAM: roles/datastore.user, granted in terraform/firestore.tf. Run on the Firestore
    emulator of the gcloud SDK.
    """

    def __init__(self, client: Client) -> None:
        self._db = Documents(client)

    def intend(
        self, lease: Lease, call: PaidCall, budget_usd: float | None, now: datetime
    ) -> Intent | Bought | Refusal:
        known, day = lease.recording, now.astimezone(UTC).date()
        intent = Intent(known.id, known.tenant, lease.attempt, call, day)

        def step(commit: Commit) -> Intent | Bought | Refusal:
            seen = self._seen(intent)
            held(seen.job, lease)
            if places := _places(seen.calls, call):
                return self._what_became(seen.calls, places, call)
            spent, cost = _spent(seen.day), micros_at_most(call.at_most_usd)
            if budget_usd is not None and spent + cost > micros(budget_usd):
                return Refusal.OVER_BUDGET
            # The lease counts until the very commit: the job must still be as it was seen.
            commit.change(seen.job, {"intended_us": to_us(now)})
            _write(commit, seen.calls, _with_call(seen.calls, intent, cost, now))
            _write(commit, seen.day, _day(spent + cost, day))
            return intent

        return self._db.settle(step)

    def _what_became(self, calls: Snapshot, places: set[int], call: PaidCall) -> Bought | Refusal:
        made = row(calls)["calls"]
        if not all(made[place]["settled"] for place in places):
            return Refusal.UNRESOLVED
        if [made[place]["segments"] for place in places] != [list(call.segments)]:
            return Refusal.CALLED
        answer = row(self._db.get(_answer_at(calls, *places))).get("answer")
        return Bought(answer) if answer else Refusal.CALLED

    def settle(self, intent: Intent, cost_usd: float, answer: str | None = None) -> None:
        def step(commit: Commit) -> None:
            seen = self._seen(intent)
            known = row(seen.calls)
            place = known.get("segments", {}).get(str(intent.call.segments[0]))
            if place is None or known["calls"][place]["settled"]:
                return
            calls, cost = [dict(one) for one in known["calls"]], micros(cost_usd)
            spent = _spent(seen.day) - calls[place]["micro_usd"] + cost
            calls[place] |= {"micro_usd": cost, "settled": True}
            commit.change(seen.calls, {"calls": calls})
            _write(commit, seen.day, _day(spent, intent.day))
            if answer is not None:
                kept = {"answer": answer, "expires": known["expires"]}
                commit.put(_answer_at(seen.calls, place), kept)

        self._db.settle(step)

    def spent_usd(self, tenant: str, now: datetime) -> float:
        day = now.astimezone(UTC).date()
        return _spent(self._db.get(self._db.at(TENANTS, tenant, DAYS, day.isoformat()))) / MICRO

    def _seen(self, intent: Intent) -> _Seen:
        job = (JOBS, intent.recording_id)
        where = [job, (*job, CALLS, _id(intent))]
        where += [(TENANTS, intent.tenant, DAYS, intent.day.isoformat())]
        return _Seen(*self._db.get_all([self._db.at(*one) for one in where]))


def _id(intent: Intent) -> str:
    """Engines may have any name; documents may not."""
    told = f"{intent.attempt}/{intent.call.task}/{intent.call.engine}"
    return sha256(told.encode()).hexdigest()[:32]


def _places(calls: Snapshot, call: PaidCall) -> set[int]:
    """The calls of this attempt that sent one of these segments."""
    taken: dict[str, int] = row(calls).get("segments", {})
    return {taken[str(segment)] for segment in call.segments if str(segment) in taken}


def _answer_at(calls: Snapshot, place: int) -> DocumentReference:
    """Beside the calls, one document each: together they could be larger than one may be."""
    at: DocumentReference = calls.reference.parent.document(f"{calls.id}-{place}")
    return at


def _with_call(calls: Snapshot, intent: Intent, cost: int, now: datetime) -> dict[str, Any]:
    known = row(calls)
    made, places = list(known.get("calls", ())), dict(known.get("segments", {}))
    places |= {str(segment): len(made) for segment in intent.call.segments}
    return {
        "attempt": intent.attempt,
        "engine": intent.call.engine,
        "task": intent.call.task.value,
        "calls": [
            *made,
            {"micro_usd": cost, "settled": False, "segments": list(intent.call.segments)},
        ],
        "segments": places,
        "expires": now + timedelta(days=SEGMENT_DAYS),
    }


def _spent(day: Snapshot) -> int:
    return int(day.get("micro_usd")) if day.exists else 0


def _day(spent: int, day: date) -> dict[str, Any]:
    """Kept as long as a bill may be asked about; the sweep takes it then."""
    begun = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return {"micro_usd": spent, "expires": begun + timedelta(days=400)}


def _write(commit: Commit, seen: Snapshot, fields: dict[str, Any]) -> None:
    if seen.exists:
        commit.change(seen, fields)
    else:
        commit.create(seen.reference, fields)
