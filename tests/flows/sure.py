"""A calibration whose confidence is the one number a test wants: the logistic of one figure."""

import math
from collections.abc import Mapping

from shared.domain.answers import Task
from shared.domain.confidence import (
    Calibration,
    Calibrations,
    Counted,
    Domain,
    Feature,
    Platt,
    Provenance,
)
from tests.builders import NOW

NONE = Counted(segments=0, texts=0, right=0)


def sure(*engines: str, task: Task = Task.TRANSCRIBE) -> Calibrations:
    """For these engines of `SmallEars`."""
    made = ({"checkpoint": engine, "rules": "script/1"} for engine in engines)
    return Calibrations(tuple(sure_of(identity, task) for identity in made))


def figures(confidence: float) -> dict[str, float]:
    """The signals that `sure` makes this confidence of, to 12 digits."""
    return {"mean_logprob": math.log(confidence / (1.0 - confidence))}


def sure_of(
    identity: Mapping[str, str], task: Task, figure_of: str = "mean_logprob"
) -> Calibration:
    """For the engine of these versions."""
    figure = Feature(
        name=figure_of, low=-30.0, high=30.0, mean=0.0, scale=1.0, sign=1, coefficient=1.0
    )
    return Calibration(
        fitted_for=identity,
        task=task,
        features=(figure,),
        intercept=0.0,
        map=Platt(a=1.0, b=0.0),
        provenance=Provenance(fitted_at=NOW, data="none", train=NONE, calibration=NONE, test=NONE),
        domain=Domain(languages=("en",), quantiles={}),
    )
