"""Doubtful segments and their neighbours in one call, and its text given back to each of them.

A call of a minute or two costs what its parts would, gives the model the context that made a
segment doubtful, and is answered once. Pure: the same segments and doubts make the same calls.
"""

import re
from bisect import bisect_right
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from itertools import accumulate, groupby
from math import ceil

from shared.domain.sound import Segment

#: Seconds of a call that doubtful segments are merged into (issue 4, point 5).
SHORTEST_S, LONGEST_S = 60.0, 120.0
#: Share of the seconds that is doubtful above which all of them are sent (issue 4, point 5).
ALL_ABOVE = 0.6
#: Seconds of a call where all is sent. The vendor's advice is to stay below 5 minutes: an answer
#: has 2,000 tokens, and 8 minutes of dense speech have more.
LONGEST_OF_ALL_S = 300.0
#: Seconds without speech that no call bridges: they cost as much as speech, and models that
#: write words invent some where there are none.
GAP_S = 10.0


@dataclass(frozen=True, slots=True)
class Call:
    """Neighbouring segments of one channel, asked as one piece of sound."""

    segments: tuple[Segment, ...]  #: in the order of time, context among them
    wanted: frozenset[int]  #: indices of those whose answer is asked for

    @property
    def sound(self) -> Segment:
        """From the first segment's start to the last one's end, with what lies between."""
        return replace(self.segments[0], end_s=self.segments[-1].end_s)


def alone(segments: Sequence[Segment], doubtful: AbstractSet[int]) -> list[Call]:
    """A call for each doubtful segment, for answers that cannot be given back to parts."""
    return [Call((s,), frozenset({s.index})) for s in segments if s.index in doubtful]


def merged(
    segments: Sequence[Segment], doubtful: AbstractSet[int], most_s: float = LONGEST_S
) -> list[Call]:
    """The calls that answer every doubtful segment once.

    Segments are in at most one call. A call is at most LONGEST_S (LONGEST_OF_ALL_S where all is
    sent) and `most_s` long, but for a single segment that is longer by itself; it is at least
    SHORTEST_S long where there are neighbours to fill it up.

    Args:
        most_s: what fits into a call by the vendor's ceilings of bytes and seconds.
    """
    total_s = sum(s.duration_s for s in segments)
    doubtful_s = sum(s.duration_s for s in segments if s.index in doubtful)
    all_of_it = doubtful_s > ALL_ABOVE * total_s
    longest_s = min(most_s, LONGEST_OF_ALL_S if all_of_it else LONGEST_S)
    wanted = doubtful if not all_of_it else {s.index for s in segments}
    calls: list[Call] = []
    for stretch in _stretches(segments):
        for first, last in _filled(_packed(stretch, wanted, longest_s), stretch, longest_s):
            part = stretch[first : last + 1]
            calls.append(Call(tuple(part), frozenset(s.index for s in part) & frozenset(doubtful)))
    return sorted(calls, key=lambda call: call.segments[0].index)


def _stretches(segments: Sequence[Segment]) -> list[list[Segment]]:
    """Segments of one channel without a gap that no call bridges, in the order of time."""

    def channel(segment: Segment) -> int:
        return -1 if segment.channel is None else segment.channel

    ordered = sorted(segments, key=lambda s: (channel(s), s.start_s))
    found: list[list[Segment]] = []
    for _, group in groupby(ordered, key=channel):
        found.append([])
        for segment in group:
            if found[-1] and segment.start_s - found[-1][-1].end_s > GAP_S:
                found.append([])
            found[-1].append(segment)
    return found


def _packed(
    stretch: Sequence[Segment], wanted: AbstractSet[int], longest_s: float
) -> list[tuple[int, int]]:
    """Runs from a wanted segment to the last wanted one that still fits: first, last place."""
    runs: list[tuple[int, int]] = []
    for place, segment in enumerate(stretch):
        if segment.index not in wanted:
            continue
        if runs and segment.end_s - stretch[runs[-1][0]].start_s <= longest_s:
            runs[-1] = (runs[-1][0], place)
        else:
            runs.append((place, place))
    return runs


