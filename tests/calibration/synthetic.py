"""Examples whose truth is known, because a formula decides it."""

import math

import numpy as np

from local.calibration.fitting import Example


def drawn(n, *, weights=None, intercept=0.5, texts=40, seed=1, missing=0.0, labels=None):
    """Figures from normals; right with the probability that `weights` say."""
    dice = np.random.default_rng(seed)
    weights = {"alignment_score": 2.0, "mean_entropy": -1.0} if weights is None else weights
    examples = []
    for i in range(n):
        signals = {name: float(dice.normal()) for name in weights}
        z = intercept + sum(w * signals[name] for name, w in weights.items())
        right = bool(dice.random() < 1 / (1 + math.exp(-z))) if labels is None else labels(i, z)
        kept = {name: x for name, x in signals.items() if dice.random() >= missing}
        examples.append(Example(f"t{i % texts}", kept, right, "en", f"v{i % 3}"))
    return examples
