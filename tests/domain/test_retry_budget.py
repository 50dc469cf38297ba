"""Retries stay a share of calls, whatever happens; a model that is down is not asked ever more."""

import heapq
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.breaker import Breaker, Policy
from shared.domain.retry_budget import CAP_S, MAX_TRIES, SAVED, SHARE, RetryBudget, wait_s

#: R9 (GOALS): the model is down so long, and calls <= 1.2 x jobs.
DOWN_S, MOST_CALLS = 600.0, 1.2


@settings(deadline=None)
@given(st.lists(st.booleans(), max_size=400), st.integers(0, 400), st.integers(0, 400))
def test_in_any_stretch_retries_are_a_share_of_calls(
    wishes: list[bool], start: int, end: int
) -> None:
    """True: a call that wants to be tried again; False: one that is fine."""
    budget, retried = RetryBudget(), list[bool]()
    for wish in wishes:
        budget.called()
        retried.append(wish and budget.spend())

    stretch = retried[start:end]
    assert sum(stretch) <= SAVED + SHARE * len(stretch) + 1e-9


@settings(deadline=None)
@given(st.integers(1, 20), st.floats(0.0, 1.0), st.none() | st.floats(0.0, 1e4))
def test_nobody_comes_back_sooner_than_asked_nor_much_later(
    tries: int, chance: float, asked_s: float | None
) -> None:
    wait = wait_s(tries, chance, asked_s)

    assert (asked_s or 0.0) < wait <= (asked_s or 0.0) + CAP_S


def test_a_model_down_for_ten_minutes_gets_at_most_1_2_calls_a_job() -> None:
    """Two jobs a second for an hour; from minute 10 to 20 every call fails at once.

    A job that finds the breaker open waits 5 s and asks again, as `flows.work` gives it back.
    """
    line = Line()
    jobs = [Job(arrival / 2.0) for arrival in range(7_200)]

    line.run(jobs)

    assert all(job.answered for job in jobs)
    assert line.calls <= MOST_CALLS * len(jobs)
    assert line.calls_while_down <= 2 * DOWN_S / Policy().open_s + 20
    assert line.calls > len(jobs)  # some were made in vain, or nothing was tested


class Job:
    def __init__(self, due_s: float) -> None:
        self.due_s, self.answered, self.tries = due_s, False, 0


class Line:
    """Breaker and budget in front of a model that is down for a while; an event at a time."""

    def __init__(self) -> None:
        self.breaker, self.budget = Breaker(Policy()), RetryBudget()
        self.random = random.Random(4)
        self.calls = self.calls_while_down = 0

    def run(self, jobs: list[Job]) -> None:
        queue = [(job.due_s, number) for number, job in enumerate(jobs)]
        while queue:
            _, number = heapq.heappop(queue)
            self._ask(jobs[number])
            if not jobs[number].answered:
                heapq.heappush(queue, (jobs[number].due_s, number))

    def _ask(self, job: Job) -> None:
        now_s = job.due_s
        if self.breaker.admit(now_s) > 0.0:
            job.due_s += 5.0 + self.random.random()
            return
        self.calls += 1
        self.budget.called()
        job.answered = not 600.0 <= now_s < 600.0 + DOWN_S
        self.breaker.report(now_s, fine=job.answered, chance=self.random.random())
        if not job.answered:
            self.calls_while_down += 1
            self._later(job)

    def _later(self, job: Job) -> None:
        job.tries += 1
        if job.tries < MAX_TRIES and self.budget.spend():
            job.due_s += wait_s(job.tries, self.random.random())
        else:
            job.due_s += 5.0 + self.random.random()
            job.tries = 0
