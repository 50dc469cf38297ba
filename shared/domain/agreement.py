"""How far two texts of the same sound say the same: words compared as search compares them."""

from collections.abc import Sequence

from shared.domain.words import words


def agreement(text: str, other: str) -> float:
    """1 - word error of `text` against `other`, 0..1; 1 where neither has a word."""
    said, reference = _folded(text), _folded(other)
    if not reference:
        return 0.0 if said else 1.0
    return max(0.0, 1.0 - edits(reference, said) / len(reference))


def difference(one: str, other: str) -> float:
    """Share of words in which two texts differ, 0..1, whichever stands first."""
    a, b = _folded(one), _folded(other)
    return edits(a, b) / max(len(a), len(b), 1)


def edits(one: Sequence[str], other: Sequence[str]) -> int:
    """Fewest insertions, deletions and substitutions between the two (Levenshtein 1966)."""
    row = list(range(len(one) + 1))
    for i, word in enumerate(other, 1):
        above, row = row, [i]
        for j, against in enumerate(one, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (word != against)))
    return row[-1]


def _folded(text: str) -> list[str]:
    """Words without case, accents and punctuation: engines differ in those and hear the same."""
    return [word.folded for word in words(text)]
