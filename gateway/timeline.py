"""Sound events as places on a time line."""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.domain.result import Sound

#: Units of the drawing's width; fine enough for 0.1 s in an hour and a half.
WIDTH = 54_000
#: A mark is never thinner, so that a click or a short bark can be seen: 0.3 % of the width.
MIN_WIDTH = 160
#: Labels with a lane of their own; the rest share the last one.
MAX_LANES = 8
TICKS = 5


@dataclass(frozen=True, slots=True)
class Mark:
    sound: Sound
    x: int
    width: int


@dataclass(frozen=True, slots=True)
class Lane:
    label: str
    marks: tuple[Mark, ...]


def lanes(sounds: Sequence[Sound], length_s: float) -> list[Lane]:
    """A lane for each label, the one heard longest first."""
    labels = sorted({s.label for s in sounds}, key=lambda label: -_seconds(sounds, label))
    own, shared = labels[: MAX_LANES - 1], labels[MAX_LANES - 1 :]
    groups = [[label] for label in own] + ([shared] if shared else [])
    return [
        Lane(
            group[0] if len(group) == 1 else "other",
            tuple(_mark(s, length_s) for s in sounds if s.label in group),
        )
        for group in groups
    ]


def _seconds(sounds: Sequence[Sound], label: str) -> float:
    return sum(s.end_s - s.start_s for s in sounds if s.label == label)


def _mark(sound: Sound, length_s: float) -> Mark:
    whole_s = max(length_s, sound.end_s, 0.001)
    width = max(MIN_WIDTH, round((sound.end_s - sound.start_s) / whole_s * WIDTH))
    x = min(round(sound.start_s / whole_s * WIDTH), WIDTH - min(width, WIDTH))
    return Mark(sound, x, min(width, WIDTH))


def ticks(length_s: float) -> list[float]:
    """Seconds to write under the line, from its start to its end."""
    return [length_s * n / (TICKS - 1) for n in range(TICKS)]
