"""Implements `Spending` on Firestore."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from google.cloud.firestore_v1 import Client, DocumentReference
from google.cloud.firestore_v1.base_query import FieldFilter

from shared.adapters.gcp.firestore_client import Commit, Documents, Snapshot
from shared.adapters.gcp.firestore_jobs import SEGMENT_DAYS, held
from shared.adapters.gcp.firestore_rows import CALLS, DAYS, JOBS, SLICES, TENANTS, row
from shared.adapters.gcp.firestore_slices import (
    begun,
    digest,
    expires,
    lay,
    slice_at,
    slice_of,
    slice_row,
)
from shared.domain.moments import to_us
from shared.domain.recording import Lease
from shared.domain.slices import Paid, Slice, day_of_money, paid
from shared.domain.spending import (
    Bought,
    DayOfMoney,
    Intent,
    PaidCall,
    Refusal,
    micros,
    micros_at_most,
)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What an intent depends on, as of one moment."""

    job: Snapshot
    calls: Snapshot  #: of this attempt, engine and task
    day: Snapshot
    mine: Snapshot  #: this worker's slice of the day


class FirestoreSpending:
    """A document an attempt, engine and task: its calls and which segment is in which.

    A call's commit touches the job, its calls and this worker's slice of the day. The day's sum,
    which all workers of a tenant share and which takes about one sustained write a second, is
    changed once a slice (`slices.SLICE`, `slices.SLICE_S`) and read with each call: workers may
    hold that much each, unspent, and no more. Near the end of a day's money slices are small, so
    the sum is changed more often for its last calls.

    IAM: roles/datastore.user, granted in terraform/stack/firestore.tf. Run on the
    Firestore emulator of the gcloud SDK.
    """

    def __init__(self, client: Client, holder: str = "here") -> None:
        """`holder` names the slices; of several processes with one name all spend from one."""
        self._db, self._holder = Documents(client), holder
        self._days: set[tuple[str, date]] = set()  #: where this process has taken a slice

    def intend(
        self, lease: Lease, call: PaidCall, budget_usd: float | None, now: datetime
    ) -> Intent | Bought | Refusal:
        known, day = lease.recording, now.astimezone(UTC).date()
        intent = Intent(known.id, known.tenant, lease.attempt, call, day)
        cost = micros_at_most(call.at_most_usd)
        cap = None if budget_usd is None else micros(budget_usd)

        def step(commit: Commit) -> Intent | Bought | Refusal:
            seen = self._seen(intent)
            held(seen.job, lease)
            if places := _places(seen.calls, call):
                return self._what_became(seen.calls, places, call)
            lapsed: list[Snapshot] = []

            def others() -> Sequence[Slice]:
                lapsed.extend(self._lapsed(seen, now))
                return [slice_of(one, self._holder, now) for one in lapsed]

            mine = slice_of(seen.mine, self._holder, now)
            made = paid(_taken(seen.day), mine, others, cost, cap, now)
            if made is None:
                return Refusal.OVER_BUDGET
            # The lease counts until the very commit: the job must still be as it was seen.
            commit.change(seen.job, {"intended_us": to_us(now)})
            lay(commit, seen.calls, _with_call(seen.calls, intent, cost, now, self._holder))
            _pay(commit, seen, made, lapsed, day)
            return intent

        self._days.add((known.tenant, day))
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
            seen = self._db.get(self._db.at(JOBS, intent.recording_id, CALLS, _id(intent)))
            known = row(seen)
            place = known.get("segments", {}).get(str(intent.call.segments[0]))
            if place is None or known["calls"][place]["settled"]:
                return
            calls, cost = [dict(one) for one in known["calls"]], micros(cost_usd)
            self._resettle(commit, intent, calls[place], cost)
            calls[place] |= {"micro_usd": cost, "settled": True}
            commit.change(seen, {"calls": calls})
            if answer is not None:
                kept = {"answer": answer, "expires": known["expires"]}
                commit.put(_answer_at(seen, place), kept)

        self._db.settle(step)

    def _resettle(self, commit: Commit, intent: Intent, made: dict[str, Any], cost: int) -> None:
        where = self._day_at(intent.tenant, intent.day)
        day, seen = self._db.get_all([where, slice_at(where, made["holder"])])
        its = slice_of(seen, made["holder"], begun(intent.day))
        after = its.settled(made["micro_usd"], cost)
        commit.change(seen, slice_row(after, intent.day))
        if after.granted != its.granted:
            commit.change(day, _day(_taken(day) + after.granted - its.granted, intent.day))

    def spent_usd(self, tenant: str, now: datetime) -> float:
        return self.day(tenant, now).spent_usd

    def day(self, tenant: str, now: datetime) -> DayOfMoney:
        where = self._day_at(tenant, now.astimezone(UTC).date())
        found = self._db.found(where.collection(SLICES)._query())
        return day_of_money([slice_of(one, one.id, now) for one in found], now)

    def give_back(self, now: datetime) -> None:
        for tenant, day in tuple(self._days):
            self._give_back(tenant, day, now)
            self._days.discard((tenant, day))

    def _give_back(self, tenant: str, day: date, now: datetime) -> None:
        where = self._day_at(tenant, day)

        def step(commit: Commit) -> None:
            taken, seen = self._db.get_all([where, slice_at(where, self._holder)])
            mine = slice_of(seen, self._holder, now)
            if mine.rest:
                commit.change(taken, _day(_taken(taken) - mine.rest, day))
                commit.change(seen, slice_row(mine.trimmed(), day))

        self._db.settle(step)

    def _lapsed(self, seen: _Seen, now: datetime) -> list[Snapshot]:
        """Slices of other workers whose time is over."""
        every = seen.day.reference.collection(SLICES)._query()
        over = every.where(filter=FieldFilter("until_us", "<=", to_us(now)))
        return [one for one in self._db.found(over) if one.id != seen.mine.id]

    def _seen(self, intent: Intent) -> _Seen:
        job, day = self._db.at(JOBS, intent.recording_id), self._day_at(intent.tenant, intent.day)
        calls = job.collection(CALLS).document(_id(intent))
        return _Seen(*self._db.get_all([job, calls, day, slice_at(day, self._holder)]))

    def _day_at(self, tenant: str, day: date) -> DocumentReference:
        return self._db.at(TENANTS, tenant, DAYS, day.isoformat())


