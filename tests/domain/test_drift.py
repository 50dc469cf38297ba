"""Drift: nothing where nothing changed, and an alarm where it did."""

import math
import random

import pytest

from shared.domain.confidence import LEVELS, Domain
from shared.domain.drift import LEAST, LIMIT, WINDOW, Window, drifted, stability
from tests.calibration.files import fitted


def domain(values, missing=0.0):
    ordered = sorted(values)
    quantiles = tuple(ordered[min(int(level * len(ordered)), len(ordered) - 1)] for level in LEVELS)
    return Domain(languages=(), quantiles={"x": quantiles}, missing={"x": missing})


def normal(n, mean=0.0, seed=1):
    dice = random.Random(seed)
    return [dice.gauss(mean, 1.0) for _ in range(n)]


def test_the_index_is_that_of_two_bins_by_hand():
    """Half below the median then, all of it now: (1 - .5) ln 2 + (0 - .5) ln(0 / .5), smoothed."""
    flat = Domain(
        languages=(),
        levels=(0.0, 0.5, 1.0),
        quantiles={"x": (0.0, 1.0, 2.0)},
    )

    found = stability([0.5] * 100, flat, "x")

    # Three bins: below and above the median, and missing, with half a count each.
    then = [s / (0.5 + 0.5 + 0.001) for s in (0.5, 0.5, 0.001)]
    now = [100.5 / 101.5, 0.5 / 101.5, 0.5 / 101.5]
    assert found == pytest.approx(
        sum((n - t) * math.log(n / t) for n, t in zip(now, then, strict=True))
    )


def test_more_of_the_same_is_no_drift():
    assert stability(normal(WINDOW, seed=2), domain(normal(1000)), "x") < LIMIT / 2


@pytest.mark.parametrize("n", [LEAST, WINDOW])
def test_a_shift_by_a_deviation_is_drift(n):
    assert stability(normal(n, mean=1.0, seed=2), domain(normal(1000)), "x") > LIMIT


def test_a_figure_that_goes_missing_is_drift():
    known = domain(normal(1000), missing=0.05)
    now = [None if i % 2 else x for i, x in enumerate(normal(WINDOW, seed=2))]

    assert stability(now, known, "x") > LIMIT
    assert (
        stability([None if i % 20 == 0 else x for i, x in enumerate(now[::2])], known, "x") < LIMIT
    )


def test_equal_values_are_one_bin():
    """Most languages are told apart for certain: 0.99 and up to the median and beyond."""
    known = domain([0.5] * 300 + [1.0] * 700)

    assert stability([0.5] * 150 + [1.0] * 350, known, "x") < 0.1
    assert stability([0.5] * 350 + [1.0] * 150, known, "x") > LIMIT


def test_too_few_answers_are_not_judged():
    window = Window(fitted())
    window.recent.extend({"mean_logprob": 9.0} for _ in range(LEAST - 1))

    assert window.drift() == {}
    window.recent.append({"mean_logprob": 9.0})
    assert drifted(window.drift()) == ("mean_logprob",)


def test_only_the_latest_count():
    window = Window(fitted())
    window.recent.extend({"mean_logprob": 9.0} for _ in range(WINDOW))
    dice = random.Random(1)
    window.recent.extend({"mean_logprob": dice.uniform(-2, 2)} for _ in range(WINDOW))

    assert drifted(window.drift()) == ()
