"""Start-time fair queueing: cases, properties, and ten tenants of which one floods."""

import heapq
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.fairness import MAX_LEAD_S, UNKNOWN_SECONDS, tag


@pytest.mark.parametrize(
    ("now", "next_tag", "seconds", "weight", "start", "after"),
    [
        pytest.param(100.0, 0.0, 10.0, 1.0, 100.0, 110.0, id="first job starts now"),
        pytest.param(100.0, 100.0, 10.0, 1.0, 100.0, 110.0, id="tag at now"),
        pytest.param(100.0, 100.5, 10.0, 1.0, 100.5, 110.5, id="tag just ahead"),
        pytest.param(100.0, 110.0, 10.0, 1.0, 110.0, 120.0, id="second job queues behind"),
        pytest.param(100.0, 0.0, 10.0, 4.0, 100.0, 102.5, id="weight 4 pays a quarter"),
        pytest.param(100.0, 0.0, None, 1.0, 100.0, 100.0 + UNKNOWN_SECONDS, id="unknown length"),
        pytest.param(0.0, MAX_LEAD_S - 1, 1.0, 1.0, MAX_LEAD_S - 1, MAX_LEAD_S, id="at the cap"),
        pytest.param(0.0, MAX_LEAD_S - 1, 2.0, 1.0, MAX_LEAD_S - 1, MAX_LEAD_S, id="over the cap"),
        pytest.param(0.0, MAX_LEAD_S + 9, 2.0, 1.0, MAX_LEAD_S, MAX_LEAD_S, id="clock went back"),
    ],
)
def test_tag(now, next_tag, seconds, weight, start, after):
    tags = tag(now, next_tag, seconds, weight)

    assert (tags.start_tag, tags.next_tag) == (start, after)


@given(st.floats(0, 1e9), st.floats(0, 1e9), st.floats(0, 1e6), st.floats(0.1, 100))
def test_a_tag_is_never_in_the_past_nor_beyond_the_cap(now, next_tag, seconds, weight):
    tags = tag(now, next_tag, seconds, weight)

    assert now <= tags.start_tag <= tags.next_tag <= now + MAX_LEAD_S


@given(st.floats(0, 1e9), st.floats(0, 1e5))
def test_waiting_ages_a_job(now, later):
    """A newcomer of a tenant that never came before does not pass one that waits longer."""
    assert tag(now, 0, 1, 1).start_tag <= tag(now + later, 0, 1, 1).start_tag


@dataclass(frozen=True)
class Arrival:
    tenant: int
    at: float
    seconds: float


def waits(arrivals: list[Arrival], servers: int, speed: float) -> dict[int, list[float]]:
    """Serve in tag order on `servers` servers, each `speed` times faster than real time."""
    next_tags: dict[int, float] = {}
    queue: list[tuple[float, int, Arrival]] = []
    free = [0.0] * servers
    pending = sorted(arrivals, key=lambda a: a.at)
    waited: dict[int, list[float]] = {}
    i = 0
    while i < len(pending) or queue:
        at = max(free[0], pending[i].at if not queue else 0.0)
        while i < len(pending) and pending[i].at <= at:
            a = pending[i]
            tags = tag(a.at, next_tags.get(a.tenant, 0.0), a.seconds, 1.0)
            next_tags[a.tenant] = tags.next_tag
            heapq.heappush(queue, (tags.start_tag, i, a))
            i += 1
        _, _, job = heapq.heappop(queue)
        waited.setdefault(job.tenant, []).append(at - job.at)
        heapq.heapreplace(free, at + job.seconds / speed)
    return waited


def test_a_flood_barely_moves_the_others(capsys):
    """Ten tenants, one sends 5,000 recordings at once; 2 servers at 8 times real time."""
    calm = [Arrival(t, 40.0 * n + t, 20.0) for t in range(1, 10) for n in range(90)]
    flood = [Arrival(0, 10.0, 60.0) for _ in range(5_000)]

    before = waits(calm, servers=2, speed=8.0)
    during = waits(calm + flood, servers=2, speed=8.0)

    worst_before = max(w for t in range(1, 10) for w in before[t])
    worst_during = max(w for t in range(1, 10) for w in during[t])
    mean_during = sum(sum(during[t]) for t in range(1, 10)) / len(calm)
    with capsys.disabled():
        print(
            f"\nfairness: others wait at most {worst_before:.1f} s without the flood,"
            f" {worst_during:.1f} s with it (mean {mean_during:.1f} s);"
            f" the flood itself up to {max(during[0]):,.0f} s"
        )
    one_flood_job_s = 60.0 / 8.0
    assert worst_during <= worst_before + 2 * one_flood_job_s
    assert max(during[0]) > 10_000
