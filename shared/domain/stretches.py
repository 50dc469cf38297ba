"""Stretches of time: sorted, apart, in seconds; put together and taken from each other."""

from collections.abc import Iterable, Iterator, Sequence

from shared.domain.sound import Span


def joined(spans: Iterable[Span], gap_s: float = 0.0) -> list[Span]:
    """The same seconds (and gaps of at most `gap_s` between them), sorted and apart."""
    whole: list[Span] = []
    for start, end in sorted(span for span in spans if span[1] > span[0]):
        if whole and start - whole[-1][1] <= gap_s:
            whole[-1] = (whole[-1][0], max(whole[-1][1], end))
        else:
            whole.append((start, end))
    return whole


def within(spans: Iterable[Span], start_s: float, end_s: float) -> list[Span]:
    """What of `spans` lies in start_s..end_s."""
    clipped = ((max(a, start_s), min(b, end_s)) for a, b in spans)
    return [(a, b) for a, b in clipped if b > a]


def without(spans: Sequence[Span], taken: Iterable[Span]) -> list[Span]:
    """What is left of `spans` (sorted, apart) outside of `taken`."""
    holes, left = joined(taken), list[Span]()
    first = 0
    for start, end in spans:
        while first < len(holes) and holes[first][1] <= start:
            first += 1
        left += _outside(start, end, holes, first)
    return left


def _outside(start: float, end: float, holes: Sequence[Span], first: int) -> Iterator[Span]:
    """What of start..end no hole takes, from hole `first` on."""
    for a, b in holes[first:]:
        if a >= end:
            break
        if a > start:
            yield start, a
        start = max(start, b)
    if end > start:
        yield start, end


def seconds(spans: Iterable[Span]) -> float:
    return sum(end - start for start, end in spans)
