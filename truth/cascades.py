"""A real cascade on real weights: Whisper tiny.en first, Whisper base where its confidence is low.

The product's own flow (`shared.flows.ask`) goes down the engines; they say what they said when
they were asked for the set.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from local.calibration.measures import RESAMPLES, TAILS
from shared.domain.answers import Answer, Task
from shared.domain.cascade import ACCEPT_AT, Policy
from shared.domain.confidence import Calibrations
from shared.domain.prices import Terms
from shared.domain.sound import Facts, Quality, Segment, Survey
from shared.flows.ask import Ask
from shared.ports import Said
from truth import answers, listening
from truth.answers import Heard
from truth.corpus import Part
from truth.labelled import Labelled, labelled

FIRST, SECOND = "whisper-tiny.en", "whisper-base"
#: Issue of the cascade: points of word error by which the second engine must be better for there
#: to be a gain worth keeping; least share of it kept, most segments escalated.
LEAST_GAIN, LEAST_KEPT, MOST_ESCALATED = 0.03, 0.90, 0.50
#: For the bootstrap.
SEED = 20261121

Counts = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Replayed:
    """Implements `Hearing` over answers that were given before: a segment is an utterance."""

    survey: Survey
    said: Mapping[str, Sequence[Heard]]  #: by engine, in the order of the segments
    versions: Mapping[str, Mapping[str, str]]

    def ask(
        self, engine: str, task: Task, segments: Sequence[Segment], said: Sequence[Said] = ()
    ) -> list[Answer]:
        return [_answer(engine, task, self.said[engine][s.index]) for s in segments]

    def terms(self, engine: str, task: Task) -> Terms | None:
        return None

    def suits(self, engine: str, segment: Segment, language: str | None) -> bool:
        return engine in self.said

    def identity(self, engine: str) -> Mapping[str, str]:
        return self.versions[engine]


@dataclass(frozen=True, slots=True)
class Raced:
    """Segments that both engines heard, and what became of each."""

    first: Sequence[Labelled]
    second: Sequence[Labelled]
    escalated: NDArray[np.bool_]
    stood: NDArray[np.bool_]  #: the second engine's answer stands

    def under(self, conditions: Set[str]) -> "Raced":
        """Those of some conditions only."""
        kept = [n for n, one in enumerate(self.first) if one.said.condition.id in conditions]
        return Raced(
            [self.first[n] for n in kept],
            [self.second[n] for n in kept],
            self.escalated[kept],
            self.stood[kept],
        )


def measured(known: Calibrations) -> dict[str, Any]:
    """What the page says of the cascade: at everybody's threshold, at one carried over from the
    calibration part, and at the one by which the less sure half of the test part goes on.
    """
    strata = stratum()
    bars = {
        "default": ACCEPT_AT,
        "carried": threshold(known, Part.CALIBRATION),
        "half": threshold(known, Part.TEST),
    }
    raced = {name: race(known, Part.TEST, value) for name, value in bars.items()}
    return {
        "strata": sorted(strata),
        "thresholds": {name: round(value, 3) for name, value in bars.items()},
        "all": {name: _told(one) for name, one in raced.items()},
        "stratum": {name: _told(one.under(strata)) for name, one in raced.items()},
    }


def threshold(known: Calibrations, part: Part) -> float:
    """The highest threshold, in hundredths, at which at most MOST_ESCALATED of a part's stratum
    goes on.

    It reads how sure the first engine is, and nothing of what was said or what is right, so that
    it may be found on the test part too, as a service with room for so many finds it.
    """
    strata, bars = stratum(), [n / 100 for n in range(101)]

    def escalated(bar: float) -> float:
        return float(race(known, part, bar).under(strata).escalated.mean())

    return bars[max(bisect_right(bars, MOST_ESCALATED, key=escalated) - 1, 0)]


def race(known: Calibrations, part: Part, bar: float) -> Raced:
    """Every segment of a part through the cascade, as the product decides it.

    The set keeps no word times, so that nothing is said of coverage here but of empty answers.
    """
    policy = Policy(accept_at={Task.TRANSCRIBE: {FIRST: bar}})
    first, second = labelled(FIRST, part), labelled(SECOND, part)
    names = [name for name in first if name in second]
    hearing = _hearing({e: [labelled(e, part)[n].heard for n in names] for e in (FIRST, SECOND)})
    decided = Ask(policy, known)(hearing, Task.TRANSCRIBE, hearing.survey.speech, (FIRST, SECOND))
    asked = [{d.engine for d in one.decisions} for one in decided]
    return Raced(
        [first[n] for n in names],
        [second[n] for n in names],
        np.array([SECOND in engines for engines in asked]),
        np.array([one.answer.engine == SECOND for one in decided]),
    )


def stratum() -> frozenset[str]:
    """Conditions under which the second engine beats the first by LEAST_GAIN.

    Chosen on train and calibration, so that no segment of the test part chooses itself.
    """
    parts = (Part.TRAIN, Part.CALIBRATION)
    pairs = [
        (one, labelled(SECOND, part)[name])
        for part in parts
        for name, one in labelled(FIRST, part).items()
        if name in labelled(SECOND, part)
    ]
    names = {one.said.condition.id for one, _ in pairs}
    gains = {n: _gain([(a, b) for a, b in pairs if a.said.condition.id == n]) for n in names}
    return frozenset(name for name, gain in gains.items() if gain >= LEAST_GAIN)


def _gain(pairs: Sequence[tuple[Labelled, Labelled]]) -> float:
    wrong = sum(a.errors.wrong - b.errors.wrong for a, b in pairs)
    return wrong / max(sum(a.errors.words for a, _ in pairs), 1)


def _hearing(said: Mapping[str, Sequence[Heard]]) -> Replayed:
    ends = list(pairwise(range(len(said[FIRST]) + 1)))
    survey = Survey(
        facts=Facts("wav", "pcm_s16le", 16_000, 1, float(len(ends))),
        quality=Quality(None, 0.0, None, 0.0, None),
        speech=tuple(Segment(n, float(a), float(b)) for n, (a, b) in enumerate(ends)),
        windows=(),
        cautions=(),
        plan="truth",
    )
    return Replayed(survey, said, {engine: _versions(engine) for engine in said})


def _versions(engine: str) -> Mapping[str, str]:
    about, _ = answers.read(listening.path(engine, Part.TEST))
    return about.versions


def _answer(engine: str, task: Task, heard: Heard) -> Answer:
    return Answer(engine, task, heard.text, heard.language, signals=heard.signals)


def _told(raced: Raced) -> dict[str, Any]:
    """Word error of each way to answer, the share of the gain that is kept, and what it costs.

    A random gate of the same rate keeps, in the mean, just that share of the gain. Intervals:
    95 %, texts drawn whole, as for the figures of a calibration.
    """
    if not raced.first:
        return {"segments": 0}
    values = _by_text(raced)
    sampled = np.array([_rates(drawn) for drawn in _draws(values)])
    share = float(raced.escalated.mean())
    one, two, stood, gain, kept = _rates(values.sum(axis=0))
    low, high = np.nanpercentile(sampled, TAILS, axis=0)
    told = {
        "segments": len(raced.first),
        "texts": len(values),
        "always_first": one,
        "always_second": two,
        "cascade": stood,
        "random_gate": one - share * gain,
        "gain": gain,
        "gain_low": low[3],
        "gain_high": high[3],
        "kept": kept,
        "kept_low": low[4],
        "kept_high": high[4],
        "escalated": share,
    }
    return {name: _rounded(value) for name, value in told.items()}


def _rounded(value: float) -> float | None:
    """To what is printed; None where there is no gain to keep a share of."""
    if isinstance(value, int):
        return value
    return None if np.isnan(value) else round(float(value), 3)


def _by_text(raced: Raced) -> Counts:
    """(n_texts, 4): words, and wrong ones of the first, of the second and of what stood."""
    rows: dict[str, list[float]] = {}
    for one, two, stood in zip(raced.first, raced.second, raced.stood, strict=True):
        row = rows.setdefault(one.text, [0.0, 0.0, 0.0, 0.0])
        row[0] += one.errors.words
        row[1] += one.errors.wrong
        row[2] += two.errors.wrong
        row[3] += two.errors.wrong if stood else one.errors.wrong
    return np.array(list(rows.values()), np.float64)


def _draws(values: Counts) -> Iterator[Counts]:
    dice = np.random.default_rng(SEED)
    for _ in range(RESAMPLES):
        yield values[dice.integers(len(values), size=len(values))].sum(axis=0)


def _rates(summed: Counts) -> tuple[float, float, float, float, float]:
    """Word error of the first, the second and what stood; the gain, and the share of it kept."""
    one, two, stood = (float(wrong / summed[0]) for wrong in summed[1:])
    gain = one - two
    return one, two, stood, gain, (one - stood) / gain if gain > 0 else float("nan")
