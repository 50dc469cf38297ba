"""How much of a text is wrong: both sides written alike, then counted word by word."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import jiwer
from whisper_normalizer.basic import BasicTextNormalizer
from whisper_normalizer.english import EnglishTextNormalizer
from whisper_normalizer.international import FrenchTextNormalizer, SpanishTextNormalizer

from gpu_service.alignment.numbers import SAYABLE, spoken
from shared.domain.confidence import RIGHT_AT_MOST

#: Languages written without blanks: there a character is a word, as in the paper of Whisper
#: (Radford et al. 2022, appendix C).
UNSPACED = frozenset({"ja", "lo", "my", "th", "yue", "zh"})
#: Sounds people make while they think; English ones are left out by the normaliser itself.
HESITATIONS: Mapping[str, frozenset[str]] = {
    "es": frozenset({"eh", "em", "mm", "mmm", "ejem"}),
    "fr": frozenset({"euh", "heu", "hum", "mm", "mmm", "ben"}),
}
PERCENT = {"en": " percent ", "es": " por ciento ", "fr": " pour cent "}
#: A time of day: its hours and minutes are two numbers, said in two words.
CLOCK = re.compile(r"(?<=\d)\s*[:h]\s*(?=\d\d\b)")


class Normaliser(Protocol):
    def __call__(self, text: str, /) -> str: ...


@dataclass(frozen=True, slots=True)
class Counted:
    """Words of a text against those of its reference."""

    hits: int
    substitutions: int
    deletions: int
    insertions: int

    @property
    def words(self) -> int:
        """Words of the reference."""
        return self.hits + self.substitutions + self.deletions

    @property
    def wrong(self) -> int:
        return self.substitutions + self.deletions + self.insertions

    @property
    def error(self) -> float:
        """Wrong words a word of the reference, 0 and up; against no words, 1 unless none came."""
        return self.wrong / self.words if self.words else float(self.wrong > 0)

    @property
    def right(self) -> bool:
        """What confidence is the probability of (`confidence.LABEL`)."""
        return self.error <= RIGHT_AT_MOST


def compared(reference: str, hypothesis: str, language: str | None) -> Counted:
    """The fewest changes that make one of the other (Levenshtein), in words written alike."""
    wanted, said = words(reference, language), words(hypothesis, language)
    if not wanted or not said:
        return Counted(0, 0, len(wanted), len(said))
    out = jiwer.process_words(" ".join(wanted), " ".join(said))
    return Counted(out.hits, out.substitutions, out.deletions, out.insertions)


def words(text: str, language: str | None) -> list[str]:
    """The words, in lower case, without punctuation; numbers as digits, said or written.

    English, Spanish and French turn number words into digits; other languages say their digits,
    where num2words can. Both sides of a comparison go through the same.
    """
    language = language or "en"
    text = CLOCK.sub(" ", text).replace("%", PERCENT.get(language, "%"))
    if language not in ("en", "es", "fr") and language in SAYABLE:
        text = " ".join(spoken(word, language) for word in text.split())
    left_out = HESITATIONS.get(language, frozenset())
    found = _normaliser(language)(text).split()
    # The English normaliser keeps a full stop that no number stands at.
    return [w for w in found if w not in left_out and any(map(str.isalnum, w))]


@cache
def _normaliser(language: str) -> Normaliser:
    known = {"en": EnglishTextNormalizer, "es": SpanishTextNormalizer, "fr": FrenchTextNormalizer}
    if language in known:
        made: Normaliser = known[language]()
        return made
    basic: Normaliser = BasicTextNormalizer(split_letters=language in UNSPACED, preserve_marks=True)
    return basic
