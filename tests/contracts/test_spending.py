"""Money is committed before the call, once a segment, engine and attempt, within the day."""

import random
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.adapters.embedded.sqlite_spending import SqliteSpending
from shared.adapters.gcp.firestore_spending import FirestoreSpending
from shared.domain.answers import Task
from shared.domain.lanes import Lane
from shared.domain.quotas import next_midnight
from shared.domain.recording import Failure, Outcome
from shared.domain.slices import SLICE, SLICE_S
from shared.domain.spending import MICRO, Bought, DayOfMoney, Intent, PaidCall, Refusal
from shared.errors import StaleLease
from tests.builders import NOW, placed, recording
from tests.contracts.patience import at_once, patiently

CAUSE = Failure("engine_died", "It died.")
TOMORROW, MIDNIGHT = NOW + timedelta(days=1), next_midnight(NOW)
LAPSED = NOW + timedelta(seconds=SLICE_S)


def leased(store, number=1, at=NOW):
    store.recordings.create_or_get(recording(number), lambda _: placed())
    return store.jobs.lease_next(tuple(Lane), "w1", at, 60.0)


def again(store, lease, at=NOW):
    """The next attempt of the same job."""
    store.jobs.fail(lease, CAUSE, at, at)
    return store.jobs.lease_next(tuple(Lane), "w1", at, 60.0)


def call(*segments, usd=0.01, engine="openai", task=Task.TRANSCRIBE):
    return PaidCall(engine, task, segments or (0,), usd)


def test_an_intent_is_spent_before_anything_is_called(store):
    lease = leased(store)

    intent = store.spending.intend(lease, call(0, 1, usd=0.25), None, NOW)

    assert intent == Intent("rec00001", "acme", 1, call(0, 1, usd=0.25), NOW.date())
    assert store.spending.spent_usd("acme", NOW) == 0.25


@pytest.mark.parametrize("repeated", [(0, 1), (1, 2), (1,)], ids=str)
def test_no_segment_is_sent_twice_in_an_attempt(store, repeated):
    lease = leased(store)
    intent = store.spending.intend(lease, call(0, 1), None, NOW)

    before = store.spending.intend(lease, call(*repeated), None, NOW)
    store.spending.settle(intent, 0.005)
    after = store.spending.intend(lease, call(*repeated), None, NOW)

    assert (before, after) == (Refusal.UNRESOLVED, Refusal.CALLED)
    assert store.spending.spent_usd("acme", NOW) == 0.005


def test_the_very_call_is_not_made_again_but_its_answer_comes_back(store):
    lease = leased(store)
    intent = store.spending.intend(lease, call(0, 1), None, NOW)
    store.spending.settle(intent, 0.005, '{"text": "x"}')
    store.spending.settle(intent, 0.009, "later")

    assert store.spending.intend(lease, call(0, 1), None, NOW) == Bought('{"text": "x"}')
    assert store.spending.intend(lease, call(1), None, NOW) is Refusal.CALLED
    assert store.spending.intend(lease, call(0, 1, 2), None, NOW) is Refusal.CALLED
    assert store.spending.spent_usd("acme", NOW) == 0.005


def test_other_segments_engines_and_tasks_may_be_called(store):
    lease = leased(store)
    store.spending.intend(lease, call(0, 1), None, NOW)

    for other in (call(2), call(0, engine="b/c"), call(0, task=Task.CLASSIFY)):
        assert isinstance(store.spending.intend(lease, other, None, NOW), Intent)

    assert store.spending.intend(lease, call(2, 3), None, NOW) is Refusal.UNRESOLVED
    assert store.spending.spent_usd("acme", NOW) == 0.04


def test_the_next_attempt_may_call_again_and_both_are_spent(store):
    lease = leased(store)
    store.spending.intend(lease, call(0), None, NOW)

    intent = store.spending.intend(again(store, lease), call(0), None, NOW)

    assert intent.attempt == 2
    assert store.spending.spent_usd("acme", NOW) == 0.02


def test_a_hand_over_and_a_job_given_back_are_the_same_attempt(store):
    lease = leased(store)
    store.spending.intend(lease, call(0), None, NOW)

    store.jobs.hand_over(lease, NOW)
    second = store.jobs.lease_next(tuple(Lane), "w2", NOW, 60.0)
    assert store.spending.intend(second, call(0), None, NOW) is Refusal.UNRESOLVED
    store.jobs.give_back(second, CAUSE, NOW, NOW)
    third = store.jobs.lease_next(tuple(Lane), "w2", NOW, 60.0)
    assert store.spending.intend(third, call(0), None, NOW) is Refusal.UNRESOLVED


def test_a_replay_begins_new_attempts(store):
    lease = leased(store)
    store.spending.intend(lease, call(0), None, NOW)
    store.jobs.fail(lease, CAUSE, None, NOW)
    store.jobs.replay("rec00001", "ops", NOW)

    replayed = store.jobs.lease_next(tuple(Lane), "w1", NOW, 60.0)

    assert replayed.attempt == 1
    assert isinstance(store.spending.intend(replayed, call(0), None, NOW), Intent)
    assert store.spending.spent_usd("acme", NOW) == 0.02


