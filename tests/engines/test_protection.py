"""Lanes, callers who leave, retries and the breaker, at the server of a real host."""

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import JsonValue

from gpu_service.engines.engine import Clip
from gpu_service.engines.registry import EngineSettings
from gpu_service.hosting.host import EngineHost
from gpu_service.hosting.remote import RemoteHost
from gpu_service.serving.pace import Pace
from gpu_service.serving.server import Server
from shared.domain.answers import Answer, Task
from shared.domain.breaker import Policy, Position
from shared.domain.lanes import Lane
from shared.domain.retry_budget import MAX_TRIES
from shared.errors import BreakerOpen, EngineDied, EngineUnavailable, StaleLease, WeightsRefused
from tests.engines.mortal import HANGS, KILLED, Gate, doomed
from tests.engines.speech import clip, silence
from tests.engines.test_serving import pool, server, until

__all__ = ["pool", "server"]  # fixtures

T = Task.TRANSCRIBE


class Hurrying:
    """A clock on which a minute passes at every look: whoever waits is due at once."""

    now_s = 0.0

    def __call__(self) -> float:
        self.now_s += 60.0
        return self.now_s


class Still:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@contextmanager
def distant(tmp_path: Path, clock: Hurrying | Still, **options: JsonValue) -> Iterator[Server]:
    settings = EngineSettings(kind="tests.engines.distant:Distant", options=options)
    policy = Policy(minimum=3, jitter=0.0, window_s=1e9, probes=1)
    host = RemoteHost("distant", settings, cache=tmp_path)
    made = Server(host, policy=policy, clock=clock, chance=lambda: 0.5)
    made.start()
    try:
        yield made
    finally:
        made.stop()


def test_high_goes_before_low_that_waited_longer(
    server: Server, gate: Gate, pool: ThreadPoolExecutor
) -> None:
    first = pool.submit(server.infer, T, [doomed()])
    until(lambda: server.busy and not server.waiting)
    low = pool.submit(server.infer, T, [doomed(size=448_000)] * 4, lane=Lane.LOW)
    until(lambda: server.waiting == 4)
    high = pool.submit(server.infer, T, [doomed(size=448_000)] * 3, lane=Lane.HIGH)
    until(lambda: server.waiting == 7)

    begun = [gate.let_one_begin() for _ in range(3)]

    assert begun == ["1 transcribe", "3 transcribe", "4 transcribe"]
    assert [len(f.result()) for f in (first, low, high)] == [1, 4, 3]


def test_a_caller_that_lost_its_lease_takes_its_clips_back(
    server: Server, gate: Gate, pool: ThreadPoolExecutor
) -> None:
    gone = threading.Event()

    def alive() -> None:
        gone.set()
        raise StaleLease

    first = pool.submit(server.infer, T, [doomed()])
    until(lambda: server.busy and not server.waiting)
    leaving = pool.submit(server.infer, T, [doomed()] * 5, alive=alive)
    with pytest.raises(StaleLease):
        leaving.result()
    staying = pool.submit(server.infer, T, [doomed()] * 2)
    until(lambda: server.waiting == 7)

    begun = [gate.let_one_begin() for _ in range(2)]

    assert gone.is_set()
    assert begun == ["1 transcribe", "2 transcribe"]
    assert [len(f.result()) for f in (first, staying)] == [1, 2]


async def test_a_cancelled_request_costs_the_engine_nothing(
    server: Server, gate: Gate, pool: ThreadPoolExecutor
) -> None:
    first = asyncio.create_task(server.asked(T, [doomed()]))
    await asyncio.to_thread(until, lambda: server.busy and not server.waiting)
    gone = asyncio.create_task(server.asked(T, [doomed()] * 5))
    staying = asyncio.create_task(server.asked(T, [doomed()] * 2))
    await asyncio.to_thread(until, lambda: server.waiting == 7)

    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    begun = [await asyncio.to_thread(gate.let_one_begin) for _ in range(2)]

    assert begun == ["1 transcribe", "2 transcribe"]
    assert (len(await first), len(await staying)) == (1, 2)


