"""What several engines said of the same sound, made into one answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Strategy(StrEnum):
    HIGHEST_CONFIDENCE = "highest-confidence"  #: the answer with the highest calibrated confidence
    LATEST = "latest"  #: the answer of the engine asked last
    WEIGHTED = "weighted"  #: engines vote, each with its weight times its confidence


@dataclass(frozen=True, slots=True)
class Synthesis:
    """How one answer is made of several."""

    strategy: Strategy = Strategy.HIGHEST_CONFIDENCE
    weights: Mapping[str, float] = field(default_factory=dict)  #: by engine; 1 where left out
    #: Calibrated confidence below which an answer is left out while there is another.
    quality: float = 0.0
    #: Share of words in which two sure engines differ from which on they are in conflict.
    conflict_at: float = 0.2
