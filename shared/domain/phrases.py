"""An answer's text parted where the speaker pauses, so that people can read and find it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from shared.domain.answers import Answer, Word

#: Seconds of silence between two words that end a phrase: longer than the pause after a
#: sentence (0.5 to 0.8 s), about that of a change of speakers.
PAUSE_S = 1.0


@dataclass(frozen=True, slots=True)
class Phrase:
    text: str
    words: tuple[Word, ...]


def phrases(answer: Answer, pause_s: float = PAUSE_S) -> list[Phrase]:
    """The answer in phrases. Every character of its text is in exactly one, in order.

    An answer whose words do not spell its text stays whole: better long than torn.
    """
    starts = places(answer.text, answer.words)
    if starts is None or not answer.words:
        return [Phrase(answer.text, answer.words)]
    firsts = [0, *(i for i in range(1, len(starts)) if _gap(answer.words, i) >= pause_s)]
    ends = [*firsts[1:], len(starts)]
    cuts = [0, *(starts[i] for i in firsts[1:]), len(answer.text)]
    return [
        Phrase(answer.text[a:b].strip(), answer.words[i:j])
        for (a, b), i, j in zip(pairwise(cuts), firsts, ends, strict=True)
    ]


def _gap(words: Sequence[Word], i: int) -> float:
    return words[i].start_s - words[i - 1].end_s


def places(text: str, words: Sequence[Word]) -> list[int] | None:
    """Where each word begins in the text; None if some word is not there."""
    starts, at = list[int](), 0
    for word in words:
        found = text.find(word.text, at)
        if found < 0:
            return None
        starts.append(found)
        at = found + len(word.text)
    return starts
