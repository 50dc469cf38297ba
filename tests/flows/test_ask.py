"""Down the cascade: what stands, what is kept, what is said of it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.adapters.embedded.sqlite_database import Database
from shared.adapters.embedded.sqlite_jobs import SqliteJobs
from shared.adapters.embedded.sqlite_recordings import SqliteRecordings
from shared.adapters.embedded.sqlite_spending import SqliteSpending
from shared.adapters.embedded.sqlite_tenants import SqliteTenants
from shared.domain.answers import Task
from shared.domain.cascade import Policy, Uncalibrated, Verdict
from shared.domain.lanes import Lane
from shared.domain.prices import Price, Terms
from shared.domain.spending import PaidCall
from shared.domain.tenants import Tenant, Tier
from shared.errors import (
    BreakerOpen,
    EngineDied,
    EngineUnavailable,
    PaidCallWithheld,
    StaleLease,
    VendorBusy,
    VendorTimedOut,
)
from shared.flows.ask import Ask
from shared.flows.purse import Purse
from tests.builders import NOW, placed, recording
from tests.flows.ears import SmallEars, plainly, says, survey
from tests.flows.sure import figures, sure

TASK = Task.TRANSCRIBE


def ask(script, engines, segments=2, known=("first", "second"), **policy):
    ears = SmallEars(survey(segments), script)
    asks = Ask(Policy(**policy), sure(*known))
    return ears, asks(ears, TASK, ears.survey.speech, engines)


def calibrated(engine, segment, confidence):
    return says(engine, segment, signals=figures(confidence))


def test_the_first_confident_answer_stands_and_nobody_else_is_asked():
    ears, decided = ask(
        lambda e, t, many: [calibrated(e, s, 0.9) for s in many], ["first", "second"]
    )

    assert [d.answer.engine for d in decided] == ["first", "first"]
    assert ears.asked == [("first", [0, 1])]


def test_only_doubtful_segments_go_to_the_next_engine():
    def script(engine, task, many):
        sure = {0: 0.95, 1: 0.4} if engine == "first" else {1: 0.9}
        return [calibrated(engine, s, sure[s.index]) for s in many]

    ears, decided = ask(script, ["first", "second"])

    assert [d.answer.engine for d in decided] == ["first", "second"]
    assert ears.asked[1] == ("second", [1])
    assert [(s.verdict, s.reason) for s in decided[1].decisions] == [
        (Verdict.ESCALATE, "low_confidence"),
        (Verdict.ACCEPT, "confident"),
    ]


def test_when_nobody_is_sure_the_best_answer_is_kept_for_review():
    def script(engine, task, many):
        return [calibrated(engine, s, {"first": 0.7, "second": 0.5}[engine]) for s in many]

    _, decided = ask(script, ["first", "second"], segments=1)

    assert decided[0].answer.engine == "first"
    assert decided[0].review


def test_a_low_answer_survives_the_failure_of_the_last_engine():
    def script(engine, task, many):
        if engine == "second":
            raise EngineUnavailable
        return [calibrated(engine, s, 0.5) for s in many]

    _, decided = ask(script, ["first", "second"], segments=1)

    assert (decided[0].answer.engine, decided[0].review) == ("first", True)
    assert [s.reason for s in decided[0].decisions] == [
        "low_confidence",
        "engine_unavailable",
        "engine_unavailable",
    ]


def test_a_failing_engine_is_passed_by_and_named():
    def script(engine, task, many):
        if engine == "first":
            raise EngineDied
        return [says(engine, s) for s in many]

    _, decided = ask(script, ["first", "second"], segments=1, known=())

    assert [(s.engine, s.verdict, s.reason) for s in decided[0].decisions] == [
        ("first", Verdict.ESCALATE, "engine_died"),
        ("second", Verdict.ACCEPT, "uncalibrated"),
    ]


def test_without_any_answer_the_failure_comes_out():
    def script(engine, task, many):
        raise EngineDied

    with pytest.raises(EngineDied):
        ask(script, ["first", "second"])


def test_without_any_engine_there_is_no_answer():
    with pytest.raises(EngineUnavailable):
        ask(lambda e, t, many: [], [])


class TestPaying:
    """Engines that cost money: committed before the call, for whoever agreed to it."""

    @pytest.fixture
    def store(self):
        return Database(":memory:")

    @pytest.fixture
    def lease(self, store):
        SqliteTenants(store).put(Tenant("acme", Tier.PRO, NOW, fallback=True))
        return leased(store)

    def asked(self, store, lease, script, segments=3, policy=Uncalibrated.ESCALATE, **settings):
        """Ask with a purse; `paid` costs 6 USD a minute and each segment is 10 s long."""
        terms = Terms(price=Price(as_of=NOW.date(), source="us", minute_usd=6.0), **settings)
        ears = SmallEars(survey(segments), script, paid={"paid": terms})
        purse = Purse(SqliteSpending(store), SqliteTenants(store), lease, lambda: NOW)
        engines = ("first", "paid")
        ask = Ask(Policy(uncalibrated=policy), sure("first"))
        return ears, ask(ears, TASK, ears.survey.speech, engines, purse)

    def reasons(self, decided):
        return [(s.engine, s.verdict, s.reason) for s in decided.decisions]

    def test_a_tenant_that_has_not_agreed_is_not_charged(self, store, lease):
        SqliteTenants(store).put(Tenant("acme", Tier.PRO, NOW))

        ears, decided = self.asked(store, lease, plainly)

        assert [engine for engine, _ in ears.asked] == ["first"]
        assert decided[0].answer.engine == "first"
        assert self.reasons(decided[0])[1:] == [
            ("paid", Verdict.ESCALATE, "not_opted_in"),
            ("first", Verdict.REVIEW, "not_opted_in"),
        ]

    def test_a_tenant_whose_data_stays_is_asked_of_nobody_elsewhere(self, store, lease):
        SqliteTenants(store).put(Tenant("acme", Tier.PRO, NOW, residency=True))

        ears, decided = self.asked(store, lease, plainly)

        assert [engine for engine, _ in ears.asked] == ["first"]
        assert self.reasons(decided[0])[1:] == [
            ("paid", Verdict.ESCALATE, "residency"),
            ("first", Verdict.REVIEW, "residency"),
        ]

    def test_without_a_purse_nothing_is_spent(self, store, lease):
        terms = Terms(price=Price(as_of=NOW.date(), source="us", minute_usd=6.0))
        ears = SmallEars(survey(1), plainly, paid={"paid": terms})

        with pytest.raises(PaidCallWithheld, match=r"paid costs money.*--fallback on") as withheld:
            Ask()(ears, TASK, ears.survey.speech, ["paid"])

        assert withheld.value.context == {"engine": "paid", "reason": "not_opted_in"}
        assert ears.asked == []

    def test_a_call_over_the_budget_is_not_made(self, store, lease):
        """5 USD a day are 50 s at 6 USD a minute."""
        _, decided = self.asked(store, lease, paying, segments=6)

        assert [d.decisions[1].reason for d in decided] == [*["uncalibrated"] * 5, "over_budget"]
        assert SqliteSpending(store).spent_usd("acme", NOW) == pytest.approx(5.0)

    @pytest.mark.parametrize(("budget", "reason"), [(0.999999, "over_limit"), (1.0, "over_budget")])
    def test_what_a_whole_day_does_not_pay_for_is_told_apart(self, store, lease, budget, reason):
        limit = (("fallback_usd_a_day", budget),)
        SqliteTenants(store).put(Tenant("acme", Tier.PRO, NOW, limit, fallback=True))
        bought = PaidCall("other", TASK, (7,), 0.5)
        SqliteSpending(store).intend(lease, bought, None, NOW)

        _, [decided] = self.asked(store, lease, plainly, segments=1)

        assert decided.decisions[1].reason == reason

    def test_the_intent_is_there_when_the_call_is_made(self, store, lease):
        seen = []

        def script(engine, task, many):
            seen.append(SqliteSpending(store).spent_usd("acme", NOW))
            return paying(engine, task, many, cost=0.25)

        self.asked(store, lease, script, segments=1)

        assert seen == [0.0, 1.0]
        assert SqliteSpending(store).spent_usd("acme", NOW) == 0.25

    def test_neighbours_share_a_call_and_each_gets_its_words(self, store, lease):
        def script(engine, task, many):
            if engine == "paid":
                [sound] = many
                return [says(engine, sound, "heard nought heard one heard too", cost_usd=0.6)]
            return [says(engine, s) for s in many]

        ears, decided = self.asked(store, lease, script, merges=True)

        assert [d.answer.text for d in decided] == ["heard nought", "heard one", "heard too"]
        assert ears.asked == [("first", [0, 1, 2]), ("paid", [0])]
        assert [d.decisions[-1].cost_usd for d in decided] == pytest.approx([0.2] * 3)
        assert sum(d.answer.cost_usd for d in decided) == pytest.approx(0.6)

    def test_context_is_sent_but_keeps_its_own_answer(self, store, lease):
        def script(engine, task, many):
            if engine == "paid":
                return [says(engine, many[0], "alpha beta GAMMA delta epsilon", cost_usd=0.5)]
            words = ["alpha", "beta", "camera", "delta", "epsilon"]
            sure = [calibrated(engine, s, 0.3 if s.index == 2 else 0.9) for s in many]
            return [replace(a, text=words[n]) for n, a in enumerate(sure)]

        mark = Uncalibrated.ACCEPT_AND_MARK
        _, decided = self.asked(store, lease, script, 5, mark, merges=True)

        assert [d.answer.engine for d in decided] == ["first", "first", "paid", "first", "first"]
        assert [d.answer.text for d in decided] == ["alpha", "beta", "GAMMA", "delta", "epsilon"]
        assert decided[2].answer.cost_usd == 0.5

    def test_silence_against_words_is_for_review(self, store, lease):
        def script(engine, task, many):
            return [says(engine, s, "" if engine == "paid" else "words") for s in many]

        _, [decided] = self.asked(store, lease, script, segments=1)

        assert (decided.answer.text, decided.review) == ("words", True)
        assert decided.decisions[1].reason == "no_words"

    @pytest.mark.parametrize(
        ("error", "spent"),
        [(VendorBusy(charged=False), 0.0), (BreakerOpen(), 0.0), (VendorTimedOut(), 1.0)],
    )
    def test_a_refused_call_is_not_paid_and_a_lost_one_is(self, store, lease, error, spent):
        def script(engine, task, many):
            if engine == "paid":
                raise error
            return plainly(engine, task, many)

        _, [decided] = self.asked(store, lease, script, segments=1)

        assert (decided.answer.engine, decided.review) == ("first", True)
        assert decided.decisions[1].reason == error.code
        assert sum(step.cost_usd for step in decided.decisions) == spent
        assert SqliteSpending(store).spent_usd("acme", NOW) == spent

    def test_in_the_same_attempt_no_call_is_made_twice(self, store, lease):
        def dies(engine, task, many):
            if engine == "paid":
                raise KeyboardInterrupt
            return plainly(engine, task, many)

        with pytest.raises(KeyboardInterrupt):
            self.asked(store, lease, dies)
        ears, decided = self.asked(store, lease, paying)

        assert [engine for engine, _ in ears.asked] == ["first", "paid", "paid"]
        assert [d.decisions[1].reason for d in decided] == [
            "intent_unresolved",
            "uncalibrated",
            "uncalibrated",
        ]
        assert [d.answer.engine for d in decided] == ["first", "paid", "paid"]

    def test_an_answer_that_was_paid_is_not_lost_with_its_worker(self, store, lease):
        """A service that stops hands its job over while a call is in hand."""
        self.asked(store, lease, paying)
        ears, decided = self.asked(store, lease, paying)

        assert [engine for engine, _ in ears.asked] == ["first"]
        assert [d.answer.engine for d in decided] == ["paid"] * 3
        assert SqliteSpending(store).spent_usd("acme", NOW) == 3.0

    def test_a_stale_worker_calls_nobody(self, store, lease):
        SqliteJobs(store).take_back(NOW + timedelta(hours=1))
        ears = []

        def script(engine, task, many):
            ears.append(engine)
            return plainly(engine, task, many)

        with pytest.raises(StaleLease):
            self.asked(store, lease, script)

        assert ears == ["first"]

    @pytest.fixture
    def late(self, store, lease):
        """Asks for a job that waited so long, in a lane that should take a minute."""

        def asked(waited_s, script=plainly, lane="low", **terms):
            terms = Terms(price=Price(as_of=NOW.date(), source="us", minute_usd=6.0), **terms)
            ears = SmallEars(survey(2), script, paid={"paid": terms})
            parts = SqliteSpending(store), SqliteTenants(store), lease, lambda: NOW, waited_s
            asks = Ask(Policy(degrade_after_s={lane: 60.0}))
            engines = ("first", "paid", "second")
            return ears, asks(ears, TASK, ears.survey.speech, engines, Purse(*parts))

        return asked

    def test_a_job_that_waited_too_long_goes_to_the_engine_elsewhere(self, late):
        ears, decided = late(60.1)

        assert ears.asked == [("paid", [0]), ("paid", [1])]
        assert self.reasons(decided[0]) == [
            ("first", Verdict.ESCALATE, "degraded"),
            ("paid", Verdict.ACCEPT, "uncalibrated"),
        ]

    @pytest.mark.parametrize(("waited_s", "lane"), [(60.0, "low"), (1e6, "high")])
    def test_nobody_is_passed_over_in_time_or_in_a_lane_without_a_limit(self, late, waited_s, lane):
        ears, _ = late(waited_s, lane=lane)

        assert ears.asked == [("first", [0, 1])]

    @pytest.mark.parametrize("tenant", [{}, {"residency": True}])
    def test_nobody_is_passed_over_for_a_tenant_that_has_not_agreed(self, store, late, tenant):
        SqliteTenants(store).put(Tenant("acme", Tier.PRO, NOW, **tenant))

        ears, [decided, _] = late(1e6)

        assert ears.asked == [("first", [0, 1])]
        assert self.reasons(decided) == [("first", Verdict.ACCEPT, "uncalibrated")]

    def test_who_was_passed_over_answers_where_the_money_does_not_reach(self, store, late):
        limit = (("fallback_usd_a_day", 1.0),)
        SqliteTenants(store).put(Tenant("acme", Tier.PRO, NOW, limit, fallback=True))

        ears, decided = late(61.0, paying)

        assert ears.asked == [("paid", [0]), ("first", [1])]
        assert self.reasons(decided[1]) == [
            ("first", Verdict.ESCALATE, "degraded"),
            ("paid", Verdict.ESCALATE, "over_budget"),
            ("first", Verdict.ACCEPT, "uncalibrated"),
        ]


def leased(store):
    SqliteRecordings(store).create_or_get(recording(1), lambda _: placed())
    return SqliteJobs(store).lease_next(tuple(Lane), "w1", NOW, 60.0)


def paying(engine, task, many, cost=1.0):
    return [says(engine, s, cost_usd=cost if engine == "paid" else 0.0) for s in many]
