"""What a confidence is worth: is it honest (ECE, Brier), and does it tell right from wrong (AUROC).

Arrays have shape (n_segments,): `confidence` float64 in 0..1, `right` bool, `texts` any labels.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.domain.confidence import Figures, Interval

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Labels = NDArray[np.str_]
Statistic = Callable[[Floats, Bools], float]

#: Bins of equal mass for ECE: with the usual 15, bins of 2,000 segments hold too few for their
#: own noise (0.5 / sqrt(n)) to stay below the goal of 0.05.
BINS = 10
#: Bootstrap samples; the ends of a 95 % interval then rest on 25 of them each.
RESAMPLES = 1_000
#: 95 %.
TAILS = (2.5, 97.5)
SEED = 20261121


@dataclass(frozen=True, slots=True)
class Bin:
    """Segments of about the same confidence."""

    confidence: float  #: their mean
    right: float  #: share that was right
    segments: int


def reliability(confidence: Floats, right: Bools, bins: int = BINS) -> list[Bin]:
    """Bins of equal mass, least sure first; equal confidences share one, so there may be fewer."""
    ordered = np.sort(confidence)
    edges = ordered[[len(ordered) * n // bins for n in range(1, bins) if len(ordered)]]
    place = np.searchsorted(np.unique(edges), confidence, side="right")
    counts = np.bincount(place)
    promised, came = (np.bincount(place, weights=w) for w in (confidence, right))
    return [
        Bin(float(p / n), float(c / n), int(n))
        for p, c, n in zip(promised, came, counts, strict=True)
        if n
    ]


def ece(confidence: Floats, right: Bools, bins: int = BINS) -> float:
    """Expected calibration error: mean gap between what was promised and what came true.

    Naeini et al. 2015, section 3, with bins of equal mass (Nguyen & O'Connor 2015, section 4.1).
    """
    found = reliability(confidence, right, bins)
    gaps = sum(b.segments * abs(b.confidence - b.right) for b in found)
    return gaps / max(len(confidence), 1)


def brier(confidence: Floats, right: Bools) -> float:
    """Mean squared distance from what came true. Brier 1950."""
    return float(np.mean((confidence - right) ** 2))


def log_loss(confidence: Floats, right: Bools) -> float:
    """Mean negative log-probability of what came true, in nats."""
    kept = np.clip(np.where(right, confidence, 1.0 - confidence), 1e-12, 1.0)
    return float(-np.log(kept).mean())


def auroc(confidence: Floats, right: Bools) -> float:
    """Chance that a right segment has more confidence than a wrong one; a tie counts half.

    The Mann-Whitney statistic over midranks (Hanley & McNeil 1982). NaN if one of both is absent.
    """
    n_right, n_wrong = int(right.sum()), int((~right).sum())
    if not (n_right and n_wrong):
        return float("nan")
    _, place, counts = np.unique(confidence, return_inverse=True, return_counts=True)
    midranks = np.cumsum(counts) - (counts - 1) / 2.0
    above = midranks[place][right].sum() - n_right * (n_right + 1) / 2.0
    return float(above / (n_right * n_wrong))


def risk_coverage(confidence: Floats, right: Bools) -> tuple[Floats, Floats]:
    """(coverage, risk): share accepted and share of those that is wrong, surest first.

    One point a distinct confidence. El-Yaniv & Wiener 2010; Geifman & El-Yaniv 2017, section 2.
    """
    order = np.argsort(-confidence, kind="stable")
    ordered, wrong = confidence[order], np.cumsum(~right[order])
    last = np.flatnonzero(np.diff(ordered, append=-np.inf))  # of each run of equals
    accepted = last + 1.0
    return accepted / max(len(ordered), 1), wrong[last] / accepted


def aurc(confidence: Floats, right: Bools) -> float:
    """Area under the risk-coverage curve: mean risk over all coverages, 0 at best."""
    coverage, risk = risk_coverage(confidence, right)
    return float(np.sum(np.diff(coverage, prepend=0.0) * risk))


def interval(
    statistic: Statistic, confidence: Floats, right: Bools, texts: Labels, seed: int = SEED
) -> Interval:
    """The statistic and its 95 % percentile interval; texts are drawn whole, with replacement.

    Segments of a text share its words and errors, so drawing segments would make the interval
    too narrow (Efron & Tibshirani 1993, section 8; Field & Welsh 2007 for clusters). Samples in
    which the statistic is NaN are left out.
    """
    _, place = np.unique(texts, return_inverse=True)
    members = [np.flatnonzero(place == n) for n in range(place.max() + 1)]
    dice = np.random.default_rng(seed)
    found = []
    for _ in range(RESAMPLES):
        drawn = dice.integers(len(members), size=len(members))
        chosen = np.concatenate([members[n] for n in drawn])
        found.append(statistic(confidence[chosen], right[chosen]))
    low, high = np.nanpercentile(found, TAILS)
    return Interval(value=statistic(confidence, right), low=float(low), high=float(high))


def figures(confidence: Floats, right: Bools, texts: Labels) -> Figures:
    """Everything a file says of its own worth."""
    both = 0 < int(right.sum()) < len(right)
    return Figures(
        segments=len(right),
        texts=len(np.unique(texts)),
        right=float(right.mean()),
        ece=interval(ece, confidence, right, texts),
        auroc=interval(auroc, confidence, right, texts) if both else None,
        brier=brier(confidence, right),
        aurc=aurc(confidence, right),
    )
