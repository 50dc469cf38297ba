"""A day's money in slices: never over the cap, and little of it held by those who do not spend."""

from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from shared.domain.slices import PART, SLICE, SLICE_S, Slice, day_of_money, paid
from shared.domain.spending import MICRO, DayOfMoney
from tests.builders import NOW

LATER = NOW + timedelta(seconds=SLICE_S)


def nobody():
    return ()


def test_a_slice_is_a_quarter_dollar_of_a_large_day():
    made = paid(0, Slice("a", NOW), nobody, 4_500, 100 * MICRO, NOW)

    assert (made.taken, made.mine.granted, made.mine.spent) == (SLICE, SLICE, 4_500)
    assert made.mine.until == LATER


def test_of_a_small_day_it_is_a_part():
    made = paid(0, Slice("a", NOW), nobody, 4_500, MICRO, NOW)

    assert made.mine.granted == MICRO // PART


def test_without_a_cap_a_slice_is_taken_too_so_that_a_cap_may_come_later():
    assert paid(0, Slice("a", NOW), nobody, 4_500, None, NOW).taken == SLICE


def test_within_the_slice_the_day_is_not_touched():
    first = paid(0, Slice("a", NOW), nobody, 4_500, 5 * MICRO, NOW)

    second = paid(first.taken, first.mine, nobody, 4_500, 5 * MICRO, NOW)

    assert (second.taken, second.mine.granted) == (first.taken, first.mine.granted)


def test_days_of_small_calls_touch_the_shared_sum_seldom():
    """1,000 calls of a minute from a pro tenant's day: 4.50 of 5 USD."""
    taken, mine, changed = 0, Slice("a", NOW), 0
    for _ in range(1_000):
        made = paid(taken, mine, nobody, 4_500, 5 * MICRO, NOW)
        changed, taken, mine = changed + (made.taken != taken), made.taken, made.mine

    assert mine.spent == 4_500_000
    assert changed < 40


def test_to_the_last_millionth_it_may_be_spent():
    mine = Slice("a", LATER, 100, 100)

    assert paid(100, mine, nobody, 900, 1_000, NOW).taken == 1_000
    assert paid(100, mine, nobody, 901, 1_000, NOW) is None


def test_a_rest_nobody_may_spend_any_more_comes_back():
    dead = Slice("b", NOW, 600, 100)

    made = paid(600, Slice("a", NOW), lambda: [dead], 900, 1_000, NOW)

    assert made.taken == 1_000
    assert made.trimmed == (Slice("b", NOW, 100, 100),)


def test_what_others_may_still_spend_does_not():
    alive = Slice("b", LATER, 600, 100)

    assert paid(600, Slice("a", NOW), lambda: [alive], 401, 1_000, NOW) is None


def test_a_lowered_cap_holds_for_slices_taken_before():
    mine = Slice("a", LATER, 600, 100)

    assert paid(600, mine, nobody, 10, 50, NOW) is None
    assert paid(600, mine, nobody, 10, 110, NOW).taken == 110


def test_a_slice_that_is_over_pays_for_nothing_by_itself():
    made = paid(600, Slice("a", NOW, 600, 100), nobody, 10, 1_000, NOW)

    assert made.mine.until == LATER
    assert made.mine.spent == 110


def test_a_call_dearer_than_it_could_be_is_counted_whole():
    after = Slice("a", LATER, 100, 100).settled(at_most=100, cost=130)

    assert (after.granted, after.spent) == (130, 130)


def test_of_a_dear_call_that_was_cheap_a_slice_stays():
    after = Slice("a", LATER, 2 * MICRO, 2 * MICRO).settled(at_most=2 * MICRO, cost=100)

    assert (after.spent, after.rest) == (100, SLICE)


def test_a_day_tells_what_is_spent_reserved_and_stranded():
    told = day_of_money([Slice("a", LATER, 3 * MICRO, MICRO), Slice("b", NOW, 5 * MICRO, 0)], NOW)

    assert told == DayOfMoney(spent_usd=1.0, reserved_usd=2.0, stranded_usd=5.0)


class Days(RuleBasedStateMachine):
    """Workers take, spend, settle, give back, fall silent; the cap moves; time passes."""

    def __init__(self):
        super().__init__()
        self.now, self.cap, self.taken, self.slices = NOW, 5 * MICRO, 0, {}
        self.calls = []

    def put(self, one):
        self.taken += one.granted - self.slices[one.holder].granted
        self.slices[one.holder] = one

    @rule(holder=some.sampled_from("abcd"), cost=some.integers(0, MICRO))
    def call(self, holder, cost):
        mine = self.slices.setdefault(holder, Slice(holder, self.now))
        others = [s for s in self.slices.values() if s.holder != holder]
        made = paid(self.taken, mine, lambda: others, cost, self.cap, self.now)
        if made is None:
            held = sum(s.rest for s in others if not s.over(self.now))
            spent = sum(s.spent for s in self.slices.values())
            assert spent + held + cost > self.cap
            return
        for one in (made.mine, *made.trimmed):
            self.put(one)
        assert made.taken == self.taken
        assert sum(s.spent for s in self.slices.values()) <= self.taken <= self.cap
        self.calls.append((holder, cost))

    @rule(share=some.floats(0, 1), which=some.integers(0, 99))
    def settle(self, share, which):
        if self.calls:
            holder, cost = self.calls.pop(which % len(self.calls))
            self.put(self.slices[holder].settled(cost, int(cost * share)))

    @rule(holder=some.sampled_from("abcd"))
    def give_back(self, holder):
        if holder in self.slices:
            self.put(self.slices[holder].trimmed())

    @rule(seconds=some.sampled_from([1, 60, SLICE_S - 1, SLICE_S]))
    def time_passes(self, seconds):
        self.now += timedelta(seconds=seconds)

    @rule(cap=some.integers(0, 10 * MICRO))
    def the_cap_is_changed(self, cap):
        self.cap = cap

    @invariant()
    def the_day_is_what_all_were_granted(self):
        assert self.taken == sum(s.granted for s in self.slices.values())
        assert all(0 <= s.rest <= SLICE for s in self.slices.values())


TestDays = Days.TestCase
TestDays.settings = settings(deadline=None, max_examples=100)
