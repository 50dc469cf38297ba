from dataclasses import replace

import pytest

from shared.domain.answers import Answer, Task
from shared.domain.cascade import EVERY, Policy, Uncalibrated, Verdict, judge, weighed
from shared.domain.synthesis import Given, Synthesis

ACCEPT, ESCALATE, REVIEW = Verdict.ACCEPT, Verdict.ESCALATE, Verdict.REVIEW
MARK, ASK, LOOK = Uncalibrated.ACCEPT_AND_MARK, Uncalibrated.ESCALATE, Uncalibrated.REVIEW


def given(confidence=0.9, coverage=None, engine="e", task=Task.TRANSCRIBE, calibrated=True):
    answer = Answer(engine, task, "x", confidence=confidence, calibrated=calibrated)
    return Given(answer, coverage)


def raw(confidence, coverage=None):
    return given(confidence, coverage, calibrated=False)


def verdict(one, left, **policy):
    made = Policy(**policy)
    return judge(weighed(one, made), left, made)


@pytest.mark.parametrize(
    ("one", "left", "expected"),
    [
        (given(0.80), 1, (ACCEPT, "confident")),
        (given(0.80), 0, (ACCEPT, "confident")),
        (given(0.7999), 1, (ESCALATE, "low_confidence")),
        (given(0.7999), 0, (REVIEW, "low_confidence")),
        (given(0.0), 2, (ESCALATE, "low_confidence")),
    ],
)
def test_a_calibrated_answer_is_held_against_the_threshold(one, left, expected):
    assert verdict(one, left) == expected


@pytest.mark.parametrize(
    ("one", "left", "policy", "expected"),
    [
        (raw(0.10), 1, MARK, (ACCEPT, "uncalibrated")),
        (raw(0.99), 0, MARK, (ACCEPT, "uncalibrated")),
        (given(None), 1, MARK, (ACCEPT, "uncalibrated")),
        (raw(0.99), 1, ASK, (ESCALATE, "uncalibrated")),
        (raw(0.99), 0, ASK, (REVIEW, "uncalibrated")),
        (raw(0.99), 1, LOOK, (REVIEW, "uncalibrated")),
        (raw(0.99), 0, LOOK, (REVIEW, "uncalibrated")),
    ],
)
def test_a_raw_score_meets_no_threshold(one, left, policy, expected):
    assert verdict(one, left, uncalibrated=policy) == expected


@pytest.mark.parametrize(
    ("one", "left", "expected"),
    [
        (given(0.9, 0.99), 1, (ACCEPT, "confident")),
        (given(0.9, 0.9899), 1, (ESCALATE, "coverage")),
        (given(0.9, 0.9899), 0, (REVIEW, "coverage")),
        (given(0.1, 0.5), 1, (ESCALATE, "coverage")),
        (raw(0.9, 0.0), 1, (ESCALATE, "coverage")),
        (raw(0.9, 1.0), 1, (ACCEPT, "uncalibrated")),
    ],
)
def test_missing_words_come_before_confidence(one, left, expected):
    assert verdict(one, left) == expected


@pytest.mark.parametrize(("coverage", "expected"), [(0.5, ACCEPT), (0.4999, ESCALATE)])
def test_the_least_coverage_is_the_policys(coverage, expected):
    assert verdict(given(0.9, coverage), 1, min_coverage=0.5)[0] is expected


BARS = {Task.TRANSCRIBE: {"strict": 0.95, EVERY: 0.6}, Task.CLASSIFY: {"e": 0.5}}


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (given(0.95, engine="strict"), ACCEPT),
        (given(0.9499, engine="strict"), ESCALATE),
        (given(0.6, engine="other"), ACCEPT),
        (given(0.5999, engine="other"), ESCALATE),
        (given(0.5, task=Task.CLASSIFY), ACCEPT),
        (given(0.4999, task=Task.CLASSIFY), ESCALATE),
        (given(0.8, engine="other", task=Task.CLASSIFY), ACCEPT),
        (given(0.7999, engine="other", task=Task.CLASSIFY), ESCALATE),
        (given(0.8, task=Task.DESCRIBE), ACCEPT),
    ],
)
def test_thresholds_are_by_task_and_engine(one, expected):
    assert verdict(one, 1, accept_at=BARS)[0] is expected


def test_a_policy_is_named_by_all_of_it():
    one = Policy(accept_at=BARS, synthesis=Synthesis(weights={"a": 1.0, "b": 2.0}))
    same = Policy(
        accept_at=dict(reversed(BARS.items())), synthesis=Synthesis(weights={"b": 2.0, "a": 1.0})
    )
    others = [
        replace(one, min_coverage=0.5),
        replace(one, uncalibrated=ASK),
        replace(one, degrade_after_s={"high": 1.0}),
        replace(one, accept_at={}),
        replace(one, synthesis=Synthesis()),
    ]

    assert one.key == same.key
    assert len({one.key, *(p.key for p in others)}) == 6
