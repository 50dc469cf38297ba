"""The texts, as somebody typed them, and the part of the set each one belongs to."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "texts"
LANGUAGES = ("en", "es", "fr")


class Part(StrEnum):
    """Features are chosen and fused on TRAIN, made probabilities on CALIBRATION, judged on TEST."""

    TRAIN = "train"
    CALIBRATION = "calibration"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Text:
    id: str  #: unique within its language
    language: str  #: ISO 639-1
    part: Part
    words: str  #: as it is to be said and read


@cache
def texts(language: str, part: Part) -> tuple[Text, ...]:
    """The texts of one language and part, in the order of the file."""
    return tuple(text for text in _read(language) if text.part is part)


def _read(language: str) -> Iterator[Text]:
    lines = (FOLDER / f"{language}.txt").read_text(encoding="utf-8").splitlines()
    for line in lines:
        if line and not line.startswith("#"):
            name, part, words = line.split("|")
            yield Text(name, language, Part(part), words)
