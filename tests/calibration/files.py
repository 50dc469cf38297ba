"""Small calibrations, as somebody would have fitted them."""

from datetime import UTC, datetime

from shared.domain.confidence import (
    LEVELS,
    Calibration,
    Counted,
    Domain,
    Feature,
    Platt,
    Provenance,
)

NONE = Counted(segments=0, texts=0, right=0)
IDENTITY = {"checkpoint": "first", "rules": "script/1"}


def fitted(*, fitted_for=None, language=None, intercept=0.0, coefficient=1.0):
    """sigmoid(intercept + coefficient * mean_logprob), seen from -2 to 2."""
    one = Feature(
        name="mean_logprob", low=-9, high=9, mean=0, scale=1, sign=1, coefficient=coefficient
    )
    quantiles = {"mean_logprob": tuple(-2.0 + 4.0 * level for level in LEVELS)}
    made = Provenance(
        fitted_at=datetime(2026, 11, 21, tzinfo=UTC),
        data="three sentences",
        train=NONE,
        calibration=NONE,
        test=NONE,
    )
    return Calibration(
        fitted_for=fitted_for or IDENTITY,
        language=language,
        features=(one,),
        intercept=intercept,
        map=Platt(a=1.0, b=0.0),
        provenance=made,
        domain=Domain(languages=("en",), quantiles=quantiles),
    )