def _id(intent: Intent) -> str:
    """Engines may have any name; documents may not."""
    return digest(f"{intent.attempt}/{intent.call.task}/{intent.call.engine}")


def _places(calls: Snapshot, call: PaidCall) -> set[int]:
    """The calls of this attempt that sent one of these segments."""
    taken: dict[str, int] = row(calls).get("segments", {})
    return {taken[str(segment)] for segment in call.segments if str(segment) in taken}


def _answer_at(calls: Snapshot, place: int) -> DocumentReference:
    """Beside the calls, one document each: together they could be larger than one may be."""
    at: DocumentReference = calls.reference.parent.document(f"{calls.id}-{place}")
    return at


def _with_call(
    calls: Snapshot, intent: Intent, cost: int, now: datetime, holder: str
) -> dict[str, Any]:
    known = row(calls)
    sent = list(intent.call.segments)
    made, places = list(known.get("calls", ())), dict(known.get("segments", {}))
    places |= {str(segment): len(made) for segment in intent.call.segments}
    return {
        "attempt": intent.attempt,
        "engine": intent.call.engine,
        "task": intent.call.task.value,
        "calls": [
            *made,
            {"micro_usd": cost, "settled": False, "segments": sent, "holder": holder},
        ],
        "segments": places,
        "expires": now + timedelta(days=SEGMENT_DAYS),
    }


def _taken(day: Snapshot) -> int:
    return int(day.get("taken_micro_usd")) if day.exists else 0


def _day(taken: int, day: date) -> dict[str, Any]:
    return {"taken_micro_usd": taken, "expires": expires(day)}


def _pay(commit: Commit, seen: _Seen, made: Paid, lapsed: Sequence[Snapshot], day: date) -> None:
    """The worker's own slice, and only where more was taken the day that all share."""
    lay(commit, seen.mine, slice_row(made.mine, day))
    for one in made.trimmed:
        [at] = [found for found in lapsed if found.get("holder") == one.holder]
        commit.change(at, slice_row(one, day))
    if made.taken != _taken(seen.day) or not seen.day.exists:
        lay(commit, seen.day, _day(made.taken, day))
