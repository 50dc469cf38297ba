"""From a text to the tokens of an aligner's vocabulary, and back to its own words."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise

from gpu_service.alignment.ctc import STAR
from gpu_service.alignment.numbers import spoken

#: Typographic marks, and what a vocabulary may hold in their place.
PLAIN = str.maketrans({"’": "'", "‘": "'", "ʼ": "'", "`": "'", "´": "'"})
#: Letters that Unicode does not take apart.
LIGATURES = {"œ": "oe", "Œ": "OE", "æ": "ae", "Æ": "AE"}
#: Owner of a token that belongs to no word: the mark between two.
NOBODY = -1


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The characters a CTC model writes, as columns of its log-probabilities."""

    columns: Mapping[str, int]  #: single characters; no blank, no special token, no delimiter
    blank: int
    delimiter: int | None = None  #: what it writes between words, `|` in wav2vec2


@dataclass(frozen=True, slots=True)
class Spelling:
    """A text in tokens."""

    words: tuple[str, ...]  #: as written in the text, punctuation and all
    tokens: tuple[int, ...]
    owners: tuple[int, ...]  #: of each token: index of its word, or NOBODY

    @property
    def borders(self) -> tuple[bool, ...]:
        """Of the gaps before each token and after the last: whether it parts words."""
        sides = (None, *self.owners, None)
        return tuple(before != after for before, after in pairwise(sides))


@dataclass(slots=True)
class _Speller:
    vocabulary: Vocabulary
    tokens: list[int] = field(default_factory=list)
    owners: list[int] = field(default_factory=list)

    def add(self, owner: int, characters: list[int]) -> None:
        delimiter = self.vocabulary.delimiter
        if self.tokens and delimiter is not None:
            same = self.owners[-1] == owner  # "21": twenty|one, within one word
            self.tokens.append(delimiter)
            self.owners.append(owner if same else NOBODY)
        self.tokens += characters
        self.owners += [owner] * len(characters)


def spell(text: str, vocabulary: Vocabulary, language: str | None) -> Spelling:
    """Write the words (what stands between blanks) in the vocabulary's characters.

    Numbers are spoken out in `language` (ISO 639-1; None is taken for English), case is the
    vocabulary's, accents are kept where it has them, punctuation is dropped, and a hyphen parts.
    A word with no character it can write becomes a star: every word has a token.
    """
    words = tuple(text.split())
    speller = _Speller(vocabulary)
    for owner, word in enumerate(words):
        said = spoken(unicodedata.normalize("NFKC", word), language)
        parts = [p for p in (_columns(part, vocabulary) for part in _parts(said)) if p]
        for characters in parts or [[STAR]]:
            speller.add(owner, characters)
    return Spelling(words, tuple(speller.tokens), tuple(speller.owners))


def _parts(said: str) -> list[str]:
    """Hyphens, dashes and slashes stand between spoken words as blanks do."""
    return "".join(" " if _parts_words(c) else c for c in said).split()


@lru_cache(4096)
def _parts_words(character: str) -> bool:
    return unicodedata.category(character) in ("Pd", "Zs") or character in "/⁄\\_"


def _columns(part: str, vocabulary: Vocabulary) -> list[int]:
    return [column for c in part.translate(PLAIN) for column in _character(c, vocabulary.columns)]


def _character(character: str, columns: Mapping[str, int]) -> list[int]:
    """Its columns: as it is, in the other case, without its accents, or none at all."""
    for written in _writings(character):
        found = [columns[c] for c in written if c in columns]
        if found and len(found) == len(written):
            return found
    return []


@lru_cache(4096)
def _writings(character: str) -> tuple[str, ...]:
    bare = "".join(
        c for c in unicodedata.normalize("NFKD", character) if not unicodedata.combining(c)
    )
    forms = (character, bare, LIGATURES.get(character, character))
    return tuple(w for form in forms for w in (form, form.upper(), form.lower(), form.casefold()))