def _filled(
    runs: Sequence[tuple[int, int]], stretch: Sequence[Segment], longest_s: float
) -> list[tuple[int, int]]:
    """Runs that are too short grow by free neighbours, after and before by turns."""
    grown = list(runs)
    for number, (first, last) in enumerate(runs):
        lowest = grown[number - 1][1] + 1 if number else 0
        highest = runs[number + 1][0] - 1 if number + 1 < len(runs) else len(stretch) - 1
        grown[number] = _grown(stretch, (first, last), (lowest, highest), longest_s)
    return grown


def _grown(
    stretch: Sequence[Segment], run: tuple[int, int], bounds: tuple[int, int], longest_s: float
) -> tuple[int, int]:
    (first, last), after = run, True
    goal_s = min(SHORTEST_S, longest_s)
    while stretch[last].end_s - stretch[first].start_s < goal_s:
        ways = [(first, last + 1), (first - 1, last)]
        for way in ways if after else reversed(ways):
            inside = bounds[0] <= way[0] and way[1] <= bounds[1]
            if inside and stretch[way[1]].end_s - stretch[way[0]].start_s <= longest_s:
                first, last = way
                break
        else:
            return first, last
        after = not after
    return first, last


#: A word and the space behind it; scripts written without spaces go by the sign.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_UNSPACED}]\s*|[^\s{_UNSPACED}]+\s*")


def words_of(text: str) -> list[str]:
    """The words of `text` with the space behind each; joined, they are the text again."""
    return _WORD.findall(text.lstrip())


def parted(text: str, believed: Sequence[str], seconds: Sequence[float]) -> list[str]:
    """The text of a merged call, given back to its segments in order.

    Words that the first engine heard too are anchors (matching blocks of `difflib`). Words
    that stand for others are spread evenly over those; words where it heard nothing go to the
    segments there that were empty, by their seconds, or to the segment before. No word is
    lost, none is doubled, the order stays.

    Args:
        believed: what the first engine heard in each segment; may be empty or wrong.
        seconds: how long each segment is.
    """
    words = words_of(text)
    owners = [n for n, said in enumerate(believed) for _ in words_of(said)]
    heard = [_plain(word) for said in believed for word in words_of(said)]
    matcher = SequenceMatcher(None, heard, [_plain(w) for w in words], autojunk=False)
    given: list[list[str]] = [[] for _ in believed]
    for _, from_heard, to_heard, begin, end in matcher.get_opcodes():
        count = end - begin
        if from_heard == to_heard:
            owned = _unheard(count, owners, from_heard, seconds)
        else:
            owned = _spread(count, owners[from_heard:to_heard])
        for word, owner in zip(words[begin:end], owned, strict=True):
            given[owner].append(word)
    return ["".join(part).strip() for part in given]


def _plain(word: str) -> str:
    """A word as it is compared: letters and digits, small."""
    return "".join(c for c in word.lower() if c.isalnum()) or word.strip()


def _spread(count: int, owners: Sequence[int]) -> list[int]:
    """`count` words evenly over the owners of the words they stand for."""
    return [owners[ceil((n + 0.5) * len(owners) / count) - 1] for n in range(count)]


def _unheard(count: int, owners: Sequence[int], place: int, seconds: Sequence[float]) -> list[int]:
    """The segments of words before `place` that the first engine did not hear."""
    before = owners[place - 1] if place else -1
    after = owners[place] if place < len(owners) else len(seconds)
    empty = range(before + 1, after)
    if not empty:
        return [max(before, 0)] * count
    ends = list(accumulate(max(seconds[n], 1e-3) for n in empty))
    middles = [(n + 0.5) / count * ends[-1] for n in range(count)]
    return [empty[bisect_right(ends, m)] for m in middles]
