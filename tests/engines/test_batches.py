"""Which clips share a batch: proved against every way there is, and by properties."""

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_service.serving.batches import EPSILON_S, Waiting, choose, cost_s, cut
from shared.domain.lanes import LOW_FIRST_EVERY, Lane

BOUND_S, WINDOW_S = 112.0, 28.0
lengths = st.floats(0.1, 28.0)
clips = st.builds(Waiting, lengths, st.sampled_from(Lane), st.sampled_from(["transcribe", "embed"]))


def chosen(waiting: Sequence[Waiting], turn: int = 0, padding: str = "batch") -> list[int]:
    return choose(
        waiting,
        turn,
        bound_s=BOUND_S,
        call_s=2.0,
        padding=padding,  # type: ignore[arg-type]  # a Literal
        window_s=WINDOW_S,
    )


def partitions(items: Sequence[float]) -> Iterator[list[list[float]]]:
    """Every way to share out `items`."""
    if not items:
        yield []
        return
    for rest in partitions(items[1:]):
        yield [[items[0]], *rest]
        for i in range(len(rest)):
            yield [*rest[:i], [items[0], *rest[i]], *rest[i + 1 :]]


@settings(deadline=None)
@given(st.lists(lengths, max_size=7), st.floats(0.0, 60.0), st.floats(28.0, 120.0))
def test_no_way_to_share_out_is_cheaper(
    given_s: list[float], call_s: float, bound_s: float
) -> None:
    ordered = sorted(given_s, reverse=True)

    ranges = cut(ordered, bound_s=bound_s, call_s=call_s)

    paid = sum(call_s + cost_s(ordered[a:b], "batch") for a, b in ranges)
    legal = (
        ways
        for ways in partitions(ordered)
        if all(len(w) == 1 or cost_s(w, "batch") <= bound_s for w in ways)
    )
    least = min(sum(call_s + cost_s(w, "batch") for w in ways) for ways in legal)
    assert paid == pytest.approx(least)
    assert [i for a, b in ranges for i in range(a, b)] == list(range(len(ordered)))


@settings(deadline=None)
@given(st.lists(clips, max_size=60), st.integers(0, 40), st.sampled_from(["none", "batch"]))
def test_a_batch_is_of_one_kind_within_its_bound_and_holds_who_waited_longest(
    waiting: list[Waiting], turn: int, padding: str
) -> None:
    batch = chosen(waiting, turn, padding)

    assert bool(batch) is bool(waiting)
    if not batch:
        return
    taken = [waiting[i] for i in batch]
    assert len(set(batch)) == len(batch)
    assert len({one.kind for one in taken}) == 1
    cost = cost_s([one.seconds for one in taken], padding)  # type: ignore[arg-type]
    assert len(batch) == 1 or cost <= BOUND_S + EPSILON_S
    leading = Lane.LOW if turn % LOW_FIRST_EVERY == LOW_FIRST_EVERY - 1 else Lane.HIGH
    of_lane = [i for i, one in enumerate(waiting) if one.lane is leading]
    assert (of_lane or [0])[0] in batch


@settings(deadline=None)
@given(st.lists(clips, max_size=60), st.integers(0, 40))
def test_the_other_lane_never_makes_a_padded_batch_larger(
    waiting: list[Waiting], turn: int
) -> None:
    assert len({waiting[i].lane for i in chosen(waiting, turn)}) <= 1


@settings(deadline=None)
@given(st.lists(lengths, min_size=1, max_size=8), st.lists(lengths, max_size=8))
def test_low_clips_only_fill_windows_that_high_ones_pay_for(
    high_s: list[float], low_s: list[float]
) -> None:
    high = [Waiting(s, Lane.HIGH, "") for s in high_s]
    low = [Waiting(s, Lane.LOW, "") for s in low_s]

    alone, together = chosen(high, 0, "none"), chosen([*high, *low], 0, "none")

    paid_s = WINDOW_S * -(-sum(high[i].seconds for i in alone) // WINDOW_S)
    assert together[: len(alone)] == alone
    extra = [i for i in together if i not in alone]
    assert not extra or sum(([*high, *low])[i].seconds for i in together) <= paid_s


def test_low_is_served_every_twentieth_turn_however_much_high_waits() -> None:
    waiting = [Waiting(5.0, Lane.LOW, "")] + [Waiting(5.0, Lane.HIGH, "")] * 500

    served = [turn for turn in range(100) if 0 in chosen(waiting, turn)]

    assert served == [19, 39, 59, 79, 99]


def test_lengths_far_apart_go_apart() -> None:
    waiting = [Waiting(s, Lane.HIGH, "") for s in (28.0, 1.0, 1.1, 27.0, 0.9)]

    assert chosen(waiting) == [0, 3]
    assert chosen(waiting[1:]) == [0, 1, 3]


def test_a_call_that_costs_much_by_itself_is_shared_by_unequal_clips() -> None:
    waiting = [Waiting(s, Lane.HIGH, "") for s in (10.0, 1.0)]
    facts = {"bound_s": BOUND_S, "padding": "batch", "window_s": WINDOW_S}

    assert choose(waiting, 0, call_s=8.9, **facts) == [0]  # type: ignore[arg-type]
    assert choose(waiting, 0, call_s=9.1, **facts) == [0, 1]  # type: ignore[arg-type]
