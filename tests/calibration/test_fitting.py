"""Fitting, on examples whose truth is known."""

import random
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from local.calibration.fitting import (
    WEIGHED,
    About,
    Parted,
    confidences,
    fit,
    parted,
    rights,
)
from local.calibration.measures import auroc, ece
from shared.domain.confidence import Platt, Transform, parsed, written
from shared.errors import TooLittleToCalibrate
from tests.calibration.synthetic import drawn

WHEN = datetime(2026, 11, 21, tzinfo=UTC)
ABOUT = About({"checkpoint": "c"}, "en", "drawn from a formula", WHEN)


def three(n=1500, **extra):
    return Parted(*(drawn(n, seed=seed, **extra) for seed in (1, 2, 3)))


def weight(model, name):
    [found] = [f for f in model.features if f.name == name]
    return found.coefficient


def test_the_formula_that_made_the_labels_is_found():
    model = fit(three(4000), ABOUT)

    assert weight(model, "alignment_score") == pytest.approx(2.0, rel=0.15)
    assert weight(model, "mean_entropy") == pytest.approx(-1.0, rel=0.2)
    assert model.intercept == pytest.approx(0.5, abs=0.15)
    assert isinstance(model.map, Platt)
    assert model.map.a == pytest.approx(1.0, abs=0.15)


def test_what_was_never_seen_is_told_apart_and_honestly():
    parts = three()
    model = fit(parts, ABOUT)

    found, right = confidences(model, parts.test), rights(parts.test)

    assert auroc(found, right) > 0.85
    assert ece(found, right) < 0.05
    assert model.measured is not None
    assert model.measured.ece.value == pytest.approx(ece(found, right))


def test_a_figure_that_counts_the_wrong_way_is_held_at_nothing():
    """In this sample likelier texts are wrong; no sample makes us believe that of others."""
    model = fit(three(weights={"alignment_score": -1.5, "mean_entropy": -1.0}), ABOUT)

    assert weight(model, "alignment_score") == 0.0
    assert weight(model, "mean_entropy") < -0.5


def test_perfect_separation_gives_finite_weights():
    model = fit(three(labels=lambda _, z: z > 0), ABOUT)

    assert 0 < weight(model, "alignment_score") < 100
    assert 0.0 < model.confidence({"alignment_score": -9.0, "mean_entropy": 9.0}) < 0.01
    assert 0.99 < model.confidence({"alignment_score": 9.0, "mean_entropy": -9.0}) < 1.0


@pytest.mark.parametrize("always", [True, False], ids=["all right", "all wrong"])
def test_one_kind_alone_is_refused_and_told_what_is_missing(always):
    with pytest.raises(TooLittleToCalibrate, match=r"train part has .* it takes 20 of each"):
        fit(three(labels=lambda *_: always), ABOUT)


def test_segments_of_one_text_are_too_little():
    with pytest.raises(TooLittleToCalibrate, match="of 1 texts"):
        fit(three(texts=1), ABOUT)


def test_a_missing_figure_weighs_what_its_absence_tells():
    """An answer without a figure is wrong here: the flag learns it."""
    parts = Parted(
        *(
            [
                replace(e, right=False) if "alignment_score" not in e.signals else e
                for e in drawn(1500, seed=seed, missing=0.3)
            ]
            for seed in (1, 2, 3)
        )
    )

    model = fit(parts, ABOUT)

    assert model.confidence({"mean_entropy": 0.0}) < 0.05
    assert model.confidence({"mean_entropy": 0.0, "alignment_score": 0.0}) > 0.3
    assert model.domain.missing["alignment_score"] == pytest.approx(0.3, abs=0.05)


def test_a_figure_that_never_varies_is_left_out():
    fixed = [replace(e, signals={**e.signals, "speech_share": 1.0}) for e in drawn(1500)]

    model = fit(Parted(fixed, drawn(500, seed=2), []), ABOUT)

    assert {f.name for f in model.features} == {"alignment_score", "mean_entropy"}
    assert model.measured is None


def test_shuffled_labels_are_not_told_apart():
    """The goal beside A3: labels that mean nothing give AUROC 0.5 +/- 0.1 on unseen texts."""
    dice = random.Random(3)
    examples = drawn(3000, texts=200)
    labels = [e.right for e in examples]
    dice.shuffle(labels)
    shuffled = [replace(e, right=r) for e, r in zip(examples, labels, strict=True)]

    model = fit(parted(shuffled), ABOUT)

    assert model.measured is not None
    assert model.measured.auroc is not None
    assert model.measured.auroc.value == pytest.approx(0.5, abs=0.1)


def test_too_fast_and_too_slow_are_both_suspect():
    def speed(e, factor):
        return replace(e, signals={"words_per_s": 2.5 * factor}, right=0.5 < factor < 2)

    factors = np.exp(np.random.default_rng(4).normal(size=1500))
    made = [speed(e, float(f)) for e, f in zip(drawn(1500), factors, strict=True)]

    model = fit(Parted(made, made, made), ABOUT)

    sure = [model.confidence({"words_per_s": s}) for s in (0.4, 2.5, 15.0)]
    assert sure[0] < 0.1 < 0.9 < sure[1]
    assert sure[2] < 0.1


def test_a_longer_text_is_not_taken_for_one_that_repeats_itself():
    """Short sentences compress to 0.5 to 1.2; nothing is to be learned from that."""
    made = [
        replace(
            e, signals={**e.signals, "compression_ratio": 0.8 + 0.1 * e.signals["mean_entropy"]}
        )
        for e in drawn(1500)
    ]

    model = fit(Parted(made, made, []), ABOUT)

    assert "compression_ratio" not in {f.name for f in model.features}


def test_no_text_is_in_two_parts():
    parts = parted(drawn(500, texts=50))

    names = [{e.text for e in part} for part in (parts.train, parts.calibration, parts.test)]
    assert [len(n) for n in names] == [30, 10, 10]
    assert not (names[0] & names[1] | names[0] & names[2] | names[1] & names[2])


def test_the_same_examples_in_any_order_are_parted_alike():
    examples = drawn(200)

    one, other = parted(examples), parted(list(reversed(examples)))

    assert {e.text for e in one.test} == {e.text for e in other.test}


def test_the_same_examples_give_the_same_file():
    one, other = fit(three(300), ABOUT), fit(three(300), ABOUT)

    assert written(one) == written(other)
    assert parsed(written(one), "f") == one


def test_every_sign_that_is_promised_is_held():
    signals = dict.fromkeys(WEIGHED, 0.3)
    model = fit(three(weights=dict.fromkeys(WEIGHED, 0.4)), ABOUT)

    for feature in model.features:
        assert feature.coefficient * WEIGHED[feature.name][1] >= 0
        if WEIGHED[feature.name][0] is Transform.IDENTITY:
            more = model.confidence({**signals, feature.name: 0.9})
            assert (more - model.confidence(signals)) * feature.sign >= 0
