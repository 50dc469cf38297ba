"""A4: where nobody speaks, nothing is written."""

from collections.abc import Sequence
from typing import Any

from scipy.stats import binomtest

from truth import answers, listening, plan
from truth.answers import Heard

#: GOALS A4.
LEAST_EMPTY = 0.98
#: Of the interval.
CONFIDENCE_LEVEL = 0.95


def measured(engine: str) -> dict[str, Any]:
    """Share of silences, tones, beeps, chords and noises to which the engine wrote nothing."""
    _, heard = answers.read(listening.path(engine, listening.OTHERS))
    kinds = {one.id: one.kind for one in plan.other_sounds()}
    known = {kind: [h for h in heard.values() if kinds[h.id] == kind] for kind in kinds.values()}
    return {"all": _empty(list(heard.values()))} | {k: _empty(found) for k, found in known.items()}


def _empty(heard: Sequence[Heard]) -> dict[str, Any]:
    """n, share and its interval by Clopper and Pearson (1934), which holds at 0 and 1 too."""
    empty = sum(not one.text for one in heard)
    between = binomtest(empty, len(heard)).proportion_ci(CONFIDENCE_LEVEL, method="exact")
    share, low, high = (round(float(x), 3) for x in (empty / len(heard), *between))
    return {"segments": len(heard), "empty": share, "low": low, "high": high}