def test_a_service_elsewhere_is_asked_several_times_at_once_and_calls_stay_whole(
    tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    with distant(tmp_path, Still(), together=3) as server:
        calls = [pool.submit(server.infer, T, [doomed()] * n) for n in (1, 2, 3)]

        sizes = [[a.text.split()[0] for a in call.result()] for call in calls]

        assert sizes == [["1"], ["2"] * 2, ["3"] * 3]


def test_a_refusal_with_a_time_to_come_back_is_tried_again_and_no_other(tmp_path: Path) -> None:
    with distant(tmp_path, Hurrying(), busy_calls=MAX_TRIES - 1) as server:
        assert server.infer(T, [doomed()])[0].text == f"1 {MAX_TRIES}"
    with distant(tmp_path, Hurrying(), broken_calls=1) as server:
        with pytest.raises(EngineUnavailable, match="line broke"):
            server.infer(T, [doomed()])
        assert server.infer(T, [doomed()])[0].text == "1 2"


def test_retries_end_after_three_tries(tmp_path: Path) -> None:
    with distant(tmp_path, Hurrying(), busy_calls=100) as server:
        with pytest.raises(EngineUnavailable, match="Come back later"):
            server.infer(T, [doomed()])

        assert server.figures.retried == MAX_TRIES - 1


def test_an_open_breaker_refuses_at_once_and_a_probe_closes_it(tmp_path: Path) -> None:
    clock = Still()
    with distant(tmp_path, clock, broken_calls=3) as server:
        for _ in range(3):
            with pytest.raises(EngineUnavailable, match="line broke"):
                server.infer(T, [doomed()])
        until(lambda: not server.busy)

        with pytest.raises(BreakerOpen) as refusal:
            server.infer(T, [doomed()])
        assert refusal.value.context["retry_after_s"] == 10.0
        clock.now_s += 10.0
        assert server.position is Position.HALF_OPEN
        assert server.infer(T, [doomed()])[0].text == "1 4"  # the refused one was never asked
        until(lambda: not server.busy)
        assert server.position is Position.CLOSED


def test_clips_that_kill_the_engine_alone_do_not_open_it_for_others(
    tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    settings = EngineSettings(kind="tests.engines.mortal:Mortal")
    server = Server(EngineHost("mortal", settings, cache=tmp_path))
    server.start()
    try:
        for n in range(12):
            fate = KILLED if n % 4 == 0 else 0.0
            if fate:
                with pytest.raises(EngineDied):
                    server.infer(T, [doomed(fate)])
            else:
                server.infer(T, [doomed()])
        assert server.position is Position.CLOSED
    finally:
        server.stop()


def test_stopping_with_a_batch_in_hand_and_a_long_queue_takes_seconds_and_answers_everybody(
    tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    """R7 at the server: a child that would hang for ever, and twelve callers behind it."""
    settings = EngineSettings(kind="tests.engines.mortal:Mortal")
    server = Server(EngineHost("mortal", settings, cache=tmp_path))
    server.start()
    callers = [pool.submit(server.infer, T, [doomed(HANGS)])]
    until(lambda: server.busy)
    callers += [pool.submit(server.infer, T, [doomed()] * 3) for _ in range(12)]
    until(lambda: server.waiting == 36)

    begun_s = time.monotonic()
    server.stop()
    took_s = time.monotonic() - begun_s

    for caller in callers:
        with pytest.raises(EngineUnavailable, match="stopped"):
            caller.result()
    print(f"\nstopped after {took_s:.2f} s (goal 8 s for all of the service)")


def test_a_service_elsewhere_that_never_answers_does_not_hold_up_the_end(
    tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    with distant(tmp_path, Still(), together=2) as server:
        caller = pool.submit(server.infer, T, [doomed()])
        until(lambda: server.busy)
        server.stop()

        with pytest.raises(EngineUnavailable, match="stopped"):
            caller.result()


def test_every_call_gets_the_time_its_sound_needs(tmp_path: Path) -> None:
    limits: list[float | None] = []

    class Noting(RemoteHost):
        """A real host that also notes its limits."""

        def infer(
            self, task: Task, batch: Sequence[Clip], *, limit_s: float | None = None
        ) -> list[Answer]:
            limits.append(limit_s)
            return super().infer(task, batch, limit_s=limit_s)

    settings = EngineSettings(kind="tests.engines.distant:Distant")
    server = Server(Noting("noting", settings, cache=tmp_path), clock=Still())
    server.start()
    try:
        for seconds in (1.0, 100.0):
            server.infer(T, [clip(silence(seconds))])
    finally:
        server.stop()

    assert limits == [Pace().limit_s(1.0), Pace().limit_s(100.0)]


def test_weights_that_are_missing_are_said_each_time(tmp_path: Path) -> None:
    settings = EngineSettings(kind="tests.engines.mortal:Mortal", options={"weights": False})
    server = Server(EngineHost("mortal", settings, cache=tmp_path))
    server.start()
    try:
        for _ in range(6):
            with pytest.raises(WeightsRefused):
                server.infer(T, [doomed()])
    finally:
        server.stop()