def test_a_stale_lease_intends_nothing_but_settles(store):
    stale = leased(store)
    intent = store.spending.intend(stale, call(0), None, NOW)
    again(store, stale)

    with pytest.raises(StaleLease):
        store.spending.intend(stale, call(1), None, NOW)
    store.spending.settle(intent, 0.003)

    assert store.spending.spent_usd("acme", NOW) == 0.003


def test_settling_twice_keeps_the_first_amount(store):
    intent = store.spending.intend(leased(store), call(0), None, NOW)

    store.spending.settle(intent, 0.002)
    store.spending.settle(intent, 0.009)

    assert store.spending.spent_usd("acme", NOW) == 0.002


def test_the_budget_is_for_the_last_millionth(store):
    lease = leased(store)

    assert isinstance(store.spending.intend(lease, call(0, usd=0.6), 1.0, NOW), Intent)
    over = store.spending.intend(lease, call(1, usd=0.400001), 1.0, NOW)
    assert over is Refusal.OVER_BUDGET
    assert isinstance(store.spending.intend(lease, call(1, usd=0.4), 1.0, NOW), Intent)
    assert store.spending.intend(lease, call(2, usd=1e-7), 1.0, NOW) is Refusal.OVER_BUDGET
    assert store.spending.spent_usd("acme", NOW) == 1.0


def test_nothing_may_be_spent_of_a_budget_of_nothing(store):
    assert store.spending.intend(leased(store), call(0), 0.0, NOW) is Refusal.OVER_BUDGET


def test_a_cheaper_call_gives_the_rest_back_to_its_day(store):
    lease = leased(store)
    intent = store.spending.intend(lease, call(0, usd=1.0), 1.0, NOW)

    store.spending.settle(intent, 0.25)

    assert isinstance(store.spending.intend(lease, call(1, usd=0.75), 1.0, NOW), Intent)


def test_each_utc_day_has_its_own_budget(store):
    lease = leased(store)
    store.spending.intend(lease, call(0, usd=1.0), 1.0, NOW)

    assert isinstance(store.spending.intend(lease, call(1, usd=1.0), 1.0, TOMORROW), Intent)
    assert store.spending.spent_usd("acme", TOMORROW) == 1.0
    assert store.spending.spent_usd("nobody", NOW) == 0.0


def test_no_two_callers_get_the_same_money(store):
    leases = [leased(store, number) for number in range(8)]

    found = at_once(8, lambda one: store.spending.intend(one, call(0, usd=0.3), 1.0, NOW), leases)

    assert sum(isinstance(one, Intent) for one in found) == 3
    assert found.count(Refusal.OVER_BUDGET) == 5
    assert store.spending.spent_usd("acme", NOW) == pytest.approx(0.9)


def test_of_two_holders_of_one_lease_one_calls(store):
    lease = leased(store)

    found = at_once(
        4, lambda _: store.spending.intend(replace(lease), call(0), None, NOW), range(4)
    )

    assert sum(isinstance(one, Intent) for one in found) == 1
    assert found.count(Refusal.UNRESOLVED) == 3


def test_the_answers_go_with_the_job_and_what_they_cost_stays(store):
    lease = leased(store)
    intent = store.spending.intend(lease, call(0), None, NOW)
    store.spending.settle(intent, 0.005, "kept words")

    store.jobs.complete(lease, Outcome("results/acme/rec00001/1", 1.0, "en", None, False), [], NOW)

    assert store.spending.spent_usd("acme", NOW) == 0.005
    assert "kept words" not in everything(store)


def worker(store, name):
    """Another process's adapter."""
    if isinstance(store.spending, SqliteSpending):
        return SqliteSpending(store.spending._db, name)
    return FirestoreSpending(store.spending._db._client, name)


