"""P2: how soon a job starts: when idle, and as a high one behind 10,000 low ones."""

import statistics
import sys
import time
from datetime import timedelta

from bench.measuring import goal
from bench.running import drop, stack, until_done
from shared import wiring
from shared.domain.lanes import Lane
from shared.domain.recording import Recording
from shared.domain.states import State

IDLE, BACKLOG, URGENT = 60, 10_000, 40


def wait_ms(parts: wiring.Parts, known: Recording) -> float:
    """From accepted (recorded) to started (leased), by the recording's own history."""
    history = parts.recordings.history(known.id)
    started = next(m.at for m in history if m.state is State.PROCESSING)
    return (started - history[0].at) / timedelta(milliseconds=1)


def idle(parts: wiring.Parts) -> list[float]:
    """Waits of jobs that come one by one; the first has warmed everything."""
    waits = []
    for n in range(IDLE + 1):
        drop(parts, n)
        until_done(parts, n + 1)
        waits.append(wait_ms(parts, parts.recordings.page(limit=1)[0]))
    return waits[1:]


def backlog(parts: wiring.Parts) -> None:
    """Low jobs, as quickly as they can be admitted."""
    flow = wiring.intake(parts)
    for n in range(BACKLOG):
        drop(parts, n, "bulk/")
    for pending in iter(lambda: parts.uploads.events(1000), []):  # type: ignore[attr-defined]
        for one in pending:
            flow(one.event)
        parts.uploads.event_sent(*pending)  # type: ignore[attr-defined]


def urgent(parts: wiring.Parts) -> tuple[list[float], float]:
    """Waits of high jobs sent one by one, and the low lane's share of what ended meanwhile."""
    before = parts.recordings.counts()[State.DONE]
    for n in range(URGENT):
        drop(parts, n, "now/")
        time.sleep(0.1)
    high = [r for r in parts.recordings.page(limit=20_000) if r.path.startswith("now/")]
    while any(r.state is not State.DONE for r in high) or len(high) < URGENT:
        time.sleep(0.1)
        high = [r for r in parts.recordings.page(limit=20_000) if r.path.startswith("now/")]
    ended = parts.recordings.counts()[State.DONE] - before
    assert all(r.lane is Lane.HIGH for r in high)
    return [wait_ms(parts, r) for r in high], (ended - URGENT) / max(ended, 1)


def run() -> bool:
    with stack() as parts:
        waits = idle(parts)
        backlog(parts)
        high, share = urgent(parts)
        left = parts.jobs.waiting(parts.now())[Lane.LOW]
    p50, p99 = statistics.median(waits), max(high)
    print(f"  idle: p50 {p50:.1f} ms, max {max(waits):.1f} ms over {IDLE}")
    print(f"  behind {BACKLOG:,} low: {URGENT} high jobs, max wait {p99:.0f} ms; {left:,} low left")
    return all(
        [
            goal("idle accept to start, p50 ms", p50, 5.0, at_most=True),
            goal("a high job behind a low flood, worst s", p99 / 1000, 1.0, at_most=True),
            goal("low lane's share meanwhile", share, 0.05),
        ]
    )


if __name__ == "__main__":
    sys.exit(0 if run() else 1)
