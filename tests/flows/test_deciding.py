"""A recording down the whole path: who was asked, what stands, and what is told of it."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.domain.answers import Task, Word
from shared.domain.cascade import Policy, Uncalibrated
from shared.domain.confidence import Calibrations
from shared.domain.deliberations import read
from shared.domain.prices import Price, Terms
from shared.domain.synthesis import Strategy, Synthesis
from shared.domain.tenants import Tenant, Tier
from shared.flows.ask import Ask
from shared.flows.work import Settled
from tests.builders import NOW
from tests.flows.ears import SmallEars, plainly, says, survey
from tests.flows.sure import figures, sure, sure_of
from tests.flows.test_work import LANES, Clock, add, known, work

BOTH = ("first", "second")


def hear(store, script, calibrated=BOTH, made=None, **policy):
    """The result and its decisions.json."""
    add(store)
    ears = SmallEars(made or survey(2), script)
    settled = work(store, ears, ask=Ask(Policy(**policy), sure(*calibrated)))(LANES)
    assert settled is Settled.DONE
    folder = known(store).result
    result = json.loads(store.results.load(folder, "result.json"))
    return result, read(store.results.load(folder, "decisions.json"))


def steps(result, segment=0):
    """Of one segment: engine, verdict and reason of each step."""
    its = (s for s in result["decisions"] if s["segment"] == segment)
    return [(s["engine"], s["verdict"], s["reason"]) for s in its]


def voiced(seconds=10.0):
    """One segment, in which somebody speaks from end to end."""
    return replace(survey(1, seconds), voiced=(((0.0, seconds),),))


def until(answer, end_s):
    """The answer with a word each second up to there."""
    words = tuple(Word(float(n), n + 1.0, "word", 0.9) for n in range(round(end_s)))
    return replace(answer, words=words)


def scripted(confidences, texts=None):
    """Engines that are as sure as told, by engine (a number, or one a segment)."""

    def script(engine, task, segments):
        sure_of = confidences[engine]
        chosen = [sure_of if isinstance(sure_of, float) else sure_of[s.index] for s in segments]
        said = (texts or {}).get(engine)
        return [
            says(engine, s, said, signals=figures(c)) for s, c in zip(segments, chosen, strict=True)
        ]

    return script


def test_a_doubtful_segment_goes_on_and_a_sure_one_stays(store):
    result, told = hear(store, scripted({"first": [0.95, 0.6], "second": 0.9}))

    assert steps(result, 0) == [("first", "accept", "confident")]
    assert steps(result, 1) == [
        ("first", "escalate", "low_confidence"),
        ("second", "accept", "confident"),
    ]
    transcript = result["transcript"]
    assert [s["text"] for s in transcript["segments"]] == ["first heard 0", "second heard 1"]
    assert [s["confidence"] for s in transcript["segments"]] == pytest.approx([0.95, 0.9])
    assert (transcript["calibrated"], result["review"]) == (True, False)
    assert [s["coverage"] for s in result["decisions"]] == [1.0, 1.0, 1.0]
    [low, accepted] = told.segments[1].steps
    assert (told.segments[1].engine, told.segments[1].text) == ("second", "second heard 1")
    assert (low.text, low.signals["mean_logprob"]) == (
        "first heard 1",
        pytest.approx(figures(0.6)["mean_logprob"]),
    )
    assert "agreement" not in low.signals
    assert accepted.signals["agreement"] == pytest.approx(2 / 3)
    assert accepted.calibration == sure("second").known[0].digest


def test_the_threshold_of_one_engine_is_no_others(store):
    result, _ = hear(
        store,
        scripted({"first": 0.85, "second": 0.85}),
        accept_at={Task.TRANSCRIBE: {"first": 0.9}},
    )

    assert [reason for _, _, reason in steps(result)] == ["low_confidence", "confident"]


def test_an_engine_that_drops_every_third_segment_is_caught(store):
    """It is as sure of its silence as of its words: only the detectors know better."""

    def script(engine, task, segments):
        drops = engine == "first"
        return [
            says(engine, s, "" if drops and s.index % 3 == 2 else None, signals=figures(0.95))
            for s in segments
        ]

    result, told = hear(store, script, made=survey(6))

    escalated = [s["segment"] for s in result["decisions"] if s["verdict"] == "escalate"]
    assert escalated == [2, 5]
    assert steps(result, 2) == [
        ("first", "escalate", "coverage"),
        ("second", "accept", "confident"),
    ]
    assert told.segments[2].steps[0].coverage == 0.0
    assert len(result["transcript"]["segments"]) == 6
    assert {w["code"] for w in result["warnings"]} == {"coverage"}


def test_where_nobody_covers_it_a_person_looks_and_the_better_half_is_kept(store):
    def script(engine, task, segments):
        [s] = segments
        end_s = {"first": 6.0, "second": 2.0}[engine]
        return [until(says(engine, s, signals=figures(0.95)), end_s)]

    result, told = hear(store, script, made=voiced())

    assert (result["review"], told.segments[0].engine) == (True, "first")
    assert steps(result) == [
        ("first", "escalate", "coverage"),
        ("second", "review", "coverage"),
        ("first", "review", "highest-confidence"),
    ]


@pytest.mark.parametrize(
    ("policy", "expected", "review"),
    [
        ("accept-and-mark", [("first", "accept", "uncalibrated")], False),
        (
            "escalate",
            [("first", "escalate", "uncalibrated"), ("second", "review", "uncalibrated")],
            True,
        ),
        ("review", [("first", "review", "uncalibrated")], True),
    ],
)
def test_nobodys_raw_score_is_a_confidence(store, policy, expected, review):
    result, told = hear(
        store,
        lambda engine, task, many: [says(engine, s, confidence=0.99) for s in many],
        calibrated=(),
        uncalibrated=Uncalibrated(policy),
    )

    assert (steps(result), result["review"]) == (expected, review)
    assert result["transcript"]["confidence"] is None
    assert result["transcript"]["calibrated"] is False
    assert {s.confidence for one in told.segments for s in one.steps} == {None}


def test_two_that_are_sure_of_different_words_are_in_conflict(store):
    """The first one was sure, too, but left the end out."""

    def script(engine, task, segments):
        [s] = segments
        texts = {"first": "we meet at nine", "second": "we eat the wine at last"}
        answer = says(engine, s, texts[engine], signals=figures(0.9))
        return [until(answer, {"first": 5.0, "second": 10.0}[engine])]

    result, _ = hear(store, script, made=voiced())

    assert result["conflicts"] == [
        {
            "start_s": 0.0,
            "end_s": 10.0,
            "channel": None,
            "engines": ["second", "first"],
            "texts": ["we eat the wine at last", "we meet at nine"],
        }
    ]


def test_votes_may_keep_an_earlier_answer_and_that_is_a_step_of_its_own(store):
    weighted = Synthesis(Strategy.WEIGHTED, {"first": 3.0})

    result, told = hear(
        store,
        scripted({"first": 0.7, "second": 0.85}, {"first": "one two", "second": "three four"}),
        made=survey(1),
        synthesis=weighted,
    )

    assert result["transcript"]["text"] == "one two"
    assert steps(result)[-1] == ("first", "accept", "weighted")
    assert [s.text for s in told.segments[0].steps] == ["one two", "three four", None]


def test_answers_kept_under_another_policy_are_given_anew(store):
    asks = Ask(calibrations=sure(*BOTH))
    keys = {asks.key, replace(asks, policy=Policy(min_coverage=0.5)).key, Ask().key}

    assert len(keys) == 3


@pytest.mark.parametrize(("waited_s", "passed_over"), [(60.0, False), (60.5, True)])
def test_who_keeps_a_job_waiting_is_passed_over_and_that_is_said(store, waited_s, passed_over):
    add(store)
    store.tenants.put(Tenant("acme", Tier.PRO, NOW, fallback=True))
    terms = Terms(price=Price(as_of=NOW.date(), source="us", minute_usd=0.006))
    ears, clock = SmallEars(survey(1), plainly, paid={"second": terms}), Clock()
    clock.at += timedelta(seconds=waited_s)
    asks = Ask(Policy(degrade_after_s={"low": 60.0}))

    work(store, ears, clock=clock, ask=asks, spending=store.spending)(LANES)

    result = json.loads(store.results.load(known(store).result, "result.json"))
    told = [w["message"] for w in result["warnings"] if w["code"] == "degraded"]
    assert [engine for engine, _ in ears.asked] == ["second" if passed_over else "first"]
    assert bool(told) is passed_over
    if passed_over:
        assert "had waited longer" in told[0]
        assert steps(result)[0] == ("first", "escalate", "degraded")


def test_how_well_words_fit_is_measured_before_they_are_judged(store):
    """The aligner gives -0.25, of which this calibration makes 0.44; it is asked once."""
    versions = {"checkpoint": "first", "rules": "script/1"}
    fits = sure_of(versions, Task.TRANSCRIBE, "alignment_score")
    add(store)
    ears = SmallEars(survey(2), plainly, languages={"aligner": {"en"}})
    cascade = {Task.TRANSCRIBE: BOTH, Task.ALIGN: ("aligner",)}

    work(store, ears, cascade=cascade, ask=Ask(calibrations=Calibrations((fits,))))(LANES)

    result = json.loads(store.results.load(known(store).result, "result.json"))
    assert steps(result)[0] == ("first", "escalate", "low_confidence")
    assert result["decisions"][0]["confidence"] == pytest.approx(0.4378, abs=1e-4)
    # The second engine's words stand; nobody knew yet where they lie.
    assert [engine for engine, _ in ears.asked] == ["first", "aligner", "second", "aligner"]


def test_words_placed_before_they_were_judged_are_not_placed_again(store):
    versions = {"checkpoint": "first", "rules": "script/1"}
    fits = sure_of(versions, Task.TRANSCRIBE, "alignment_score")
    add(store)
    ears = SmallEars(survey(2), plainly, languages={"aligner": {"en"}})
    cascade = {Task.TRANSCRIBE: ("first",), Task.ALIGN: ("aligner",)}
    asks = Ask(Policy(accept_at={Task.TRANSCRIBE: {"first": 0.4}}), Calibrations((fits,)))

    work(store, ears, cascade=cascade, ask=asks)(LANES)

    result = json.loads(store.results.load(known(store).result, "result.json"))
    words = [w for s in result["transcript"]["segments"] for w in s["words"]]
    assert ears.asked == [("first", [0, 1]), ("aligner", [0, 1])]
    assert {w["source"] for w in words} == {"aligner"}
    assert [s for s in steps(result) if s[0] == "aligner"] == [("aligner", "accept", "aligned")]
