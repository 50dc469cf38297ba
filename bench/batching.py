"""Batching: padded seconds of mixed lengths, ours beside arrival order and beside sorting.

Deterministic: the very `choose` of the service plays against the others on clips of 0.3 to 28 s
drawn with a seed. So many clips wait at any time; whenever a batch is taken, as many come. An
engine that pads pays n x longest seconds and CALL_S for each call; that sum is what is compared.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.measuring import goal
from gpu_service.serving.batches import Waiting, choose, cost_s
from shared.domain.lanes import Lane

SEED, CLIPS = 20261121, 4_000
SHORTEST_S, LONGEST_S = 0.3, 28.0
#: Seconds of padded sound a batch may hold: four of the longest clips, the service's default.
BOUND_S = 4 * LONGEST_S
#: What a call costs by itself, in seconds of sound: wav2vec2-base on two cores takes some 20 ms
#: a call and 25 ms a second.
CALL_S = 1.0
#: Clips that wait at once: a busy service, and a quiet one.
DEPTHS = (64, 8)
#: P6 (GOALS): padding <= 10 %, and >= 1.3 x batches in arrival order.
MOST_PADDING, LEAST_GAIN = 0.10, 1.3

Take = Callable[[Sequence[float], int], list[int]]


@dataclass(slots=True)
class Played:
    """What one way to batch came to."""

    sound_s: float = 0.0
    padded_s: float = 0.0
    calls: int = 0
    longest_wait: int = 0  #: calls a clip had to let pass, at most

    @property
    def padding(self) -> float:
        return 1.0 - self.sound_s / self.padded_s

    @property
    def paid_s(self) -> float:
        return self.padded_s + CALL_S * self.calls

    def line(self, name: str) -> str:
        return (
            f"  {name:<16} padding {self.padding:6.1%}   calls {self.calls:5}"
            f"   paid {self.paid_s:9.0f} s   waited at most {self.longest_wait:4} calls"
        )


def lengths(count: int = CLIPS, seed: int = SEED) -> list[float]:
    """Seconds of segments as voice activity leaves them: many short, some full."""
    rng = random.Random(seed)
    return [min(LONGEST_S, SHORTEST_S + rng.expovariate(1 / 7.0)) for _ in range(count)]


def ours(waiting: Sequence[float], turn: int) -> list[int]:
    clips = [Waiting(seconds, Lane.HIGH, "") for seconds in waiting]
    facts = {"bound_s": BOUND_S, "call_s": CALL_S, "window_s": LONGEST_S}
    return choose(clips, turn, padding="batch", **facts)


def in_order(waiting: Sequence[float], turn: int) -> list[int]:
    """As they came, as many as fit."""
    return _filled(waiting, range(len(waiting)))


def by_length(waiting: Sequence[float], turn: int) -> list[int]:
    """The shortest first, as many as fit: the least padding, and long clips wait for ever."""
    return _filled(waiting, sorted(range(len(waiting)), key=waiting.__getitem__))


def all_known(clips: Sequence[float]) -> Played:
    """No queue at all: everything known beforehand, sorted, cut where the bound is. The ideal of
    whoever sorts, and nobody's service."""
    return play(by_length, len(clips), clips)


def _filled(waiting: Sequence[float], order: Sequence[int]) -> list[int]:
    taken: list[int] = []
    for i in order:
        if taken and cost_s([waiting[j] for j in (*taken, i)], "batch") > BOUND_S:
            break
        taken.append(i)
    return taken


def play(take: Take, depth: int, clips: Sequence[float]) -> Played:
    """Serve all of `clips`, `depth` of them waiting as long as there are more."""
    played, coming = Played(), list(clips)
    waiting = [(0, coming.pop(0)) for _ in range(min(depth, len(coming)))]
    while waiting:
        taken = take([seconds for _, seconds in waiting], played.calls)
        chosen = [waiting[i] for i in taken]
        played.sound_s += sum(seconds for _, seconds in chosen)
        played.padded_s += cost_s([seconds for _, seconds in chosen], "batch")
        played.longest_wait = max([played.longest_wait, *(played.calls - at for at, _ in chosen)])
        played.calls += 1
        waiting = [one for i, one in enumerate(waiting) if i not in set(taken)]
        come = min(depth - len(waiting), len(coming))
        waiting += [(played.calls, coming.pop(0)) for _ in range(come)]
    return played


def run() -> bool:
    met, clips = True, lengths()
    for depth in DEPTHS:
        ways = {"arrival order": in_order, "sorted queue": by_length, "ours": ours}
        played = {name: play(take, depth, clips) for name, take in ways.items()}
        played["all sorted"] = all_known(clips)
        print(f"  {len(clips)} clips, {sum(clips) / len(clips):.1f} s on average, {depth} waiting")
        for name, one in played.items():
            print(one.line(name))
        met &= goal(
            f"{depth} waiting: arrival order / ours",
            played["arrival order"].paid_s / played["ours"].paid_s,
            LEAST_GAIN,
        )
        for peer in ("sorted queue", "all sorted"):
            print(f"       {peer} / ours: {played[peer].paid_s / played['ours'].paid_s:.2f}")
        if depth == DEPTHS[0]:
            met &= goal("padding", played["ours"].padding, MOST_PADDING, at_most=True)
    return met
