"""A3: is confidence honest, and does it tell right from wrong? Engine by engine, on test."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from local.calibration.measures import (
    Bools,
    Floats,
    Labels,
    auroc,
    figures,
    reliability,
    risk_coverage,
)
from shared.domain.answers import Task
from shared.domain.confidence import Calibrations
from truth import answers, listening
from truth.corpus import LANGUAGES, Part
from truth.labelled import Labelled, error_rate, labelled

#: GOALS A3.
MOST_ECE, LEAST_AUROC, LEAST_SEGMENTS, LEAST_TEXTS = 0.05, 0.80, 2_000, 200
#: GOALS A3: what labels that mean nothing may seem to be worth.
CHANCE, CHANCE_WITHIN = 0.5, 0.1
#: Shares of the segments at which the risk is told.
COVERAGES = tuple(n / 10 for n in range(1, 11))
#: For shuffling labels.
SEED = 20261121


@dataclass(frozen=True, slots=True)
class Judged:
    """Segments with the probability that each is right; arrays of shape (n_segments,)."""

    segments: Sequence[Labelled]
    confidence: Floats
    right: Bools
    texts: Labels

    def where(self, chosen: Sequence[bool]) -> "Judged":
        mask = np.array(chosen, np.bool_)
        kept = [one for one, taken in zip(self.segments, chosen, strict=True) if taken]
        return Judged(kept, self.confidence[mask], self.right[mask], self.texts[mask])


def judged(engine: str, known: Calibrations) -> Judged:
    """The test part as the product would judge it, with the calibration it would take.

    Raises:
        LookupError: no calibration is for this engine as it answered.
    """
    about, _ = answers.read(listening.path(engine, Part.TEST))
    found = list(labelled(engine, Part.TEST).values())
    confidence = [_confidence(one, about.versions, known) for one in found]
    return Judged(
        found,
        np.array(confidence, np.float64),
        np.array([one.errors.right for one in found], np.bool_),
        np.array([one.text for one in found], np.str_),
    )


def measured(engine: str, known: Calibrations) -> dict[str, Any]:
    """All that the page says of one engine's confidence."""
    everything = judged(engine, known)
    spoken = [one.said.text.language for one in everything.segments]
    parts = {name: everything.where([s == name for s in spoken]) for name in LANGUAGES}
    return {
        "all": _figures(everything),
        "languages": {name: _figures(part) for name, part in parts.items() if part.segments},
        "with_text": _figures(everything.where([bool(o.heard.text) for o in everything.segments])),
        "shuffled_auroc": shuffled(everything),
        "risk_at_coverage": _risks(everything),
        "reliability": [
            {"confidence": _round(b.confidence), "right": _round(b.right), "segments": b.segments}
            for b in reliability(everything.confidence, everything.right)
        ],
        "conditions": _conditions(everything),
    }


def shuffled(found: Judged) -> float:
    """AUROC against labels that were dealt anew: what this measure finds in nothing."""
    dealt = np.random.default_rng(SEED).permutation(found.right)
    return _round(auroc(found.confidence, dealt))


def _confidence(one: Labelled, versions: Mapping[str, str], known: Calibrations) -> float:
    calibration = known.of(versions, Task.TRANSCRIBE, one.heard.language)
    if calibration is None:
        raise LookupError(f"no calibration is for {dict(versions)} in {one.heard.language}")
    return calibration.confidence(one.heard.signals)


def _figures(found: Judged) -> dict[str, Any]:
    worth = figures(found.confidence, found.right, found.texts)
    told = worth.model_dump(mode="json")
    return {**_rounded(told), "word_error_rate": _round(error_rate(found.segments))}


def _risks(found: Judged) -> list[dict[str, float]]:
    coverage, risk = risk_coverage(found.confidence, found.right)
    places = [int(np.searchsorted(coverage, share - 1e-9)) for share in COVERAGES]
    kept = [(coverage[min(n, len(risk) - 1)], risk[min(n, len(risk) - 1)]) for n in places]
    return [{"coverage": _round(c), "risk": _round(r)} for c, r in kept]


def _conditions(found: Judged) -> dict[str, dict[str, float]]:
    names = [one.said.condition.id for one in found.segments]
    parts = {name: found.where([n == name for n in names]) for name in sorted(set(names))}
    return {
        name: {
            "segments": len(part.segments),
            "right": _round(part.right.mean()),
            "confidence": _round(part.confidence.mean()),
        }
        for name, part in parts.items()
    }


def _rounded(told: Any) -> Any:
    if isinstance(told, dict):
        return {name: _rounded(value) for name, value in told.items()}
    return _round(told) if isinstance(told, float) else told


def _round(value: float) -> float:
    """To what the page prints, and what other processors' last digits do not change."""
    return round(float(value), 3)
