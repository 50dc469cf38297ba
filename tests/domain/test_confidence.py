"""What raw figures are worth: a fitted file, read and applied."""

import json
import math
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.answers import Answer, Task, Word
from shared.domain.confidence import (
    LEVELS,
    OUTSIDE_DOMAIN,
    Beta,
    Calibration,
    Calibrations,
    Counted,
    Domain,
    Feature,
    Platt,
    Provenance,
    Transform,
    apart,
    calibrated,
    parsed,
    written,
)
from shared.errors import InvalidCalibration

TINY = {"checkpoint": "tiny.en", "revision": "r1", "dtype": "int8", "rules": "whisper/1"}
NONE = Counted(segments=0, texts=0, right=0)
WHEN = datetime(2026, 11, 21, tzinfo=UTC)


def feature(name="mean_logprob", sign=1, coefficient=1.0, **extra):
    given = {"low": -5.0, "high": 5.0, "mean": 0.0, "scale": 1.0, **extra}
    return Feature(name=name, sign=sign, coefficient=coefficient, **given)


def fitted(*features, intercept=0.0, language="en", fitted_for=TINY, shape=None, **extra):
    quantiles = tuple(-2.0 + 4.0 * level for level in LEVELS)
    return Calibration(
        fitted_for=fitted_for,
        language=language,
        features=features or (feature(),),
        intercept=intercept,
        map=shape or Platt(a=1.0, b=0.0),
        provenance=Provenance(fitted_at=WHEN, data="d", train=NONE, calibration=NONE, test=NONE),
        domain=Domain(languages=("en",), quantiles={"mean_logprob": quantiles}),
        **extra,
    )


def test_confidence_is_the_sum_of_weighed_figures_through_the_map():
    model = fitted(
        feature(mean=-1.0, scale=0.5, coefficient=2.0),
        feature("compression_ratio", -1, -0.5, mean=1.0),
        intercept=0.3,
        shape=Platt(a=0.9, b=-0.1),
    )

    found = model.confidence({"mean_logprob": -0.5, "compression_ratio": 2.0})

    log_odds = 0.3 + 2.0 * (-0.5 + 1.0) / 0.5 - 0.5 * (2.0 - 1.0)
    assert found == pytest.approx(1 / (1 + math.exp(-(0.9 * log_odds - 0.1))))


def test_beta_with_equal_slopes_is_platt():
    """Kull et al. 2017: with a = b the two are the same family."""
    one, other = Beta(a=0.7, b=0.7, c=0.2), Platt(a=0.7, b=0.2)

    for z in (-30.0, -2.0, 0.0, 0.5, 30.0):
        assert one.probability(z) == pytest.approx(other.probability(z))


@pytest.mark.parametrize("absent", [{}, {"mean_logprob": math.nan}], ids=["absent", "nan"])
def test_a_figure_that_was_not_measured_has_a_weight_of_its_own(absent):
    model = fitted(feature(missing=-1.5))

    assert model.log_odds(absent) == -1.5


@pytest.mark.parametrize(
    ("how", "typical", "value", "wanted"),
    [
        (Transform.IDENTITY, None, 0.4, 0.4),
        (Transform.LOG, None, math.e, 1.0),
        (Transform.LOG, None, 0.0, -5.0),
        (Transform.LOGIT, None, 0.5, 0.0),
        (Transform.LOGIT, None, 1.0, 5.0),
        (Transform.ODDS, None, math.log(0.5), 0.0),
        (Transform.ODDS, None, -math.inf, -5.0),
        (Transform.DEVIATION, 2.0, 2.0 * math.e, 1.0),
        (Transform.DEVIATION, 2.0, 2.0 / math.e, 1.0),
        (Transform.DEVIATION, 2.0, math.inf, 5.0),
        (Transform.IDENTITY, None, -math.inf, -5.0),
    ],
)
def test_a_figure_is_weighed_transformed_and_bounded(how, typical, value, wanted):
    model = fitted(feature(sign=0, transform=how, typical=typical))

    assert model.log_odds({"mean_logprob": value}) == pytest.approx(wanted)


anything = st.floats(allow_nan=True, allow_infinity=True)


@given(
    anything, anything, st.floats(-3, 3), st.sampled_from([Platt(a=3, b=1), Beta(a=2, b=0, c=1)])
)
def test_confidence_is_a_probability_whatever_comes(a, b, intercept, shape):
    model = fitted(feature(), feature("x", -1, -2.0), intercept=intercept, shape=shape)

    assert 0.0 <= model.confidence({"mean_logprob": a, "x": b}) <= 1.0


@given(
    st.floats(allow_nan=False),
    st.floats(allow_nan=False),
    st.sampled_from(list(Transform)[:4]),
    st.sampled_from([Platt(a=3, b=1), Beta(a=2, b=0.1, c=1), Beta(a=0, b=1, c=0)]),
    st.sampled_from([-1, 1]),
)
def test_confidence_follows_the_sign_of_each_figure(one, other, how, shape, sign):
    model = fitted(feature(sign=sign, coefficient=sign * 0.8, transform=how), shape=shape)
    less, more = (model.confidence({"mean_logprob": x}) for x in sorted((one, other)))

    assert (more - less) * sign >= 0.0


