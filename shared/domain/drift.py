"""Is what is heard now still like what confidence was fitted to? Figure by figure."""

import math
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from shared.domain.confidence import Calibration, Domain, measured

#: Population stability index from which a figure has drifted. Siddiqi 2006, "Credit Risk
#: Scorecards", chapter 9: below 0.10 no change, up to 0.25 some, above it the model is to be looked
#: at. Chance alone gives (bins - 1) / n in the mean (Yurdakul 2018): 0.05 for LEAST answers.
LIMIT = 0.25
#: Answers of an engine that are looked at, the latest ones: an hour or two of speech.
WINDOW = 500
#: Fewest answers that are judged.
LEAST = 200
#: Count that is added to each bin, so that an empty one has a logarithm (Krichevsky & Trofimov).
HALF = 0.5
#: Share that was expected of a bin at least, for the same reason.
TINY_SHARE = 1e-3


@dataclass(slots=True)
class Window:
    """The latest figures of one engine under one calibration, beside those it was fitted to."""

    calibration: Calibration
    recent: deque[Mapping[str, float]] = field(default_factory=lambda: deque(maxlen=WINDOW))

    def drift(self) -> dict[str, float]:
        """Stability index of each figure that counts; empty while too little was heard."""
        if len(self.recent) < LEAST:
            return {}
        counts = (f.name for f in self.calibration.features if f.coefficient or f.missing)
        known = self.calibration.domain
        seen = {n: [measured(s, n) for s in self.recent] for n in counts if n in known.quantiles}
        return {name: stability(values, known, name) for name, values in seen.items()}


def drifted(found: Mapping[str, float]) -> tuple[str, ...]:
    """The figures beyond the limit, the worst first."""
    return tuple(sorted((n for n, x in found.items() if x > LIMIT), key=lambda n: -found[n]))


def stability(values: Sequence[float | None], domain: Domain, name: str) -> float:
    """Population stability index of a figure: sum of (now - then) ln(now / then) over bins.

    The bins are the deciles it was fitted to, those that are one value taken together, and one
    for answers without it. 0 where nothing changed; symmetric in now and then.
    """
    edges, expected = _bins(domain, name)
    counts = Counter(_place(value, edges) for value in values)
    total = len(values) + HALF * len(expected)
    now = [(counts[place] + HALF) / total for place in range(len(expected))]
    return sum((n - e) * math.log(n / e) for n, e in zip(now, expected, strict=True))


def _bins(domain: Domain, name: str) -> tuple[list[float], list[float]]:
    """Upper edges of all bins but the last, and the share expected in each; missing comes last."""
    levels: dict[float, float] = {}
    for value, level in zip(domain.quantiles[name], domain.levels, strict=True):
        if 0.1 <= level <= 0.9 or value in levels:
            levels[value] = level  # of equal quantiles the last: all of that value lie below it
    edges = [value for value, level in levels.items() if level < 1.0]
    steps = [0.0, *(levels[edge] for edge in edges), 1.0]
    missing = domain.missing.get(name, 0.0)
    shares = [(b - a) * (1.0 - missing) for a, b in pairwise(steps)]
    return edges, _whole(max(share, TINY_SHARE) for share in (*shares, missing))


def _whole(shares: Iterable[float]) -> list[float]:
    kept = list(shares)
    return [share / sum(kept) for share in kept]


def _place(value: float | None, edges: Sequence[float]) -> int:
    return len(edges) + 1 if value is None else bisect_left(edges, value)
