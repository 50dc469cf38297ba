"""Text as words, exactly as SQLite's FTS5 sees them: `unicode61 remove_diacritics 2`.

Source: SQLite's documentation of FTS5, section 4.3.1, "Unicode61 Tokenizer". Stores without
FTS5 find by these words, so that every store gives the same answers.
"""

import re
from dataclasses import dataclass
from functools import cache

from shared.domain.unicode61 import FOLDED, MARKS, SEPARATORS


@dataclass(frozen=True, slots=True)
class Word:
    folded: str  #: without case and accents
    start: int  #: in characters of the text
    end: int


def _escaped(ranges: str) -> str:
    """The inside of a regular expression's character class."""
    ends = (part.split("-") for part in ranges.split())
    return "".join("-".join(f"\\U{int(end, 16):08x}" for end in part) for part in ends)


@cache
def _tables() -> tuple[re.Pattern[str], re.Pattern[str], dict[int, str]]:
    """What begins and goes on in a word, what is a mark, and what each letter is folded to.

    Made when somebody searches: a function that only takes uploads should not wait for it.
    """
    word = f"[^{_escaped(SEPARATORS)}{_escaped(MARKS)}][^{_escaped(SEPARATORS)}]*"
    fold = {c: group[0] for group in FOLDED.split() for c in group[1:]}
    return re.compile(word), re.compile(f"[{_escaped(MARKS)}]"), str.maketrans(fold)


def words(text: str) -> list[Word]:
    """The words of `text`, in order; punctuation and accents standing alone are none."""
    found = _tables()[0].finditer(text)
    return [Word(_folded(m.group()), m.start(), m.end()) for m in found]


def _folded(word: str) -> str:
    _, marks, fold = _tables()
    return marks.sub("", word).translate(fold)
