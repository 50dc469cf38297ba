"""Callers that wait together are asked together, and only the guilty one pays."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_service.engines.engine import Clip
from gpu_service.engines.registry import DEFAULTS, EngineSettings
from gpu_service.hosting.host import EngineHost
from gpu_service.serving.server import Server, slices
from shared.domain.answers import Answer, Task
from shared.errors import EngineDied, EngineUnavailable
from tests.engines.mortal import CRASHES, FINE, KILLED, UNAVAILABLE, Gate, doomed
from tests.engines.speech import clip, silence


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as threads:
        yield threads


@pytest.fixture
def server(gate: Gate, pool: ThreadPoolExecutor, tmp_path: Path) -> Iterator[Server]:
    kind = "tests.engines.mortal:Mortal"
    settings = EngineSettings(kind=kind, options={"gate": gate.port})
    made = Server(EngineHost("mortal", settings, cache=tmp_path))
    made.start()
    yield made
    made.stop()


def gathered(
    server: Server, pool: ThreadPoolExecutor, calls: Sequence[tuple[Task, list[Clip]]]
) -> list[Future[list[Answer]]]:
    """Submit one call that occupies the engine, then `calls`, in order, behind it."""
    first = pool.submit(server.infer, Task.TRANSCRIBE, [doomed()])
    until(lambda: server.waiting == 0 and server.busy)
    futures = [first]
    for n, (task, clips) in enumerate(calls):
        futures.append(pool.submit(server.infer, task, clips))
        until(
            partial(
                waits, server, sum(len(slices(behind, 112.0)[0]) for _, behind in calls[: n + 1])
            )
        )
    return futures


def waits(server: Server, clips: int) -> bool:
    return server.waiting == clips


def until(holds: Callable[[], bool]) -> None:
    """Spin, bounded by the test's own timeout, until other threads made it so."""
    while not holds():
        os.sched_yield()


def texts(futures: Sequence[Future[list[Answer]]]) -> list[list[str]]:
    return [[answer.text for answer in future.result()] for future in futures]


def test_what_waits_while_the_engine_works_is_asked_together(
    server: Server, gate: Gate, pool: ThreadPoolExecutor
) -> None:
    calls = [(Task.TRANSCRIBE, [doomed(size=n), doomed(size=n + 100)]) for n in (1, 2, 3)]
    futures = gathered(server, pool, calls)

    assert gate.let_one_begin() == "1 transcribe"
    assert gate.let_one_begin() == "6 transcribe"
    assert texts(futures)[1:] == [[f"{n} acme", f"{n + 100} acme"] for n in (1, 2, 3)]


def test_another_task_waits_for_its_own_batch(
    server: Server, gate: Gate, pool: ThreadPoolExecutor
) -> None:
    tasks = [Task.TRANSCRIBE, Task.CLASSIFY, Task.TRANSCRIBE, Task.CLASSIFY]
    futures = gathered(server, pool, [(task, [doomed()]) for task in tasks])

    begun = [gate.let_one_begin() for _ in range(3)]

    assert begun == ["1 transcribe", "2 transcribe", "2 classify"]
    texts(futures)


def test_a_batch_holds_four_windows(server: Server, gate: Gate, pool: ThreadPoolExecutor) -> None:
    futures = gathered(server, pool, [(Task.TRANSCRIBE, [clip(silence(28.0))])] * 5)

    assert [gate.let_one_begin() for _ in range(3)][1:] == ["4 transcribe", "1 transcribe"]
    texts(futures)


def test_a_clip_that_is_too_long_is_refused_before_it_waits(server: Server) -> None:
    with pytest.raises(ValueError, match=r"longer than 28\.0 s"):
        server.infer(Task.TRANSCRIBE, [clip(silence(28.01))])


@pytest.mark.parametrize(
    ("fate", "cause"), [(KILLED, "SIGKILL"), (CRASHES, "exit code 1")], ids=["killed", "bug"]
)
def test_the_neighbours_of_a_deadly_clip_are_answered(
    server: Server, gate: Gate, pool: ThreadPoolExecutor, fate: float, cause: str
) -> None:
    fates = [FINE, fate, FINE, FINE]
    futures = gathered(server, pool, [(Task.TRANSCRIBE, [doomed(f)]) for f in fates])

    # The first call, the four together, the guilty half and each of it alone, the other half.
    begun = [gate.let_one_begin() for _ in range(6)]

    assert begun == [f"{n} transcribe" for n in (1, 4, 2, 1, 1, 2)]
    with pytest.raises(EngineDied) as death:
        futures[2].result()
    assert death.value.context["cause"] == cause
    assert texts([futures[i] for i in (0, 1, 3, 4)]) == [["160 acme"]] * 4


def test_an_engine_that_cannot_answer_tells_everyone_who_asked(
    server: Server, gate: Gate, pool: ThreadPoolExecutor
) -> None:
    futures = gathered(server, pool, [(Task.TRANSCRIBE, [doomed(f)]) for f in (FINE, UNAVAILABLE)])

    for _ in range(2):
        gate.let_one_begin()

    for future in futures[1:]:
        with pytest.raises(EngineUnavailable, match="No memory left"):
            future.result()


def test_a_long_list_goes_in_slices_so_that_others_get_their_turn(
    server: Server, gate: Gate, pool: ThreadPoolExecutor
) -> None:
    long = [clip(silence(28.0)) for _ in range(6)]
    futures = gathered(
        server, pool, [(Task.TRANSCRIBE, long), (Task.TRANSCRIBE, [clip(silence(28.0))])]
    )

    begun = [gate.let_one_begin() for _ in range(2)]
    begun.append(gate.let_one_begin())
    if begun[2] == "1 transcribe":  # the rest of the list came a moment too late to join
        begun.append(gate.let_one_begin())

    assert begun[:2] == ["1 transcribe", "4 transcribe"]
    assert begun[2:] in (["1 transcribe", "2 transcribe"], ["3 transcribe"])
    assert [len(answers) for answers in texts(futures)] == [1, 6, 1]


def test_stopping_refuses_what_waits_and_what_comes(
    server: Server, pool: ThreadPoolExecutor
) -> None:
    futures = gathered(server, pool, [(Task.TRANSCRIBE, [doomed()])])

    server.stop()

    for future in futures:
        with pytest.raises(EngineUnavailable, match="stopped"):
            future.result()
    with pytest.raises(EngineUnavailable, match="stopped"):
        server.infer(Task.TRANSCRIBE, [doomed()])


def test_starting_twice_is_starting_once_and_a_stopped_server_starts_again(tmp_path: Path) -> None:
    server = Server(EngineHost("echo", DEFAULTS["echo"], cache=tmp_path))
    server.stop()

    for _ in range(2):
        server.start()
        server.start()
        (answer,) = server.infer(Task.TRANSCRIBE, [clip(silence(1.0))])
        assert answer.text == "echo 1.00 s"
        server.stop()


def test_nothing_asked_is_nothing_answered(server: Server) -> None:
    assert server.infer(Task.TRANSCRIBE, []) == []


@given(st.lists(st.floats(0.0, 28.0), max_size=30))
def test_slices_keep_every_clip_in_order_and_within_the_budget(seconds: list[float]) -> None:
    clips = [clip(silence(s)) for s in seconds]

    runs = slices(clips, 112.0)

    assert [id(c) for run in runs for c in run] == [id(c) for c in clips]
    assert all(run for run in runs)
    for run in runs:
        assert len(run) == 1 or sum(c.samples.size for c in run) / 16_000 <= 112.0 + 1e-6
