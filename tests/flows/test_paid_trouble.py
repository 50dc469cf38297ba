"""An engine that costs is not to be had: what becomes of the recording, and what is said."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.domain.answers import Task
from shared.domain.attempts import attempts
from shared.domain.prices import Price, Terms
from shared.domain.quotas import next_midnight
from shared.domain.recording import Lease
from shared.domain.states import State
from shared.domain.tenants import Tenant, Tier
from shared.errors import OUTAGE, EngineDied, VendorTimedOut
from shared.flows.ask import Ask
from shared.flows.work import Settled
from tests.builders import NOW
from tests.flows.ears import SmallEars, says, survey
from tests.flows.sure import figures, sure
from tests.flows.test_reconcile import reconcile
from tests.flows.test_work import LANES, Clock, SilentBroker, add, known, work

#: A segment of 10 s costs 1 USD.
TERMS = Terms(price=Price(as_of=NOW.date(), source="us", minute_usd=6.0))
MIDNIGHT = next_midnight(NOW)


def paying(engine, task, segments):
    return [says(engine, s, cost_usd=1.0) for s in segments]


def free_one_dies(engine, task, segments):
    if engine == "first":
        raise EngineDied
    return paying(engine, task, segments)


def agreed(store, budget_usd):
    limit = (("fallback_usd_a_day", budget_usd),)
    store.tenants.put(Tenant("acme", Tier.FREE, NOW, limit, fallback=True))


def hear(store, clock, *engines, script=paying, segments=6, broker=None, **parts):
    ears = SmallEars(survey(segments), script, paid={"paid": TERMS})
    cascade = {Task.TRANSCRIBE: engines, Task.CLASSIFY: ()}
    flow = work(store, ears, broker, clock, cascade=cascade, spending=store.spending, **parts)
    return ears, flow(LANES)


class TestTheDaysBudget:
    def test_over_it_the_recording_waits_for_the_next_day(self, store):
        add(store)
        agreed(store, 5.0)
        broker = SilentBroker()

        _, settled = hear(store, Clock(), "paid", broker=broker)

        made = known(store)
        assert (settled, made.state, made.deferred_until) == (
            Settled.DEFERRED,
            State.DEFERRED,
            MIDNIGHT,
        )
        assert made.error.code == "paid_call_withheld"
        assert "more than is left of the tenant's day" in made.error.message
        assert store.recordings.history(made.id)[-1].error == made.error
        assert broker.taken[-1].body["type"] == "recording.deferred"

    def test_the_next_day_goes_on_with_what_was_bought(self, store):
        add(store)
        agreed(store, 5.0)
        clock = Clock()
        hear(store, clock, "paid")
        clock.at = MIDNIGHT

        found = reconcile(store, clock)()
        ears, settled = hear(store, clock, "paid")

        assert (found["deferred_due"], settled) == (1, Settled.DONE)
        assert ears.asked == [("paid", [5])]
        assert known(store).attempts == 1
        assert [store.spending.spent_usd("acme", at) for at in (NOW, MIDNIGHT)] == [5.0, 1.0]
        told = json.loads(store.results.load(known(store).result, "result.json"))
        assert (told["cost_usd"], told["error"]) == (6.0, None)

    def test_the_next_days_quota_is_not_asked_of_it_again(self, store):
        add(store)
        limits = (("fallback_usd_a_day", 5.0), ("files_a_day", 0))
        store.tenants.put(Tenant("acme", Tier.FREE, NOW, limits, fallback=True))
        clock = Clock()
        hear(store, clock, "paid")
        clock.at = MIDNIGHT
        reconcile(store, clock)()

        assert known(store).state is State.QUEUED

    def test_what_no_day_pays_for_is_dead_and_says_what_to_do(self, store):
        add(store)
        agreed(store, 0.5)
        clock = Clock()
        for _ in range(4):
            hear(store, clock, "paid")
            clock.at += timedelta(minutes=1)

        assert known(store).state is State.DEAD
        assert "raise `--fallback-usd-a-day`" in known(store).error.message

    def test_an_answer_that_is_there_stands_for_review(self, store):
        add(store)
        agreed(store, 5.0)

        def doubtful(engine, task, segments):
            return [says(engine, s, signals=figures(0.4)) for s in segments]

        asks = Ask(calibrations=sure("first", "paid"))
        _, settled = hear(store, Clock(), "first", "paid", script=doubtful, ask=asks)

        assert (settled, known(store).review) == (Settled.DONE, True)

    @pytest.mark.parametrize("engines", [("first", "paid"), ("paid", "first")])
    def test_a_free_engine_that_failed_has_its_attempts_first(self, store, engines):
        add(store)
        agreed(store, 5.0)
        clock, settled = Clock(), []
        for _ in range(4):
            settled.append(hear(store, clock, *engines, script=free_one_dies)[1])
            clock.at += timedelta(minutes=1)

        assert settled == [Settled.FAILED] * 3 + [Settled.DEFERRED]
        assert (known(store).state, known(store).deferred_until) == (State.DEFERRED, MIDNIGHT)

    def test_beside_a_transcript_nothing_waits_for_it(self, store):
        add(store)
        agreed(store, 0.0)
        made = survey(2)
        ears = SmallEars(replace(made, windows=made.speech), paying, paid={"paid": TERMS})
        cascade = {Task.TRANSCRIBE: ("first",), Task.DESCRIBE: ("paid",)}

        settled = work(store, ears, cascade=cascade, spending=store.spending)(LANES)

        told = json.loads(store.results.load(known(store).result, "result.json"))
        assert settled is Settled.DONE
        assert [w["code"] for w in told["warnings"]] == ["description_missing"]
        assert "one call would cost more" in told["warnings"][0]["message"]


class TestAnOutage:
    def down(self, engine, task, segments):
        raise VendorTimedOut("The vendor is silent.", **{OUTAGE: True})

    def test_the_vendors_error_is_the_cause_and_not_that_nobody_asked_twice(self, store):
        add(store)
        agreed(store, 100.0)
        clock = Clock()
        for _ in range(8):
            hear(store, clock, "paid", script=self.down, segments=1)
            clock.at += timedelta(minutes=1)

        made = known(store)
        assert (made.state, made.attempts) == (State.DEAD, 4)
        assert (made.error.code, made.error.engine) == ("vendor_timed_out", "paid")
        told = [(a.number, a.error.code) for a in attempts(store.recordings.history(made.id))]
        assert told == [(n, "vendor_timed_out") for n in (1, 1, 2, 2, 3, 3, 4, 4)]

    def test_where_a_worker_was_stopped_in_the_call_nobody_is_to_blame_but_that(self, store):
        add(store)
        agreed(store, 100.0)
        clock = Clock()

        def stopped(engine, task, segments):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            hear(store, clock, "paid", script=stopped, segments=1)
        store.jobs.hand_over(Lease(known(store), 1, "w1", NOW, 1), NOW)
        hear(store, clock, "paid", segments=1)

        assert known(store).error.code == "paid_call_withheld"
