"""One guilty clip is found by halving; everybody else is answered."""

from collections.abc import Sequence
from math import ceil, log2

from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_service.serving.bisection import Settlement
from shared.errors import EarwitnessError, EngineDied, EngineUnavailable, InvalidWish, OutOfMemory


class Machine:
    """Answers the double of each number; what it cannot bear is said by the test."""

    def __init__(self, guilty: set[int], error: type[EarwitnessError] = EngineDied) -> None:
        self.guilty, self.error = guilty, error
        self.room = 1 << 30  #: items it can hold at once
        self.calls: list[int] = []
        self.answered: dict[int, int] = {}
        self.failed: dict[int, Exception] = {}

    def ask(self, items: Sequence[int]) -> list[int]:
        self.calls.append(len(items))
        if self.guilty & set(items):
            raise self.error
        if len(items) > self.room:
            raise OutOfMemory
        return [2 * item for item in items]

    def settle(self, count: int) -> None:
        Settlement[int, int](self.ask, self._answer, self._fail)(range(count))

    def _answer(self, item: int, answer: int) -> None:
        assert item not in self.answered and item not in self.failed
        self.answered[item] = answer

    def _fail(self, item: int, error: Exception) -> None:
        assert item not in self.answered and item not in self.failed
        self.failed[item] = error


errors = st.sampled_from([EngineDied, InvalidWish, OutOfMemory])


@settings(deadline=None)
@given(st.integers(1, 200), st.data(), errors)
def test_one_guilty_item_fails_alone_within_2_log2_n_more_calls(
    count: int, data: st.DataObject, error: type[EarwitnessError]
) -> None:
    machine = Machine({data.draw(st.integers(0, count - 1))}, error)

    machine.settle(count)

    assert set(machine.failed) == machine.guilty
    assert isinstance(next(iter(machine.failed.values())), error)
    assert machine.answered == {i: 2 * i for i in range(count) if i not in machine.guilty}
    assert len(machine.calls) <= 1 + 2 * ceil(log2(count) if count > 1 else 0)


def test_a_guilty_item_at_the_end_costs_log2_n_more_calls() -> None:
    machine = Machine({63})

    machine.settle(64)

    assert len(machine.calls) == 1 + 6 + 1
    assert machine.calls == [64, 32, 16, 8, 4, 2, 1, 1]


@settings(deadline=None)
@given(st.integers(1, 64), st.sets(st.integers(0, 63), max_size=4), errors)
def test_every_item_is_answered_or_failed_exactly_once_and_only_the_guilty_fail(
    count: int, guilty: set[int], error: type[EarwitnessError]
) -> None:
    machine = Machine({one for one in guilty if one < count}, error)

    machine.settle(count)

    assert set(machine.failed) == machine.guilty
    assert len(machine.answered) + len(machine.failed) == count


@settings(deadline=None)
@given(st.integers(1, 100), st.integers(1, 100))
def test_memory_for_fewer_answers_everybody_in_smaller_batches(count: int, room: int) -> None:
    machine = Machine(set())
    machine.room = room

    machine.settle(count)

    assert len(machine.answered) == count


def test_an_engine_that_loses_everything_is_not_asked_for_each() -> None:
    machine = Machine(set(range(1_000)))

    machine.settle(1_000)

    assert len(machine.failed) == 1_000
    assert len(machine.calls) <= 2 * log2(1_000) + 5


def test_an_engine_that_cannot_answer_is_asked_once() -> None:
    machine = Machine({3}, EngineUnavailable)

    machine.settle(8)

    assert machine.calls == [8]
    assert len(machine.failed) == 8


def test_too_few_answers_are_a_failure_for_everybody_who_asked() -> None:
    failed: list[int] = []

    Settlement[int, int](lambda _: [1], lambda *_: None, lambda i, _: failed.append(i))(range(3))

    assert failed == [0, 1, 2]
