"""Whether a passage answers a search, how well, and which part of it to show.

For stores without FTS5: the same passages are found as by `match_expression`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.domain.search import pieces
from shared.domain.words import Word, words

#: A word or phrase of the query, as folded words in a row.
Term = tuple[str, ...]

#: Robertson and Zaragoza 2009, "The Probabilistic Relevance Framework: BM25 and Beyond",
#: section 3.5: the usual values, which FTS5 has too.
K1, B = 1.2, 0.75
#: Words of a passage of ordinary length: what is said in about six seconds.
ORDINARY_WORDS = 16
#: Words of a snippet, as in FTS5's.
SNIPPET_WORDS = 24


@dataclass(frozen=True, slots=True)
class Hit:
    """Where one passage holds the terms; each term is there at least once."""

    text: str
    words: tuple[Word, ...]
    spans: tuple[tuple[int, int], ...]  #: first and last word of each find, in order
    score: float  #: higher is better


def terms(text: str) -> list[Term]:
    """What a query asks for; a piece without any word is an empty term, which nothing holds."""
    return [tuple(w.folded for w in words(piece)) for piece in pieces(text)]


def hit(text: str, asked: Sequence[Term]) -> Hit | None:
    """The passage as a hit, or None unless it holds every term.

    The score is BM25 without the rarity of words, which a passage alone cannot know:
    passages that say the terms more often, and little else, come first.
    """
    said = tuple(words(text))
    folded = [w.folded for w in said]
    found = [_spans(folded, term) for term in asked]
    if not all(found):
        return None
    together = sorted({span for spans in found for span in spans})
    return Hit(text, said, tuple(together), _score(len(said), [len(spans) for spans in found]))


def _spans(folded: Sequence[str], term: Term) -> list[tuple[int, int]]:
    size = len(term)
    if not size:
        return []
    starts = range(len(folded) - size + 1)
    return [(i, i + size - 1) for i in starts if tuple(folded[i : i + size]) == term]


def _score(length: int, counts: Sequence[int]) -> float:
    room = K1 * (1 - B + B * length / ORDINARY_WORDS)
    return sum(n * (K1 + 1) / (n + room) for n in counts)


def snippet(found: Hit) -> str:
    """The stretch of at most SNIPPET_WORDS words with the most finds, each between \\x02 and \\x03.

    What is left out at either end is shown as "…".
    """
    first = _fullest(found)
    last = min(len(found.words), first + SNIPPET_WORDS) - 1
    start = found.words[first].start if first else 0
    whole = last == len(found.words) - 1
    end = len(found.text) if whole else found.words[last].end
    marked = _marked(found, start, end)
    return f"{'…' if first else ''}{marked}{'' if whole else '…'}"


def _fullest(found: Hit) -> int:
    """The first word of the stretch: the earliest of those that hold the most finds."""
    starts = [0, *(first for first, _ in found.spans)]
    most = max(0, len(found.words) - SNIPPET_WORDS)

    def held(start: int) -> int:
        return sum(start <= a and b < start + SNIPPET_WORDS for a, b in found.spans)

    return max((min(start, most) for start in starts), key=held)


def _marked(found: Hit, start: int, end: int) -> str:
    parts, at = [], start
    for first, last in _merged(found.spans):
        begin, until = found.words[first].start, found.words[last].end
        if begin >= at and until <= end:
            parts += [found.text[at:begin], "\x02", found.text[begin:until], "\x03"]
            at = until
    return "".join([*parts, found.text[at:end]])


def _merged(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans that share words are one."""
    merged: list[tuple[int, int]] = []
    for first, last in spans:
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged
