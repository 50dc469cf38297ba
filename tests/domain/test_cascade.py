import pytest

from shared.domain.answers import Answer, Task
from shared.domain.cascade import Policy, Uncalibrated, Verdict, better, judge


def answer(confidence=0.9, calibrated=True, text="x"):
    return Answer("e", Task.TRANSCRIBE, text, confidence=confidence, calibrated=calibrated)


@pytest.mark.parametrize(
    ("given", "left", "policy", "expected"),
    [
        (answer(0.80), 1, "accept-and-mark", (Verdict.ACCEPT, "confident")),
        (answer(0.79), 1, "accept-and-mark", (Verdict.ESCALATE, "low_confidence")),
        (answer(0.79), 0, "accept-and-mark", (Verdict.REVIEW, "low_confidence")),
        (answer(0.10, False), 1, "accept-and-mark", (Verdict.ACCEPT, "uncalibrated")),
        (answer(None), 1, "accept-and-mark", (Verdict.ACCEPT, "uncalibrated")),
        (answer(0.99, False), 1, "escalate", (Verdict.ESCALATE, "uncalibrated")),
        (answer(0.99, False), 0, "escalate", (Verdict.REVIEW, "uncalibrated")),
        (answer(0.99, False), 1, "review", (Verdict.REVIEW, "uncalibrated")),
    ],
)
def test_judge(given, left, policy, expected):
    assert judge(given, left, Policy(uncalibrated=Uncalibrated(policy))) == expected


def test_the_more_confident_answer_is_kept_and_the_later_on_a_tie():
    low, high, tie = answer(0.3), answer(0.5), answer(0.5, text="later")

    assert better(None, low) is low
    assert better(low, high) is high
    assert better(high, low) is high
    assert better(high, tie) is tie
