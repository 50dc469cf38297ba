"""An engine elsewhere is asked from several threads at once, without a process of its own."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gpu_service.engines.registry import EngineSettings
from gpu_service.hosting.host import State
from gpu_service.hosting.remote import RemoteHost, is_remote
from shared.domain.answers import Task
from shared.errors import EngineUnavailable
from tests.engines.kinds import DISTANT
from tests.engines.mortal import doomed


@pytest.fixture
def host(tmp_path: Path) -> Iterator[RemoteHost]:
    made = RemoteHost("far", EngineSettings(kind=DISTANT), cache=tmp_path)
    made.start()
    yield made
    made.stop()


def ask(host: RemoteHost, size: int, tenant: str = "acme") -> str:
    return host.infer(Task.TRANSCRIBE, [doomed(size=size, tenant=tenant)])[0].text


def test_two_calls_are_in_the_engine_at_once(host: RemoteHost) -> None:
    with ThreadPoolExecutor(4) as pool:
        texts = list(pool.map(lambda n: ask(host, n, "pair"), [1, 2, 3, 4]))

    assert texts == [f"{n} {os.getpid()}" for n in (1, 2, 3, 4)]
    assert host.concurrency == 2
    assert host.status().answered == 4


def test_it_is_remote_by_what_it_says(tmp_path: Path) -> None:
    assert is_remote("far", EngineSettings(kind=DISTANT), tmp_path)
    assert not is_remote("echo", EngineSettings(kind="echo"), tmp_path)


def test_it_is_ready_after_the_first_call_and_holds_nothing(host: RemoteHost) -> None:
    assert host.state is State.ABSENT
    ask(host, 1)

    assert (host.state, host.pid, host.status().memory_mb) == (State.READY, None, 0.0)
    assert host.unload_if_idle()
    assert host.state is State.ABSENT


def test_a_failure_is_told_and_does_not_end_it(host: RemoteHost) -> None:
    with pytest.raises(EngineUnavailable, match="busy"):
        ask(host, 1, "refused")

    assert (host.state, host.status().error) == (State.READY, "engine_unavailable")
    assert ask(host, 5).startswith("5 ")
    assert host.status().error is None


def test_after_stop_calls_are_refused(host: RemoteHost) -> None:
    host.stop()

    with pytest.raises(EngineUnavailable, match="stopped"):
        ask(host, 1)
