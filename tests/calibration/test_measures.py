"""Measures against cases counted by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.calibration.measures import (
    aurc,
    auroc,
    brier,
    ece,
    figures,
    interval,
    log_loss,
    reliability,
    risk_coverage,
)


def arrays(pairs):
    confidence, right = zip(*pairs, strict=True)
    return np.array(confidence, dtype=np.float64), np.array(right, dtype=np.bool_)


#: Surest first: right, right, wrong, right, wrong.
FIVE = arrays([(0.9, 1), (0.8, 1), (0.7, 0), (0.6, 1), (0.1, 0)])


def test_auroc_counts_the_pairs_in_order():
    """Of 3 x 2 pairs of right and wrong only (0.6 right, 0.7 wrong) is the wrong way round."""
    assert auroc(*FIVE) == pytest.approx(5 / 6)


def test_a_tie_counts_half():
    """Pairs: 0.5 > 0.5? tie; 0.5 > 0.2 yes; 0.9 > 0.5 yes; 0.9 > 0.2 yes."""
    assert auroc(*arrays([(0.5, 1), (0.5, 0), (0.9, 1), (0.2, 0)])) == pytest.approx(3.5 / 4)


def test_equal_confidences_tell_nothing():
    assert auroc(*arrays([(0.7, 1), (0.7, 0), (0.7, 1)])) == 0.5


def test_auroc_of_one_kind_alone_is_no_number():
    assert np.isnan(auroc(*arrays([(0.7, 1), (0.8, 1)])))


def test_ece_is_the_mean_gap_of_the_bins():
    """Two bins of two: 0.15 promised and 0.5 true; 0.85 promised and 1 true."""
    four = arrays([(0.1, 0), (0.2, 1), (0.8, 1), (0.9, 1)])

    assert ece(*four, bins=2) == pytest.approx((2 * 0.35 + 2 * 0.15) / 4)


def test_equal_confidences_share_a_bin():
    """All promised 0.8, and 4 of 5 are right: nothing is wrong with that, however they lie."""
    five = arrays([(0.8, 1), (0.8, 0), (0.8, 1), (0.8, 1), (0.8, 1)])

    assert [b.segments for b in reliability(*five)] == [5]
    assert ece(*five) == pytest.approx(0.0)


def test_bins_have_equal_mass():
    confidence = np.linspace(0.01, 1.0, 100) ** 3

    found = reliability(confidence, confidence > 0.5)

    assert [b.segments for b in found] == [10] * 10


def test_brier_and_log_loss_by_hand():
    two = arrays([(0.9, 1), (0.6, 0)])

    assert brier(*two) == pytest.approx((0.01 + 0.36) / 2)
    assert log_loss(*two) == pytest.approx(-(np.log(0.9) + np.log(0.4)) / 2)


def test_risk_by_coverage_is_counted_surest_first():
    coverage, risk = risk_coverage(*FIVE)

    assert coverage.tolist() == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert risk.tolist() == pytest.approx([0, 0, 1 / 3, 1 / 4, 2 / 5])
    assert aurc(*FIVE) == pytest.approx((0 + 0 + 1 / 3 + 1 / 4 + 2 / 5) / 5)


def test_equal_confidences_are_accepted_together():
    coverage, risk = risk_coverage(*arrays([(0.9, 0), (0.5, 1), (0.9, 1)]))

    assert coverage.tolist() == pytest.approx([2 / 3, 1.0])
    assert risk.tolist() == pytest.approx([1 / 2, 1 / 3])


pairs = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=2, max_size=60)


@given(pairs, st.randoms(use_true_random=False))
def test_measures_do_not_depend_on_the_order(found, dice):
    shuffled = dice.sample(found, len(found))

    for measure in (ece, brier, auroc, aurc):
        one, other = measure(*arrays(found)), measure(*arrays(shuffled))
        assert one == pytest.approx(other, nan_ok=True)


@given(pairs)
def test_auroc_of_the_opposite_is_the_rest(found):
    confidence, right = arrays([*found, (0.5, True), (0.25, False)])

    assert auroc(-confidence, right) + auroc(confidence, right) == pytest.approx(1)


def test_texts_are_drawn_whole():
    """Ten equal segments a text tell no more than one: the interval must not shrink."""
    dice = np.random.default_rng(5)
    right = dice.random(60) < 0.7
    confidence = np.full(60, 0.7)
    names = np.array([f"t{i}" for i in range(60)])
    one = interval(brier, confidence, right, names)

    ten = interval(brier, np.repeat(confidence, 10), np.repeat(right, 10), np.repeat(names, 10))

    assert ten.value == pytest.approx(one.value)
    assert ten.high - ten.low == pytest.approx(one.high - one.low, rel=0.15)


def test_shuffled_labels_tell_nothing():
    """The goal beside A3: no measure of ours finds order where there is none."""
    dice = np.random.default_rng(7)
    confidence, right = dice.random(2_000), dice.random(2_000) < 0.6
    names = np.array([f"t{i % 200}" for i in range(2_000)])

    found = figures(confidence, right, names)

    assert found.auroc is not None
    assert found.auroc.value == pytest.approx(0.5, abs=0.1)
    assert found.auroc.low < 0.5 < found.auroc.high
