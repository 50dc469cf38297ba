"""From an engine's raw figures to the probability that its text is right, by a fitted model."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from shared.domain.answers import Answer, Task
from shared.errors import InvalidCalibration

#: What is learned, and what `confidence` promises: at most this share of the words is wrong.
RIGHT_AT_MOST = 0.20
LABEL = f"word error <= {RIGHT_AT_MOST:.0%}"
#: Entries of an engine's versions that do not name the model and its rules: a new release of the
#: library is watched by the drift alarm, not a reason to be without confidence.
IMMATERIAL = frozenset({"library"})
#: Levels of the quantiles of each feature that a file keeps: ends, tails and deciles.
LEVELS = (0.0, 0.01, *(n / 10 for n in range(1, 10)), 0.99, 1.0)
#: Said of an answer one of whose figures lies outside everything seen while fitting.
OUTSIDE_DOMAIN = "confidence_outside_domain"
#: Smallest number a logarithm is taken of; float32 log-probabilities end above it.
TINY = 1e-6
#: Log-odds beyond which exp() gains nothing a reader could see, and nears its limit.
STEEPEST = 36.0

Finite = Annotated[float, Field(allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(ge=0)]


class Transform(StrEnum):
    """What is done to a raw figure before it is weighed."""

    IDENTITY = "identity"
    LOG = "log"
    LOGIT = "logit"  #: of a probability: 0.999 and 0.9999 are as far apart as 0.9 and 0.99
    ODDS = "odds"  #: of a log-probability: LOGIT of the probability it is the logarithm of
    DEVIATION = "deviation"  #: |log(x / typical)|: too fast is as suspect as too slow


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Feature(_Part):
    """One figure, how it is weighed, and what its absence weighs."""

    name: str
    """A key of `Answer.signals`."""
    transform: Transform = Transform.IDENTITY
    typical: Annotated[float, Field(gt=0.0)] | None = None
    """The value a DEVIATION is counted from: the median seen while fitting."""
    low: Finite
    """Transformed values below are taken for this one: nothing was learned beyond it."""
    high: Finite
    """Transformed values above are taken for this one."""
    mean: Finite
    """Of the transformed, bounded values seen while fitting; what is missing counts as this."""
    scale: Annotated[float, Field(gt=0.0)]
    """Their standard deviation."""
    sign: Literal[-1, 0, 1]
    """What the fit was held to: more of it never lowers (1) or never raises (-1) confidence."""
    coefficient: Finite
    """Log-odds a standard deviation."""
    missing: Finite = 0.0
    """Log-odds where the engine did not measure it."""

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.coefficient * self.sign < 0:
            raise ValueError(f"the coefficient of {self.name} goes against its own sign")
        if self.low > self.high:
            raise ValueError(f"the bounds of {self.name} are the wrong way round")
        if (self.typical is None) is (self.transform is Transform.DEVIATION):
            raise ValueError(f"{self.name}: a deviation, and nothing else, has a typical value")
        return self

    def log_odds(self, signals: Mapping[str, float]) -> float:
        value = measured(signals, self.name)
        if value is None:
            return self.missing
        bounded = min(max(self.transformed(value), self.low), self.high)
        return self.coefficient * (bounded - self.mean) / self.scale

    def transformed(self, value: float) -> float:
        return transformed(value, self.transform, self.typical)

    def unlike(self, side: int | None) -> bool:
        """Whether a figure on this side of all that was seen may be worth less than it says."""
        if side is None or self.transform is Transform.DEVIATION:
            return side != 0
        return side not in (0, self.sign)


class Platt(_Part):
    """sigmoid(a z + b) of the log-odds z. Platt 1999, "Probabilistic outputs", section 2.2."""

    kind: Literal["platt"] = "platt"
    a: NotNegative
    b: Finite

    def probability(self, log_odds: float) -> float:
        return sigmoid(self.a * log_odds + self.b)


class Beta(_Part):
    """sigmoid(a ln s - b ln(1 - s) + c), s = sigmoid(z). Kull et al. 2017, "Beta calibration",
    section 3: bends each end by its own amount. a, b >= 0 keep it rising."""

    kind: Literal["beta"] = "beta"
    a: NotNegative
    b: NotNegative
    c: Finite

    def probability(self, log_odds: float) -> float:
        z = min(max(log_odds, -STEEPEST), STEEPEST)
        # ln s = -ln(1 + e^-z), and -ln(1 - s) = ln(1 + e^z): neither loses digits near 0 or 1.
        return sigmoid(
            -self.a * math.log1p(math.exp(-z)) + self.b * math.log1p(math.exp(z)) + self.c
        )


class Counted(_Part):
    """How much a part of the data held."""

    segments: Count
    texts: Count
    """Of these many texts: segments of a text are not independent, and never in two parts."""
    right: Count
    """Segments whose text was right, by the label."""


class Provenance(_Part):
    """Where a file comes from."""

    fitted_at: AwareDatetime
    data: str
    """What was heard, in a sentence."""
    train: Counted
    calibration: Counted
    test: Counted
    voices: tuple[str, ...] = ()
    libraries: Mapping[str, str] = Field(default_factory=dict)
    """What fitted it: name and version."""


class Domain(_Part):
    """What was seen while fitting; the figures promise nothing beyond."""

    languages: tuple[str, ...]
    levels: tuple[Share, ...] = LEVELS
    quantiles: Mapping[str, tuple[Finite, ...]]
    """Of each raw figure at `levels`."""
    missing: Mapping[str, Share] = Field(default_factory=dict)
    """Share of segments on which a figure was not measured."""

    @model_validator(mode="after")
    def _rising(self) -> Self:
        for name, values in self.quantiles.items():
            if len(values) != len(self.levels) or list(values) != sorted(values):
                raise ValueError(f"the quantiles of {name} must rise, one for each level")
        return self

    def side(self, name: str, signals: Mapping[str, float]) -> int | None:
        """Where a figure lies: below (-1), among (0) or above (1) what was seen; None where it is
        missing and never was."""
        value, seen = measured(signals, name), self.quantiles.get(name)
        if seen is None:
            return 0
        if value is None:
            return None if self.missing.get(name) == 0.0 else 0
        return (value > seen[-1]) - (value < seen[0])


class Interval(_Part):
    """A figure and its 95 % bootstrap interval, texts drawn whole."""

    value: Finite
    low: Finite
    high: Finite


class Figures(_Part):
    """What the file was found to be worth on the test part."""

    segments: Count
    texts: Count
    right: Share
    """Share of segments whose text was right."""
    ece: Interval
    """Expected calibration error, bins of equal mass."""
    auroc: Interval | None
    """Chance that a right segment has more confidence than a wrong one; null if one is absent."""
    brier: Finite
    aurc: Finite
    """Area under the risk-coverage curve: mean share of wrong ones among the surest."""


class Calibration(_Part):
    """One file: what the raw figures of one engine, task and language are worth.

    It is for exactly the engine in `fitted_for`. Pure: the same figures always give the same
    confidence, and more of a figure with a sign never moves it the other way.
    """

    schema_: Literal["earwitness.calibration/v1"] = Field(
        default="earwitness.calibration/v1", alias="schema"
    )
    fitted_for: Mapping[str, str]
    """The entries of the engine's versions that name the model and its rules."""
    task: Task = Task.TRANSCRIBE
    language: Annotated[str, Field(pattern=r"^[a-z]{2,3}$")] | None = None
    """ISO 639-1; null where it is for every language that has no file of its own."""
    label: str = LABEL
    features: Annotated[tuple[Feature, ...], Field(min_length=1)]
    intercept: Finite
    map: Annotated[Platt | Beta, Field(discriminator="kind")]
    provenance: Provenance
    domain: Domain
    measured: Figures | None = None

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        populate_by_name=True,
        serialize_by_alias=True,
    )

    def confidence(self, signals: Mapping[str, float]) -> float:
        """Probability, 0 to 1, that the text these figures belong to is right (`label`)."""
        return self.map.probability(self.log_odds(signals))

    def log_odds(self, signals: Mapping[str, float]) -> float:
        """What the features say before the map is applied."""
        return self.intercept + sum(f.log_odds(signals) for f in self.features)

    def outside(self, signals: Mapping[str, float], language: str | None = None) -> tuple[str, ...]:
        """What of an answer is unlike everything seen while fitting, of all that counts here.

        A figure that is better than any seen is none of it: it is taken for the best one seen.
        """
        counts = [f for f in self.features if f.coefficient or f.missing]
        foreign = language is not None and language not in self.domain.languages
        unlike = (f.name for f in counts if f.unlike(self.domain.side(f.name, signals)))
        return (*unlike, *(("language",) if foreign else ()))

    @cached_property
    def digest(self) -> str:
        """Names the content; 12 hexadecimal digits, the same however the file is laid out."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]

    @property
    def scope(self) -> tuple[tuple[tuple[str, str], ...], Task, str | None]:
        """What it is for; of two files with the same one only one can be believed."""
        return material(self.fitted_for), self.task, self.language


@dataclass(frozen=True, slots=True)
class Calibrations:
    """Every file of one process; where two are for the same, the later one counts."""

    known: tuple[Calibration, ...] = ()

    def of(
        self, identity: Mapping[str, str], task: Task, language: str | None
    ) -> "Calibration | None":
        """The one for exactly this engine: of the language, else one for any; or None.

        `identity` is the engine's versions. Another checkpoint, type or set of rules has none.
        """
        wanted = material(identity)
        fits = {c.language: c for c in self.known if c.scope[:2] == (wanted, task)}
        return fits.get(language) or fits.get(None)

    @property
    def key(self) -> str:
        """Names them all, 12 hexadecimal digits."""
        every = ",".join(c.digest for c in self.known)
        return hashlib.sha256(every.encode()).hexdigest()[:12]

    def named(self, identity: Mapping[str, str]) -> str:
        """The digests of all that is known of an engine; empty where nothing is."""
        wanted = material(identity)
        found = {c.scope: c for c in self.known if c.scope[0] == wanted}
        return ",".join(sorted(f"{c.task}/{c.language or '*'}:{c.digest}" for c in found.values()))


def calibrated(answer: Answer, calibration: Calibration | None) -> Answer:
    """The answer with a probability for its confidence, or with none.

    Without a calibration nobody knows what the engine's own number is worth: it stays in
    `signals` where the engine put it, and the answer has no confidence. Words keep the engine's
    number: nothing is known of what it is worth, and a result does not show it.
    """
    if calibration is None:
        return replace(answer, confidence=None, calibrated=False)
    outside = calibration.outside(answer.signals, answer.language)
    said = (OUTSIDE_DOMAIN,) if outside and OUTSIDE_DOMAIN not in answer.cautions else ()
    return replace(
        answer,
        confidence=calibration.confidence(answer.signals),
        calibrated=True,
        cautions=(*answer.cautions, *said),
    )


def parsed(document: bytes | str, name: str) -> Calibration:
    """The calibration in a file; `name` is what the error calls it.

    Raises:
        InvalidCalibration: it is none of ours, damaged, or contradicts itself.
    """
    try:
        return Calibration.model_validate_json(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(p) for p in first["loc"]) or "the whole"
        raise InvalidCalibration(
            f"{name} is no calibration ({place}: {first['msg']}). Fit it again with"
            " `earwitness calibrate`, or remove the file.",
            file=name,
        ) from error


def apart(known: Sequence[tuple[str, Calibration]]) -> None:
    """Refuse files of one folder that are for the same engine, task and language.

    Raises:
        InvalidCalibration: which one should count is not for us to guess.
    """
    seen: dict[object, str] = {}
    for name, calibration in known:
        if (other := seen.setdefault(calibration.scope, name)) != name:
            raise InvalidCalibration(
                f"{other} and {name} are for the same engine, task and language. Remove one.",
                file=name,
            )


def written(calibration: Calibration) -> bytes:
    """The file, UTF-8 JSON."""
    return calibration.model_dump_json(indent=1).encode() + b"\n"


def material(identity: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """What of an engine's versions decides which calibration is its own."""
    return tuple(sorted((k, v) for k, v in identity.items() if k not in IMMATERIAL))


def measured(signals: Mapping[str, float], name: str) -> float | None:
    """A figure; what is no number was not measured."""
    value = signals.get(name)
    return None if value is None or math.isnan(value) else value


def transformed(value: float, how: Transform, typical: float | None = None) -> float:
    """The figure as it is weighed; beyond what floats can hold it is the nearest they can."""
    if how is Transform.IDENTITY:
        return value
    if how in (Transform.LOGIT, Transform.ODDS):
        likely = math.exp(min(value, 0.0)) if how is Transform.ODDS else value
        p = min(max(likely, TINY), 1.0 - TINY)
        return math.log(p / (1.0 - p))
    logarithm = math.log(max(value, TINY)) if value < math.inf else math.inf
    return logarithm if how is Transform.LOG else abs(logarithm - math.log(typical or 1.0))


def sigmoid(z: float) -> float:
    return 1.0 / (1.0 + math.exp(-min(max(z, -STEEPEST), STEEPEST)))
