"""The breaker against a plain model of it; time and chance are arguments."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shared.domain.breaker import Breaker, Policy, Position

POLICY = Policy(
    window=6,
    window_s=60.0,
    minimum=3,
    failure_rate=0.5,
    slow_rate=0.75,
    open_s=10.0,
    open_most_s=25.0,
    jitter=0.5,
    probes=2,
)


class AgainstModel(RuleBasedStateMachine):
    """The model keeps every report since it last closed and counts anew each time."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker, self.now_s = Breaker(POLICY), 0.0
        self.reports: list[tuple[float, bool, bool]] = []
        self.open_from: float | None = None
        self.open_for_s = 0.0
        self.let_through: list[float] = []  # when, of the probes of this round
        self.fine = 0
        self.reopened = 0

    @property
    def modelled(self) -> Position:
        if self.open_from is None:
            return Position.CLOSED
        cooled = self.now_s >= self.open_from + self.open_for_s
        return Position.HALF_OPEN if cooled else Position.OPEN

    @rule(seconds=st.sampled_from([0.0, 0.5, 5.0, 9.5, 10.0, 15.0, 61.0]))
    def time_goes_by(self, seconds: float) -> None:
        self.now_s += seconds

    @rule()
    def somebody_asks(self) -> None:
        position = self.modelled
        rest_s = self.breaker.admit(self.now_s)

        if position is Position.CLOSED:
            assert rest_s == 0.0
        elif position is Position.OPEN:
            assert self.open_from is not None
            assert rest_s == pytest.approx(self.open_from + self.open_for_s - self.now_s)
        else:
            self._asked_half_open(rest_s)

    def _asked_half_open(self, rest_s: float) -> None:
        full = len(self.let_through) == POLICY.probes
        forgotten = full and self.now_s >= self.let_through[-1] + POLICY.open_s
        if forgotten:
            self.let_through, self.fine = [], 0
        assert (rest_s == 0.0) is (not full or forgotten)
        if rest_s == 0.0:
            self.let_through.append(self.now_s)

    @precondition(lambda self: self.modelled is Position.CLOSED)
    @rule(failed=st.booleans(), slow=st.booleans(), chance=st.floats(0.0, 1.0))
    def a_call_ends(self, failed: bool, slow: bool, chance: float) -> None:
        self.breaker.report(self.now_s, fine=not failed, slow=slow, chance=chance)
        self.reports.append((self.now_s, failed, slow))

        seen = self.reports[-POLICY.window :]
        seen = [one for one in seen if one[0] > self.now_s - POLICY.window_s]
        bad = sum(f for _, f, _ in seen) >= POLICY.failure_rate * len(seen)
        dull = sum(s for _, _, s in seen) >= POLICY.slow_rate * len(seen)
        if len(seen) >= POLICY.minimum and (bad or dull):
            self._opened(chance)

    @precondition(lambda self: self.modelled is Position.HALF_OPEN and self.let_through)
    @rule(fine=st.booleans(), slow=st.booleans(), chance=st.floats(0.0, 1.0))
    def a_probe_ends(self, fine: bool, slow: bool, chance: float) -> None:
        self.breaker.report(self.now_s, fine=fine, slow=slow, chance=chance)

        if not fine or slow:
            self.reopened += 1
            self._opened(chance)
            return
        self.fine += 1
        if self.fine == POLICY.probes:
            self.open_from, self.reports, self.reopened = None, [], 0

    @precondition(lambda self: self.modelled is Position.OPEN)
    @rule(fine=st.booleans())
    def a_call_from_before_ends(self, fine: bool) -> None:
        self.breaker.report(self.now_s, fine=fine)

    def _opened(self, chance: float) -> None:
        self.open_from = self.now_s
        full_s = [10.0, 20.0, 25.0][min(self.reopened, 2)]
        self.open_for_s = full_s * (1 + POLICY.jitter * chance)
        self.let_through, self.fine = [], 0

    @invariant()
    def agrees(self) -> None:
        assert self.breaker.position(self.now_s) is self.modelled


TestAgainstModel = AgainstModel.TestCase
TestAgainstModel.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def opened(policy: Policy = POLICY) -> Breaker:
    breaker = Breaker(policy)
    for _ in range(policy.minimum):
        breaker.report(0.0, fine=False)
    return breaker


def test_one_call_short_of_the_minimum_says_nothing() -> None:
    breaker = Breaker(POLICY)
    for _ in range(POLICY.minimum - 1):
        breaker.report(0.0, fine=False)

    assert breaker.position(0.0) is Position.CLOSED


def test_slow_calls_open_it_like_failed_ones() -> None:
    breaker = Breaker(POLICY)
    for _ in range(POLICY.minimum):
        breaker.report(0.0, fine=True, slow=True)

    assert breaker.position(0.0) is Position.OPEN


def test_only_so_many_probes_at_once() -> None:
    breaker = opened()

    rests = [breaker.admit(10.0) for _ in range(POLICY.probes + 3)]

    assert rests == [0.0] * POLICY.probes + [POLICY.open_s] * 3


def test_asking_how_long_takes_no_probe() -> None:
    breaker = opened()
    for _ in range(100):
        assert breaker.rest_s(10.0) == 0.0

    assert breaker.admit(10.0) == 0.0
