"""examples -> weights on train, each held to its sign -> a map on calibration -> worth on test."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version
from itertools import chain
from math import isfinite

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from local.calibration.measures import figures, log_loss
from shared.domain.answers import Task
from shared.domain.confidence import (
    LEVELS,
    Beta,
    Calibration,
    Counted,
    Domain,
    Feature,
    Platt,
    Provenance,
    Transform,
    measured,
    transformed,
)
from shared.errors import TooLittleToCalibrate

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Bounds = Sequence[tuple[float | None, float | None]]

#: What is weighed: how it is transformed, and which way it may count. A text that an engine finds
#: likelier, that aligns better, that another engine confirms and that lies in speech is never
#: less right for it; a text that repeats itself, hesitates or hurries is never more.
#: Log-probabilities are weighed as log-odds: as they are, -0.02 and -0.007 are next to each other,
#: and nothing is ever surer than 0.95 (log loss of whisper-base and tiny.en in English, train and
#: calibration part by the other: 1.585 as they are, 1.582 as odds).
WEIGHED: Mapping[str, tuple[Transform, int]] = {
    "mean_logprob": (Transform.ODDS, 1),
    "min_window_logprob": (Transform.ODDS, 1),
    "min_word_logprob": (Transform.ODDS, 1),
    "mean_entropy": (Transform.IDENTITY, -1),
    "alignment_score": (Transform.IDENTITY, 1),
    "no_speech_probability": (Transform.LOGIT, -1),
    "language_probability": (Transform.LOGIT, 1),
    "compression_ratio": (Transform.IDENTITY, -1),
    "speech_share": (Transform.IDENTITY, 1),
    "words_per_s": (Transform.DEVIATION, -1),
    "agreement": (Transform.IDENTITY, 1),
}
#: What a figure is at least taken for. Ordinary text compresses better the longer it is: 8 words
#: to 0.8, half a minute of speech to 1.8. Only what repeats itself goes beyond 2 (Whisper's bar is
#: 2.4), and a fit to short sentences must not learn that long ones are wrong.
AT_LEAST = {"compression_ratio": 2.0}
#: Strengths of the L2 penalty that are tried, on weights of standardised features. The least of
#: them keeps the weights finite where right and wrong are perfectly apart.
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)
#: Parts of the cross-validation; whole texts in each.
FOLDS = 5
#: Fewest of each kind in train, and in calibration: ten events for a free parameter of the map,
#: and the rule of thumb of ten a weighed feature holds with the penalty's help (Peduzzi 1996).
LEAST_TRAIN, LEAST_CALIBRATION = 20, 10
#: Fewest texts in train and in calibration: fewer cannot be parted FOLDS ways.
LEAST_TEXTS = FOLDS
#: How texts are dealt out: to train (0), calibration (1) and test (2).
PARTS = (0, 1, 0, 2, 0)
#: Share of train on which a figure must be missing, or there, for either to be learned from.
LEAST_SHARE = 0.02
SEED = 20261121


@dataclass(frozen=True, slots=True)
class Example:
    """One segment, heard and compared with what was said."""

    text: str  #: names the text it comes from; all of a text are in one part
    signals: Mapping[str, float]
    right: bool
    language: str = ""
    voice: str = ""


@dataclass(frozen=True, slots=True)
class Parted:
    """Examples in three parts; no text is in two."""

    train: Sequence[Example]
    calibration: Sequence[Example]
    test: Sequence[Example]


@dataclass(frozen=True, slots=True)
class About:
    """What a file says of itself besides numbers."""

    fitted_for: Mapping[str, str]
    language: str | None
    data: str
    fitted_at: datetime
    task: Task = Task.TRANSCRIBE
    weighed: Mapping[str, tuple[Transform, int]] = field(default_factory=lambda: WEIGHED)


def fit(parts: Parted, about: About) -> Calibration:
    """The calibration, with what it is worth on the test part.

    The same examples always give the same file.

    Raises:
        TooLittleToCalibrate: a part holds too few texts, or too few right or wrong segments, or
            no figure tells them apart.
    """
    _enough("train", parts.train, LEAST_TRAIN)
    _enough("calibration", parts.calibration, LEAST_CALIBRATION)
    found = (_blank(name, *how, parts.train) for name, how in about.weighed.items())
    blank = [feature for feature in found if feature]
    if not blank:
        raise TooLittleToCalibrate(
            "The engine gave no figures that differ from segment to segment, so there is nothing"
            " to learn from. Calibrate one that gives log-probabilities."
        )
    features = _weighed(blank, parts.train)
    raw = Calibration(
        fitted_for=dict(about.fitted_for),
        task=about.task,
        language=about.language,
        features=tuple(features[0]),
        intercept=features[1],
        map=Platt(a=1.0, b=0.0),
        provenance=_provenance(parts, about),
        domain=_domain(parts.train, [f.name for f in blank]),
    )
    mapped = raw.model_copy(update={"map": _map(raw, parts.calibration)})
    return mapped.model_copy(update={"measured": _worth(mapped, parts.test)})


def confidences(model: Calibration, examples: Sequence[Example]) -> Floats:
    return np.array([model.confidence(e.signals) for e in examples], dtype=np.float64)


def rights(examples: Sequence[Example]) -> Bools:
    return np.array([e.right for e in examples], dtype=np.bool_)


def texts(examples: Sequence[Example]) -> NDArray[np.str_]:
    return np.array([e.text for e in examples], dtype=np.str_)


def parted(examples: Sequence[Example], seed: int = SEED) -> Parted:
    """60, 20 and 20 % of the texts, drawn by `seed`; the same for any order of the examples.

    Texts are dealt out in the order of how much of them is right, so that a small set does not
    leave a part without right or wrong ones.
    """
    names = sorted({e.text for e in examples})
    np.random.default_rng(seed).shuffle(names)
    right = {n: [e.right for e in examples if e.text == n] for n in names}
    names.sort(key=lambda n: sum(right[n]) / len(right[n]))
    places = {name: PARTS[n % len(PARTS)] for n, name in enumerate(names)}
    return Parted(*([e for e in examples if places[e.text] == part] for part in range(3)))


def _enough(part: str, examples: Sequence[Example], least: int) -> None:
    right, wrong = sum(e.right for e in examples), sum(not e.right for e in examples)
    names = len({e.text for e in examples})
    if min(right, wrong) >= least and names >= LEAST_TEXTS:
        return
    raise TooLittleToCalibrate(
        f"The {part} part has {right} right and {wrong} wrong segments of {names} texts; it takes"
        f" {least} of each, of {LEAST_TEXTS} texts. Add recordings, also ones that are hard to"
        " hear.",
        part=part,
        right=right,
        wrong=wrong,
    )


def _blank(name: str, transform: Transform, sign: int, train: Sequence[Example]) -> Feature | None:
    """The feature without weights, scaled as in train; None where there is nothing to learn."""
    known = [x for e in train if (x := measured(e.signals, name)) is not None]
    if len(known) < LEAST_SHARE * len(train):
        return None
    deviates = transform is Transform.DEVIATION
    middle = float(np.median(known))
    typical = middle if deviates and middle > 0 else 1.0 if deviates else None
    values = np.array([transformed(x, transform, typical) for x in known])
    ends = np.percentile(values, (1, 99))
    low, high = (max(float(x), AT_LEAST.get(name, -np.inf)) for x in ends)
    bounded = np.clip(values, low, high)
    scale = float(bounded.std())
    if not (isfinite(low) and isfinite(high) and scale > 1e-9):
        return None
    return Feature.model_validate(
        {
            "name": name,
            "transform": transform,
            "typical": typical,
            "low": low,
            "high": high,
            "mean": float(bounded.mean()),
            "scale": scale,
            "sign": sign,
            "coefficient": 0.0,
        }
    )


def _weighed(blank: Sequence[Feature], train: Sequence[Example]) -> tuple[list[Feature], float]:
    """Features with weights, and the intercept; strength by cross-validation over texts."""
    x, flagged = _matrix(blank, train)
    y, groups = rights(train), texts(train)
    held = [_held(f.sign) for f in blank] + [(None, None)] * len(flagged)

    def predicted(strength: float) -> Callable[[Floats, Bools], Callable[[Floats], Floats]]:
        return lambda some_x, some_y: _line(_logistic(some_x, some_y, held, strength))

    strength = min(STRENGTHS, key=lambda s: cross_validated(predicted(s), x, y, groups))
    w = _logistic(x, y, held, strength)
    missing = dict(zip(flagged, w[len(blank) : -1], strict=True))
    return [
        f.model_copy(update={"coefficient": float(c), "missing": float(missing.get(f.name, 0.0))})
        for f, c in zip(blank, w, strict=False)
    ], float(w[-1])


def _held(sign: int) -> tuple[float | None, float | None]:
    return (0.0 if sign > 0 else None), (0.0 if sign < 0 else None)


def _matrix(blank: Sequence[Feature], train: Sequence[Example]) -> tuple[Floats, list[str]]:
    """(n_examples, n_features + n_flags): standardised figures, then a flag where one is missing.

    Features that are never, or hardly ever, missing have no flag.
    """
    unit = [f.model_copy(update={"coefficient": 1.0, "sign": 0, "missing": 0.0}) for f in blank]
    absent = np.array([[measured(e.signals, f.name) is None for f in blank] for e in train])
    flags = [n for n in range(len(blank)) if absent[:, n].mean() >= LEAST_SHARE]
    values = np.array([[f.log_odds(e.signals) for f in unit] for e in train])
    return np.hstack([values, absent[:, flags]]), [blank[n].name for n in flags]


def _logistic(x: Floats, y: Bools, held: Bounds, strength: float) -> Floats:
    """Weights, then the intercept, that make `y` likeliest, within bounds; L2 on the weights.

    Byrd et al. 1995 (L-BFGS-B). The loss is convex: one start finds the one minimum.
    """
    signs = np.where(y, 1.0, -1.0)

    def loss(w: Floats) -> tuple[float, Floats]:
        margins = signs * (x @ w[:-1] + w[-1])
        pull = -signs * np.exp(-np.logaddexp(0.0, margins))
        gradient = np.append(x.T @ pull / len(y) + strength * w[:-1], pull.mean())
        value = np.logaddexp(0.0, -margins).mean() + strength / 2.0 * (w[:-1] @ w[:-1])
        return float(value), gradient

    start = np.zeros(x.shape[1] + 1)
    options = {"maxiter": 1_000, "ftol": 1e-12, "gtol": 1e-8}
    bounds = [*held, (None, None)]
    # It asks BLAS about vectors of ten numbers, and threads that wake for those take 200 times
    # as long as the work (6 ms a step on a busy machine).
    with threadpool_limits(1):
        found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return np.asarray(found.x, dtype=np.float64)


def _line(w: Floats) -> Callable[[Floats], Floats]:
    return lambda x: np.asarray(1.0 / (1.0 + np.exp(-(x @ w[:-1] + w[-1]))), dtype=np.float64)


def cross_validated(
    learn: Callable[[Floats, Bools], Callable[[Floats], Floats]],
    x: Floats,
    y: Bools,
    groups: NDArray[np.str_],
) -> float:
    """Log loss on texts that were not learned from, FOLDS ways; infinite where none can be."""
    _, place = np.unique(groups, return_inverse=True)
    fold = np.random.default_rng(SEED).permutation(place.max() + 1)[place] % FOLDS
    found = np.empty(len(y))
    for n in range(FOLDS):
        out = fold == n
        if not 0 < y[~out].sum() < (~out).sum():
            return float("inf")
        found[out] = learn(x[~out], y[~out])(x[out])
    return log_loss(found, y)


def _map(raw: Calibration, examples: Sequence[Example]) -> Platt | Beta:
    """The one of both that does better on texts it has not seen; Platt, with less to learn, on a
    tie."""
    z = np.array([raw.log_odds(e.signals) for e in examples], dtype=np.float64)
    y, groups = rights(examples), texts(examples)
    one, two = z[:, None], _ends(z)
    platt, beta = (
        cross_validated(lambda a, b: _line(_rising(a, b)), x, y, groups) for x in (one, two)
    )
    w = _rising(one, y) if platt <= beta else _rising(two, y)
    known = [float(v) for v in w]
    return (
        Platt(a=known[0], b=known[1])
        if platt <= beta
        else Beta(**dict(zip("abc", known, strict=True)))
    )


def _ends(z: Floats) -> Floats:
    """(n, 2): ln s and -ln(1 - s) of s = sigmoid(z), which the beta map weighs apart."""
    return np.column_stack([-np.logaddexp(0.0, -z), np.logaddexp(0.0, z)])


def _rising(x: Floats, y: Bools) -> Floats:
    # Hardly any penalty: a map has at most three parameters, and what bends it must be seen.
    return _logistic(x, y, [(0.0, None)] * x.shape[1], STRENGTHS[0])


def _worth(model: Calibration, test: Sequence[Example]) -> object:
    return figures(confidences(model, test), rights(test), texts(test)) if test else None


def _provenance(parts: Parted, about: About) -> Provenance:
    everyone = chain(parts.train, parts.calibration, parts.test)
    return Provenance(
        fitted_at=about.fitted_at,
        data=about.data,
        train=_counted(parts.train),
        calibration=_counted(parts.calibration),
        test=_counted(parts.test),
        voices=tuple(sorted({e.voice for e in everyone if e.voice})),
        libraries={name: version(name) for name in ("numpy", "scipy")},
    )


def _counted(examples: Sequence[Example]) -> Counted:
    return Counted(
        segments=len(examples),
        texts=len({e.text for e in examples}),
        right=sum(e.right for e in examples),
    )


def _domain(train: Sequence[Example], names: Sequence[str]) -> Domain:
    known = {n: [x for e in train if (x := measured(e.signals, n)) is not None] for n in names}
    return Domain(
        languages=tuple(sorted({e.language for e in train if e.language})),
        quantiles={n: tuple(float(q) for q in np.quantile(x, LEVELS)) for n, x in known.items()},
        missing={n: 1.0 - len(x) / len(train) for n, x in known.items()},
    )
