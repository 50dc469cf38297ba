"""Which of the waiting clips an engine hears together next; pure, so that it can be proved.

A batch is led by the clip that waited longest in the lane whose turn it is, so nobody starves.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal

from shared.domain.lanes import Lane, lease_order

Padding = Literal["none", "batch"]
#: Clips looked at for one batch. The cut into batches costs their number squared, and a full
#: batch of the shortest sensible clips (0.3 s in 28 s) is no longer.
NEAREST = 96
#: Share of its windows that a packing engine fills with sound; the rest are gaps and luck.
PACKED_SHARE = 0.85
#: Seconds by which a float may be off after a sum.
EPSILON_S = 1e-6


@dataclass(frozen=True, slots=True)
class Waiting:
    """What planning needs to know of one clip that waits."""

    seconds: float
    lane: Lane
    kind: Hashable  #: clips of two kinds never share a batch: the task


def cost_s(seconds: Sequence[float], padding: Padding) -> float:
    """What an engine pays for hearing clips of these lengths together, in seconds of sound."""
    if padding == "none":
        return sum(seconds)
    return len(seconds) * max(seconds, default=0.0)


def choose(
    waiting: Sequence[Waiting],
    turn: int,
    *,
    bound_s: float,
    call_s: float,
    padding: Padding,
    window_s: float,
) -> list[int]:
    """Indices of the clips of the next batch, in the order of arrival; [] = nobody waits.

    One lane leads (every 20th turn the low one, `lanes.lease_order`). The other lane joins only
    where that costs nothing: in the rest of a window that an engine which packs pays for anyway.
    A clip that is above the bound by itself goes alone.

    Args:
        waiting: in the order of arrival.
        turn: number of this batch, from 0.
        bound_s: the most one batch may cost.
        call_s: what a call costs however little it hears, in seconds of sound.
        window_s: what an engine that packs pays for at least.
    """
    lead = _lead(waiting, turn)
    if lead is None:
        return []
    first = waiting[lead]
    kin = [i for i, w in enumerate(waiting) if w.kind == first.kind]
    alike = [i for i in kin if waiting[i].lane is first.lane]
    if padding == "none":
        taken = _packed(waiting, alike, [], bound_s)
        paid_s = window_s * ceil(sum(waiting[i].seconds for i in taken) / window_s)
        others = [i for i in kin if waiting[i].lane is not first.lane]
        return sorted(_packed(waiting, others, taken, min(bound_s, PACKED_SHARE * paid_s)))
    near = sorted(alike, key=lambda i: (abs(waiting[i].seconds - first.seconds), i))[:NEAREST]
    ordered = sorted(near, key=lambda i: (-waiting[i].seconds, i))
    lengths = [waiting[i].seconds for i in ordered]
    start, end = _around(cut(lengths, bound_s=bound_s, call_s=call_s), ordered.index(lead))
    return sorted(ordered[start:end])


def _lead(waiting: Sequence[Waiting], turn: int) -> int | None:
    """The clip that waited longest in the first lane that has one."""
    for lane in lease_order(turn):
        for i, one in enumerate(waiting):
            if one.lane is lane:
                return i
    return None


def _packed(
    waiting: Sequence[Waiting], more: Sequence[int], taken: Sequence[int], bound_s: float
) -> list[int]:
    """`taken` and as many of `more` as fit, first come first; the very first always fits.

    How they share windows is the engine's matter.
    """
    found, spent_s = list(taken), sum(waiting[i].seconds for i in taken)
    for i in more:
        if not found or spent_s + waiting[i].seconds <= bound_s + EPSILON_S:
            found.append(i)
            spent_s += waiting[i].seconds
    return found


def cut(lengths: Sequence[float], *, bound_s: float, call_s: float) -> list[tuple[int, int]]:
    """The cheapest cut of clips into padded batches, as ranges that follow each other.

    Cheapest: the sum over batches of `call_s + n x longest` is the least there is. Clips of a
    batch are neighbours in length in some cheapest cut (exchange two that are not, and neither
    batch gets dearer), so looking at ranges of the sorted lengths is enough.

    Args:
        lengths: seconds, longest first.
    """
    least = [0.0] + [float("inf")] * len(lengths)  # of the first i clips
    begins = [0] * (len(lengths) + 1)
    for begin, longest in enumerate(lengths):
        for end in range(begin + 1, len(lengths) + 1):
            paid = (end - begin) * longest
            if paid > bound_s + EPSILON_S and end > begin + 1:
                break
            if least[begin] + call_s + paid < least[end]:
                least[end], begins[end] = least[begin] + call_s + paid, begin
    return _ranges(begins)


def _ranges(begins: Sequence[int]) -> list[tuple[int, int]]:
    found, end = list[tuple[int, int]](), len(begins) - 1
    while end:
        found.append((begins[end], end))
        end = begins[end]
    return found[::-1]


def _around(ranges: Sequence[tuple[int, int]], place: int) -> tuple[int, int]:
    return next((a, b) for a, b in ranges if a <= place < b)
