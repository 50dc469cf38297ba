"""Answers of segments that overlap become one text: nothing dropped, nothing doubled.

Segments overlap only where speech goes on through a cut. Pure: the same answers give the same.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise

from shared.domain.answers import Answer, Word
from shared.domain.cascade import Decided
from shared.domain.grouping import words_of
from shared.domain.phrases import places
from shared.domain.sound import Segment, Span

#: Seconds that the same word may lie apart in two answers. Each may then be off by half of it;
#: where a word is repeated, by a fifth of the time from one to the next (tests/domain).
APART_S = 0.4
#: Words a second that are looked for where times are not known: twice the fastest reading.
FASTEST_PER_S = 8.0


def stitched(segments: Sequence[Segment], decided: Iterable[Decided]) -> list[Decided]:
    """The same answers, every word of an overlap in one of its two segments; in the same order.

    The seam is the word nearest to the middle of the overlap that both answers have at the same
    time: the first answer ends with it, the second goes on behind it, so that what the edge of a
    segment cut in two is taken from the other one. Where they share none, each keeps its half.
    Without word times the second loses the words that the first one ends with.
    """
    kept = list(decided)
    said = {d.segment: d.answer for d in kept}
    for one, other in neighbours(segments):
        if one.index in said and other.index in said:
            both = said[one.index], said[other.index]
            said[one.index], said[other.index] = _stitched(*both, (other.start_s, one.end_s))
    return [replace(d, answer=said[d.segment]) for d in kept]


def neighbours(segments: Sequence[Segment]) -> Iterator[tuple[Segment, Segment]]:
    """Each two of a channel that overlap, in the order of time."""

    def channel(segment: Segment) -> int:
        return -1 if segment.channel is None else segment.channel

    for _, group in groupby(sorted(segments, key=lambda s: (channel(s), s.start_s)), channel):
        yield from ((a, b) for a, b in pairwise(group) if b.start_s < a.end_s)


def apart(segments: Sequence[Segment]) -> Mapping[int, Segment]:
    """The segments by index, each overlap given half to one and half to the other."""
    own = {s.index: s for s in segments}
    for one, other in neighbours(segments):
        middle = (other.start_s + one.end_s) / 2
        own[one.index] = replace(own[one.index], end_s=middle)
        own[other.index] = replace(own[other.index], start_s=middle)
    return own


def _stitched(one: Answer, other: Answer, overlap: Span) -> tuple[Answer, Answer]:
    if not (one.text.strip() and other.text.strip()):
        return one, other
    ends, starts = places(one.text, one.words), places(other.text, other.words)
    if not (ends and starts):
        return one, _without_first(other, _repeated(one.text, other.text, overlap))
    i, j = seam(one.words, other.words, overlap)
    end = ends[i - 1] + len(one.words[i - 1].text) if i else 0
    start = starts[j] if j < len(starts) else len(other.text)
    return (
        replace(one, text=one.text[:end], words=one.words[:i]),
        replace(other, text=other.text[start:], words=other.words[j:]),
    )


def seam(one: Sequence[Word], other: Sequence[Word], overlap: Span) -> tuple[int, int]:
    """How many words of `one` to keep, and how many of `other` to leave out."""
    middle = sum(overlap) / 2
    matched = _matched(one, other, overlap)
    if matched:
        i, j = min(matched, key=lambda m: abs(_middle(one[m[0]]) - middle))
        return i + 1, j + 1
    i = sum(_middle(w) < middle for w in one)
    return i, sum(_middle(w) < middle for w in other)


@dataclass(frozen=True, slots=True)
class _Path:
    """The best way to match some first words of one answer with some of the other."""

    score: float = 0.0
    pairs: tuple[tuple[int, int], ...] = ()


def _matched(
    one: Sequence[Word], other: Sequence[Word], overlap: Span
) -> tuple[tuple[int, int], ...]:
    """Pairs of places of the same word in both, in order.

    Of all ways to pair words of the same letters in order, that with the highest sum of how near
    in time they are (1 at the same moment, 0 at APART_S): more pairs win, and among repeats
    those said at the same time.
    """
    start, end = overlap[0] - APART_S / 2, overlap[1] + APART_S / 2
    firsts = [n for n, w in enumerate(one) if _middle(w) >= start]
    seconds = [n for n, w in enumerate(other) if _middle(w) <= end]
    row = [_Path()] * (len(seconds) + 1)
    for i in firsts:
        above, row = row, [_Path()]
        for column, j in enumerate(seconds):
            near = _nearness(one[i], other[j])
            with_both = above[column]
            if near > 0:
                with_both = _Path(with_both.score + near, (*with_both.pairs, (i, j)))
            row.append(max(with_both, above[column + 1], row[-1], key=lambda p: p.score))
    return row[-1].pairs


def _nearness(one: Word, other: Word) -> float:
    if _plain(one.text) != _plain(other.text):
        return 0.0
    return 1.0 - abs(_middle(one) - _middle(other)) / APART_S


def _middle(word: Word) -> float:
    return (word.start_s + word.end_s) / 2


def _repeated(one: str, other: str, overlap: Span) -> int:
    """Words at the start of `other` that `one` ends with: the most that fit the overlap."""
    before = [_plain(w) for w in words_of(one)]
    after = [_plain(w) for w in words_of(other)]
    most = min(len(before), len(after), round((overlap[1] - overlap[0]) * FASTEST_PER_S))
    return next((n for n in range(most, 0, -1) if before[-n:] == after[:n]), 0)


def _without_first(answer: Answer, count: int) -> Answer:
    if not count:
        return answer
    return replace(answer, text="".join(words_of(answer.text)[count:]).strip(), words=())


def _plain(text: str) -> str:
    return "".join(c for c in text.lower() if c.isalnum()) or text.strip()
