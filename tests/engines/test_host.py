"""An engine's process may die at any moment; only the call in hand is lost."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import wait
from pathlib import Path

import pytest

from gpu_service.engines.registry import EngineSettings
from gpu_service.hosting.host import EngineHost, State
from shared.domain.answers import Task
from shared.errors import (
    EngineDied,
    EngineUnavailable,
    InvalidSettings,
    WeightsRefused,
)
from tests.engines.mortal import CRASHES, HANGS, KILLED, UNAVAILABLE, Gate, doomed
from tests.engines.speech import clip, silence

Hosting = Callable[..., EngineHost]


@pytest.fixture
def hosting(tmp_path: Path) -> Iterator[Hosting]:
    made: list[EngineHost] = []

    def host(limit_s: float = 60.0, **options: bool | int) -> EngineHost:
        settings = EngineSettings(kind="tests.engines.mortal:Mortal", options=dict(options))
        made.append(EngineHost("mortal", settings, cache=tmp_path, limit_s=limit_s))
        return made[-1]

    yield host
    for each in made:
        each.stop()


def ask(host: EngineHost, fate: float = 0.0, size: int = 160) -> str:
    return host.infer(Task.TRANSCRIBE, [doomed(fate, size)])[0].text


def test_nothing_is_spawned_before_the_first_call(hosting: Hosting) -> None:
    host = hosting()
    host.start()

    assert (host.state, host.pid) == (State.ABSENT, None)
    assert ask(host) == "160 acme"
    assert host.state is State.READY
    assert host.pid not in (None, os.getpid())


def test_preloading_returns_with_the_model_in_memory(hosting: Hosting) -> None:
    host = hosting()
    host.start(preload=True)

    assert host.state is State.READY
    assert host.pid is not None


def test_answers_come_in_the_order_of_the_clips(hosting: Hosting) -> None:
    host = hosting()
    host.start()

    answers = host.infer(Task.TRANSCRIBE, [doomed(size=n, tenant="t") for n in (1, 320, 7)])

    assert [a.text for a in answers] == ["1 t", "320 t", "7 t"]
    assert host.infer(Task.TRANSCRIBE, []) == []


def test_many_threads_share_one_child(hosting: Hosting) -> None:
    host = hosting()
    host.start()

    with ThreadPoolExecutor(8) as pool:
        texts = list(pool.map(lambda n: ask(host, size=n), range(1, 41)))

    assert texts == [f"{n} acme" for n in range(1, 41)]


@pytest.mark.parametrize(
    ("fate", "cause"), [(KILLED, "SIGKILL"), (CRASHES, "exit code 1")], ids=["killed", "bug"]
)
def test_a_death_costs_one_call_and_says_how(hosting: Hosting, fate: float, cause: str) -> None:
    host = hosting()
    host.start()
    ask(host)
    before = host.pid

    with pytest.raises(EngineDied) as death:
        ask(host, fate)

    assert death.value.context == {"engine": "mortal", "cause": cause}
    assert (host.state, host.pid) == (State.ABSENT, None)
    assert ask(host) == "160 acme"
    assert host.pid != before


def test_killed_from_outside_in_mid_call_is_the_same_death(hosting: Hosting, gate: Gate) -> None:
    host = hosting(gate=gate.port)
    host.start(preload=True)
    victim = host.pid
    assert victim is not None

    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(ask, host, HANGS)
        gate.let_one_begin()
        os.kill(victim, signal.SIGKILL)
        with pytest.raises(EngineDied):
            call.result()
        again = pool.submit(ask, host)
        gate.let_one_begin()

    assert again.result() == "160 acme"


def test_a_death_between_two_calls_is_nobodys(hosting: Hosting) -> None:
    host = hosting()
    host.start(preload=True)
    assert host.pid is not None
    gone = os.pidfd_open(host.pid)
    os.kill(host.pid, signal.SIGKILL)
    wait([gone])
    os.close(gone)

    assert ask(host) == "160 acme"


def test_a_child_that_hangs_is_killed_and_the_call_fails(hosting: Hosting) -> None:
    host = hosting(limit_s=0.2)
    host.start()

    with pytest.raises(EngineDied, match=r"no answer within 0\.2 s"):
        ask(host, HANGS)
    assert host.pid is None


def test_an_error_of_the_engine_comes_through_and_the_child_lives(hosting: Hosting) -> None:
    host = hosting()
    host.start(preload=True)
    before = host.pid

    with pytest.raises(EngineUnavailable, match="No memory left") as error:
        ask(host, UNAVAILABLE)

    assert error.value.context == {"device": "cuda:0"}
    assert (host.state, host.pid) == (State.READY, before)


def test_refused_weights_fail_the_load_and_are_tried_again(hosting: Hosting) -> None:
    host = hosting(weights=False)

    for _ in range(2):
        with pytest.raises(WeightsRefused, match=r"model\.bin"):
            host.start(preload=True)
        assert host.state is State.FAILED


def test_dying_while_loading_is_a_failed_load(hosting: Hosting) -> None:
    host = hosting(dies_loading=True)

    with pytest.raises(EngineDied, match="SIGKILL"):
        host.start(preload=True)

    assert host.state is State.FAILED


def test_wrong_settings_are_refused_without_a_child(tmp_path: Path) -> None:
    host = EngineHost("x", EngineSettings(kind="no such"), cache=tmp_path)
    host.start()

    with pytest.raises(InvalidSettings, match="unknown"):
        host.infer(Task.TRANSCRIBE, [doomed()])
    assert host.pid is None


def test_before_start_and_after_stop_calls_are_refused(hosting: Hosting) -> None:
    host = hosting()
    with pytest.raises(EngineUnavailable, match="stopped"):
        ask(host)

    host.start(preload=True)
    host.stop()
    with pytest.raises(EngineUnavailable, match="stopped"):
        ask(host)
    assert (host.state, host.pid) == (State.ABSENT, None)

    host.start()
    assert ask(host) == "160 acme"


def test_stopping_ends_a_call_in_hand(hosting: Hosting, gate: Gate) -> None:
    host = hosting(gate=gate.port)
    host.start(preload=True)

    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(ask, host, HANGS)
        gate.let_one_begin()
        host.stop()
        with pytest.raises(EngineUnavailable, match="stopped"):
            call.result()


def test_unloading_gives_the_process_back_and_the_next_call_starts_one(hosting: Hosting) -> None:
    host = hosting()
    host.start(preload=True)

    host.unload()

    assert (host.state, host.pid) == (State.ABSENT, None)
    assert ask(host) == "160 acme"


@pytest.mark.parametrize(
    ("task", "seconds"), [(Task.TRANSCRIBE, 28.001), (Task.EMBED, 1.0)], ids=["too long", "task"]
)
def test_what_the_engine_cannot_do_is_the_callers_mistake(
    hosting: Hosting, task: Task, seconds: float
) -> None:
    host = hosting()
    host.start()

    with pytest.raises(ValueError, match=r"longer than 28|does not embed"):
        host.infer(task, [clip(silence(seconds))])
    assert host.pid is None
    assert host.infer(Task.TRANSCRIBE, [clip(silence(28.0))])[0].text == "448000 acme"


ORPHAN = """
import os, signal, sys
from pathlib import Path
from gpu_service.hosting.host import EngineHost
from gpu_service.engines.registry import EngineSettings
from shared.domain.answers import Task
from tests.engines.mortal import HANGS, doomed
if __name__ == "__main__":
    options = {"gate": int(sys.argv[1])}
    settings = EngineSettings(kind="tests.engines.mortal:Mortal", options=options)
    host = EngineHost("mortal", settings, cache=Path("."))
    host.start(preload=True)
    print(host.pid, flush=True)
    if sys.argv[2] == "busy":
        host.infer(Task.TRANSCRIBE, [doomed(HANGS)])
    signal.pause()
"""


@pytest.mark.parametrize("doing", ["idle", "busy"])
def test_the_child_does_not_outlive_a_killed_parent(tmp_path: Path, gate: Gate, doing: str) -> None:
    script = tmp_path / "parent.py"
    script.write_text(ORPHAN)
    parent = subprocess.Popen(
        [sys.executable, str(script), str(gate.port), doing],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )
    assert parent.stdout is not None
    child = os.pidfd_open(int(parent.stdout.readline()))
    if doing == "busy":
        gate.let_one_begin()

    parent.kill()
    parent.communicate()

    assert wait([child], timeout=20) == [child]
    os.close(child)