def test_a_file_is_read_as_it_was_written():
    model = fitted(feature("w", 0, 0.5, transform=Transform.DEVIATION, typical=2.5), language=None)

    again = parsed(written(model), "a.json")

    assert again == model
    assert again.digest == model.digest
    assert json.loads(written(model))["schema"] == "earwitness.calibration/v1"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda d: d.update(schema="earwitness.calibration/v9"), "schema"),
        (lambda d: d["features"][0].update(coefficient=-1.0), "sign"),
        (lambda d: d["features"][0].update(scale=0.0), "scale"),
        (lambda d: d["features"][0].update(low=6.0), "bounds"),
        (lambda d: d["features"][0].update(transform="deviation"), "typical"),
        (lambda d: d["map"].update(a=-1.0), "map"),
        (lambda d: d.update(features=[]), "features"),
        (lambda d: d["domain"]["quantiles"].update(x=[3.0, 1.0]), "quantiles"),
        (lambda d: d.update(surprise=1), "surprise"),
    ],
    ids=lambda c: c if isinstance(c, str) else "",
)
def test_a_file_that_contradicts_itself_is_refused_by_name(change, named):
    document = json.loads(written(fitted()))
    change(document)

    with pytest.raises(InvalidCalibration, match=r"mine\.json") as refused:
        parsed(json.dumps(document), "mine.json")

    assert named in str(refused.value)
    assert "earwitness calibrate" in str(refused.value)


def test_what_is_no_json_is_refused():
    with pytest.raises(InvalidCalibration, match="remove the file"):
        parsed(b"\x80\x04pickle", "mine.json")


def test_an_engine_has_the_calibration_of_exactly_its_model():
    model = fitted()
    known = Calibrations((model,))

    assert known.of(TINY | {"library": "new"}, Task.TRANSCRIBE, "en") is model
    assert known.of(TINY | {"dtype": "float32"}, Task.TRANSCRIBE, "en") is None
    assert known.of(TINY | {"checkpoint": "base"}, Task.TRANSCRIBE, "en") is None
    assert known.of(TINY | {"beam_size": "5"}, Task.TRANSCRIBE, "en") is None
    assert known.of(TINY, Task.DESCRIBE, "en") is None
    assert known.of(TINY, Task.TRANSCRIBE, "fr") is None


def test_a_language_without_a_file_of_its_own_has_the_one_for_any():
    english, every = fitted(), fitted(language=None)
    known = Calibrations((english, every))

    assert known.of(TINY, Task.TRANSCRIBE, "en") is english
    assert known.of(TINY, Task.TRANSCRIBE, "fr") is every
    assert known.of(TINY, Task.TRANSCRIBE, None) is every


def test_the_later_file_counts_and_is_the_one_that_is_named():
    shipped, own = fitted(), fitted(intercept=0.5)
    known = Calibrations((shipped, own))

    assert known.of(TINY, Task.TRANSCRIBE, "en") is own
    assert known.named(TINY) == f"transcribe/en:{own.digest}"
    assert known.named(TINY | {"dtype": "x"}) == ""


def test_two_files_for_the_same_in_one_folder_are_refused():
    with pytest.raises(InvalidCalibration, match=r"a\.json and b\.json"):
        apart([("a.json", fitted()), ("b.json", fitted(intercept=1.0))])


def test_a_calibrated_answer_has_a_probability():
    answer = Answer("tiny", Task.TRANSCRIBE, "so", signals={"mean_logprob": 1.0}, confidence=0.2)

    found = calibrated(answer, fitted())

    assert (found.confidence, found.calibrated) == (pytest.approx(0.7310586), True)
    assert found.cautions == ()


def test_an_answer_outside_what_was_fitted_says_so_once():
    answer = Answer("tiny", Task.TRANSCRIBE, "so", signals={"mean_logprob": -2.01})

    once = calibrated(answer, fitted())

    assert once.cautions == (OUTSIDE_DOMAIN,)
    assert calibrated(once, fitted()) == once


def test_a_language_nobody_fitted_for_is_outside():
    answer = Answer("tiny", Task.TRANSCRIBE, "so", language="fr", signals={"mean_logprob": 1.0})

    assert calibrated(answer, fitted()).cautions == (OUTSIDE_DOMAIN,)
    assert calibrated(replace(answer, language="en"), fitted()).cautions == ()


def test_what_does_not_count_is_outside_of_nothing():
    idle = fitted(feature(coefficient=0.0), feature("x"))

    assert idle.outside({"mean_logprob": 99.0, "x": 0.0}) == ()
    assert fitted().outside({"mean_logprob": -99.0}) == ("mean_logprob",)


@pytest.mark.parametrize(("sign", "outside"), [(1, [-2.01]), (-1, [2.01]), (0, [-2.01, 2.01])])
def test_better_than_all_that_was_seen_is_not_outside(sign, outside):
    known = fitted(feature(sign=sign, coefficient=1.0 if sign >= 0 else -1.0))

    found = [x for x in (-2.01, -2.0, 2.0, 2.01) if known.outside({"mean_logprob": x})]

    assert found == outside


def test_a_deviation_has_no_better_side():
    known = fitted(feature(sign=-1, coefficient=-1.0, transform="deviation", typical=1.0))

    assert [x for x in (-2.01, 0.5, 2.01) if known.outside({"mean_logprob": x})] == [-2.01, 2.01]


def test_a_figure_that_was_never_missing_is_outside_where_it_is():
    domain = fitted().domain.model_copy(update={"missing": {"mean_logprob": 0.0}})
    known = fitted().model_copy(update={"domain": domain})

    assert known.outside({}) == ("mean_logprob",)
    assert fitted().outside({}) == ()


def test_nobody_knows_what_an_uncalibrated_score_is_worth():
    words = (Word(0.0, 1.0, "so", 0.4),)
    answer = Answer("tiny", Task.TRANSCRIBE, "so", confidence=0.99, words=words)

    found = calibrated(answer, None)

    assert (found.confidence, found.calibrated, found.words) == (None, False, words)