class TestSlices:
    """Of 1 USD the first worker takes a sixteenth, 0.0625; a call of 0.05 leaves it 0.0125."""

    def test_what_a_worker_holds_is_told_apart_from_what_it_spent(self, store):
        store.spending.intend(leased(store), call(0, usd=0.05), 1.0, NOW)

        assert store.spending.day("acme", NOW) == DayOfMoney(0.05, 0.0125, 0.0)
        assert store.spending.day("acme", LAPSED) == DayOfMoney(0.05, 0.0, 0.0125)
        assert store.spending.day("acme", TOMORROW) == DayOfMoney(0.0, 0.0, 0.0)

    def test_another_worker_gets_the_rest_when_it_is_given_back(self, store):
        store.spending.intend(leased(store, 1), call(0, usd=0.05), 1.0, NOW)
        other, lease = worker(store, "other"), leased(store, 2)

        before = other.intend(lease, call(0, usd=0.95), 1.0, NOW)
        store.spending.give_back(NOW)
        after = other.intend(lease, call(0, usd=0.95), 1.0, NOW)

        assert (before, type(after)) == (Refusal.OVER_BUDGET, Intent)
        assert store.spending.day("acme", NOW) == DayOfMoney(1.0, 0.0, 0.0)

    def test_or_when_its_time_is_over(self, store):
        store.spending.intend(leased(store, 1), call(0, usd=0.05), 1.0, NOW)
        other, lease = worker(store, "other"), leased(store, 2)

        before = other.intend(lease, call(0, usd=0.95), 1.0, LAPSED - timedelta(microseconds=1))
        after = other.intend(lease, call(0, usd=0.95), 1.0, LAPSED)

        assert (before, type(after)) == (Refusal.OVER_BUDGET, Intent)

    def test_who_comes_back_after_its_time_takes_anew(self, store):
        lease = leased(store)
        store.spending.intend(lease, call(0, usd=0.05), 1.0, NOW)
        worker(store, "other").intend(leased(store, 2), call(0, usd=0.95), 1.0, LAPSED)

        assert store.spending.intend(lease, call(1), 1.0, LAPSED) is Refusal.OVER_BUDGET

    def test_giving_back_twice_or_nothing_changes_nothing(self, store):
        store.spending.give_back(NOW)
        intent = store.spending.intend(leased(store), call(0, usd=0.05), 1.0, NOW)
        store.spending.give_back(NOW)
        store.spending.give_back(NOW)
        store.spending.settle(intent, 0.02)

        assert store.spending.day("acme", NOW) == DayOfMoney(0.02, 0.03, 0.0)

    def test_a_process_of_the_same_name_goes_on_with_the_slice(self, store):
        lease = leased(store)
        worker(store, "w1").intend(lease, call(0, usd=0.05), 1.0, NOW)
        worker(store, "w1").intend(lease, call(1, usd=0.0125), 1.0, NOW)

        assert store.spending.day("acme", NOW) == DayOfMoney(0.0625, 0.0, 0.0)

    def test_who_settles_for_another_credits_whose_slice_it_was(self, store):
        intent = worker(store, "dead").intend(leased(store), call(0, usd=0.05), 1.0, NOW)

        store.spending.settle(intent, 0.01)

        assert store.spending.day("acme", NOW) == DayOfMoney(0.01, 0.0525, 0.0)

    def test_a_budget_lowered_meanwhile_holds_at_once(self, store):
        lease = leased(store)
        store.spending.intend(lease, call(0, usd=0.05), 1.0, NOW)

        assert store.spending.intend(lease, call(1), 0.055, NOW) is Refusal.OVER_BUDGET
        assert isinstance(store.spending.intend(lease, call(1, usd=0.005), 0.055, NOW), Intent)

    def test_a_slice_of_yesterday_pays_for_nothing_today(self, store):
        lease, late = leased(store), MIDNIGHT - timedelta(seconds=1)
        intent = store.spending.intend(lease, call(0, usd=0.05), 1.0, late)

        assert isinstance(store.spending.intend(lease, call(1, usd=1.0), 1.0, MIDNIGHT), Intent)
        store.spending.settle(intent, 0.02)
        assert store.spending.spent_usd("acme", late) == 0.02
        assert store.spending.day("acme", MIDNIGHT) == DayOfMoney(1.0, 0.0, 0.0)

    def test_64_at_once_with_workers_that_die_never_pass_the_cap(self, store):
        """R9. Each name is a process; of some the calls are never settled, none gives back."""
        leases = [leased(store, number) for number in range(64)]
        workers = [worker(store, f"w{n}") for n in range(8)]

        def spend(n):
            spender, chance = workers[n % 8], random.Random(n)
            usd = chance.choice([0.01, 0.04, 0.09])
            # Each call for itself: repeated from the start, the first would be unresolved.
            made = patiently(lambda: spender.intend(leases[n], call(0, usd=usd), 1.0, NOW))
            if isinstance(made, Intent) and chance.random() < 0.5:
                really_usd = usd * chance.random()
                patiently(lambda: spender.settle(made, really_usd))
            seen.append(patiently(lambda: store.spending.spent_usd("acme", NOW)))
            return made

        seen = []
        found = at_once(64, spend, range(64))

        day = store.spending.day("acme", NOW)
        assert sum(isinstance(one, Intent) for one in found) >= 11
        assert max(seen) <= 1.0
        assert day.spent_usd + day.reserved_usd <= 1.0
        assert 0 < day.reserved_usd <= 8 * SLICE / MICRO


def everything(store):
    """All that is stored of calls, as text."""
    if isinstance(store.spending, SqliteSpending):
        with store.spending._db.read() as db:
            return str([tuple(row) for row in db.execute("SELECT * FROM calls")])
    found = store.spending._db.found(store.spending._db.group_of("calls"))
    return str([one.to_dict() for one in found])
