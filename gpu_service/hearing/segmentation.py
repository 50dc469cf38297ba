"""Spans of speech become segments that an engine can hear whole."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import ceil, nextafter

from shared.domain.sound import MAX_SEGMENT_S, Segment, Span

#: Names these rules together with those of presence. Change it with either: checkpoints made
#: under another plan are void.
PLAN = "silero6-firered-cut/4"
#: Seconds. Speech across a longer silence goes to another segment: Whisper tends to drop or to
#: invent words around long silences, and paid engines charge for them.
MERGE_SILENCE_S = 2.0
#: Seconds of silence (beyond the padding) that make a cut safe anywhere it falls.
COMFORTABLE_SILENCE_S = 0.2
#: Share of a full segment that must be filled before we look for the best place to cut.
FILLED = 0.6

#: Seconds that two pieces share where speech goes on through the cut: two to six words, so that
#: one that the edge of a piece cuts in two is whole in the other (`domain.stitching`).
OVERLAP_S = 2.0

#: Gives the best moment to cut between two seconds; `VoiceActivity.quietest` is one.
Quietest = Callable[[float, float], float]
#: Whether speech goes on through a moment; `VoiceActivity.goes_on` is one.
GoesOn = Callable[[float], bool]


def _last_moment(start_s: float, end_s: float) -> float:
    return end_s


def _never(moment_s: float) -> bool:
    return False


def cut(
    spans: Sequence[Span],
    duration_s: float,
    channel: int | None = None,
    *,
    quietest: Quietest = _last_moment,
    goes_on: GoesOn = _never,
) -> tuple[Segment, ...]:
    """Segments of at most MAX_SEGMENT_S that together hold every second of `spans`.

    `spans` are sorted and apart. Segments are sorted and inside 0..duration_s. A span too long
    for one segment is cut at its quietest moments (without `quietest` at the limit). Where
    speech goes on even there, the two share OVERLAP_S around the cut; all others are apart.
    """
    inside = (_inside(span, duration_s) for span in spans)
    pieces = [p for span in inside for p in _pieces(span, quietest, goes_on)]
    segments: list[Segment] = []
    rest = [piece for piece in pieces if piece[1] > piece[0]]
    while rest:
        count = _together(rest)
        segments.append(Segment(len(segments), rest[0][0], rest[count - 1][1], channel))
        rest = rest[count:]
    return tuple(segments)


def windows(duration_s: float) -> tuple[Segment, ...]:
    """The whole time line in the fewest equal segments of at most MAX_SEGMENT_S.

    Equal, so that no sliver is left at the end where a model would guess.
    """
    if duration_s <= 0:
        return ()
    count = ceil(duration_s / MAX_SEGMENT_S)
    borders = [duration_s * i / count for i in range(count)] + [float(duration_s)]
    tiles = [_fitting((a, b)) for a, b in pairwise(borders)]
    return tuple(Segment(i, start, end) for i, (start, end) in enumerate(tiles))


def _inside(span: Span, duration_s: float) -> Span:
    return max(0.0, span[0]), min(span[1], duration_s)


def _pieces(span: Span, quietest: Quietest, goes_on: GoesOn) -> list[Span]:
    """`span` in pieces of at most MAX_SEGMENT_S, cut where speech is least likely."""
    start, end = span
    pieces: list[Span] = []
    while end - start > MAX_SEGMENT_S:
        first, last = start + FILLED * MAX_SEGMENT_S, start + MAX_SEGMENT_S
        moment = min(max(quietest(first, last), first), last)
        shared = OVERLAP_S / 2 if goes_on(moment) else 0.0
        moment = min(moment, last - shared)
        pieces.append(_fitting((start, moment + shared)))
        start = pieces[-1][1] - 2 * shared
    return [*pieces, (start, end)]


def _fitting(span: Span) -> Span:
    """Undo a rounding that would make a piece longer than the limit by one bit."""
    start, end = span
    while end - start > MAX_SEGMENT_S:
        end = nextafter(end, 0.0)
    return start, end


def _together(pieces: Sequence[Span]) -> int:
    """How many of the first pieces make one segment.

    All that fit without a long silence between; if something follows at once, the cut goes to
    the last comfortable silence after the segment is well filled, else to the longest one.
    """
    fits = 1
    while fits < len(pieces) and _joins(pieces, fits):
        fits += 1
    if fits == len(pieces) or _silence(pieces, fits) > MERGE_SILENCE_S:
        return fits
    filled = pieces[0][0] + FILLED * MAX_SEGMENT_S
    cuts = [n for n in range(1, fits + 1) if pieces[n - 1][1] >= filled] or [fits]
    comfortable = [n for n in cuts if _silence(pieces, n) >= COMFORTABLE_SILENCE_S]
    return comfortable[-1] if comfortable else max(cuts, key=lambda n: _silence(pieces, n))


def _joins(pieces: Sequence[Span], n: int) -> bool:
    short = _silence(pieces, n) <= MERGE_SILENCE_S
    return short and pieces[n][1] - pieces[0][0] <= MAX_SEGMENT_S


def _silence(pieces: Sequence[Span], n: int) -> float:
    """Seconds between piece n - 1 and piece n."""
    return pieces[n][0] - pieces[n - 1][1]
