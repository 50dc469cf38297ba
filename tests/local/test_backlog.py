"""When what failed may be tried again."""

import pytest

from local.backlog import LONGEST_WAIT_S, Backlog, Waiting, wait_s


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [(1, 0.2), (2, 0.4), (3, 0.8), (6, 6.4), (7, LONGEST_WAIT_S), (10_000, LONGEST_WAIT_S)],
)
def test_wait_doubles_up_to_its_longest(failures, seconds):
    assert wait_s(failures) == pytest.approx(seconds)


def test_first_come_is_first_tried():
    backlog = Backlog()
    backlog.add("a")
    backlog.add("b")

    assert [backlog.take(0).item, backlog.take(0).item, backlog.take(0)] == ["a", "b", None]


def test_failed_comes_back_after_its_wait_and_not_before():
    backlog = Backlog()
    backlog.fail(Waiting("a"), now_s=100.0)

    assert backlog.rest_s(100.0) == pytest.approx(0.2)
    assert backlog.take(100.199) is None
    assert backlog.take(100.2) == Waiting("a", failed=1)


def test_each_failure_counts():
    backlog = Backlog()
    backlog.fail(Waiting("a", failed=1), now_s=0.0)

    assert backlog.take(0.399) is None
    assert backlog.take(0.4) == Waiting("a", failed=2)


def test_what_is_due_again_goes_before_what_is_new():
    backlog = Backlog()
    backlog.fail(Waiting("old"), now_s=0.0)
    backlog.add("new")

    assert [backlog.take(1.0).item, backlog.take(1.0).item] == ["old", "new"]


def test_rest_tells_when_there_is_something():
    backlog = Backlog()
    assert backlog.rest_s(0.0) is None

    backlog.add("a")
    assert backlog.rest_s(0.0) == 0.0
    assert len(backlog) == 1


def test_hurry_makes_everything_due_in_order_and_keeps_the_count():
    backlog = Backlog()
    backlog.fail(Waiting("b", failed=3), now_s=0.0)
    backlog.fail(Waiting("a"), now_s=0.0)
    backlog.hurry()

    assert [backlog.take(0.0), backlog.take(0.0)] == [Waiting("a", 1), Waiting("b", 4)]
