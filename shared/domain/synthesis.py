"""What several engines said of the same sound, made into one answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

#: Share of words in which the texts of two sure engines differ from which on they are in
#: conflict. Of the same order as the word error a calibrated confidence is about (20 %): an
#: engine that is sure claims to be within that.
CONFLICT_AT = 0.2


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
    conflict_at: float = CONFLICT_AT
