"""Drift as whoever runs the service meets it: on /metrics, and once in the log."""

import logging
import random

from prometheus_client import CollectorRegistry

from gpu_service.measuring.drift import EVERY, DriftMeter
from shared.domain.answers import Answer, Task
from shared.domain.cascade import Decided, Decision, Verdict
from shared.domain.confidence import Calibrations
from shared.domain.drift import LEAST, LIMIT
from tests.calibration.files import fitted
from tests.flows.ears import SmallEars

LABELS = {"engine": "first", "feature": "mean_logprob"}


def heard(n, low, high, calibrated=True):
    dice = random.Random(n)
    answers = (
        Answer(
            "first",
            Task.TRANSCRIBE,
            signals={"mean_logprob": dice.uniform(low, high)},
            confidence=0.5,
            calibrated=calibrated,
        )
        for _ in range(n)
    )
    step = Decision(0, Task.TRANSCRIBE, "first", Verdict.ACCEPT, "confident")
    return [Decided(i, answer, (step,)) for i, answer in enumerate(answers)]


def meter():
    made, registry = DriftMeter(Calibrations((fitted(),)), SmallEars()), CollectorRegistry()
    registry.register(made)
    return made, lambda: registry.get_sample_value("earwitness_calibration_drift", LABELS)


def test_what_is_like_the_fitted_has_no_drift(caplog):
    made, told = meter()

    made.decided(heard(LEAST, -2.0, 2.0))

    assert told() < LIMIT
    assert caplog.records == []


def test_drift_is_told_and_warned_of_once(caplog):
    made, told = meter()

    with caplog.at_level(logging.WARNING):
        made.decided(heard(LEAST + 3 * EVERY, 3.0, 4.0))

    assert told() > LIMIT
    [line] = [r.getMessage() for r in caplog.records]
    assert "engine first" in line
    assert "mean_logprob" in line


def test_drift_that_ended_and_began_again_is_warned_of_again(caplog):
    made, _ = meter()

    for low, high in ((3.0, 4.0), (-2.0, 2.0), (3.0, 4.0)):
        made.decided(heard(600, low, high))

    assert len(caplog.records) == 2


def test_nobody_watches_what_nobody_calibrated():
    made, told = meter()

    made.decided(heard(LEAST, 3.0, 4.0, calibrated=False))

    assert told() is None
