"""An engine's process runs under the Python that has its libraries, and leaves nothing open."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gpu_service.engines.registry import EngineSettings
from gpu_service.hosting.host import EngineHost, State
from gpu_service.hosting.interpreters import BESIDE, python_of
from gpu_service.hosting.process import module_path
from shared.domain.answers import Task
from shared.errors import LibraryMissing
from tests.engines.kinds import ON_TORCH
from tests.engines.mortal import KILLED, doomed
from tests.engines.speech import clip, silence

Hosting = Callable[..., EngineHost]
needs_models = pytest.mark.skipif(not BESIDE.is_file(), reason="make env-models was not run")


@pytest.fixture
def hosting(tmp_path: Path) -> Iterator[Hosting]:
    made: list[EngineHost] = []

    def host(kind: str, models_python: Path | None = None) -> EngineHost:
        settings = EngineSettings(kind=kind)
        made.append(EngineHost("e", settings, cache=tmp_path, models_python=models_python))
        made[-1].start()
        return made[-1]

    yield host
    for each in made:
        each.stop()


@needs_models
def test_a_kind_that_needs_torch_runs_where_torch_is(hosting: Hosting) -> None:
    host = hosting(ON_TORCH)

    said = host.infer(Task.TRANSCRIBE, [clip(silence(1.0))])[0].text

    assert said.split()[0].startswith("2.")
    assert said.split()[1] == "0.000"
    loaded = host.status().loaded
    assert loaded is not None
    assert loaded.parts_s["import"] > 0
    assert list(loaded.warm_up_s) == ["transcribe"]


@needs_models
def test_a_gpu_that_torch_does_not_see_is_said_before_anything_is_built(tmp_path: Path) -> None:
    settings = EngineSettings(kind=ON_TORCH, device="cuda:63", warm_up=False)
    host = EngineHost("e", settings, cache=tmp_path)
    host.start(preload=True)
    status = host.status()
    host.stop()

    assert status.device == "cpu"
    assert "There is no cuda:63 here: torch sees" in (status.fallback or "")


def test_capabilities_need_no_torch(hosting: Hosting) -> None:
    assert hosting(ON_TORCH).capabilities().tasks == {Task.TRANSCRIBE}


def test_without_torch_anywhere_the_remedy_is_named(hosting: Hosting, tmp_path: Path) -> None:
    host = hosting(ON_TORCH, models_python=tmp_path / "python")

    with pytest.raises(LibraryMissing, match="make env-models"):
        host.load()
    assert host.state is State.FAILED
    assert host.status().error == "library_missing"


def test_a_python_that_cannot_be_started_is_said_and_leaves_nothing_open(
    hosting: Hosting, tmp_path: Path
) -> None:
    (tmp_path / "python").touch(mode=0o600)
    host = hosting(ON_TORCH, models_python=tmp_path / "python")
    before = open_files()

    with pytest.raises(LibraryMissing, match="cannot be started"):
        host.load()
    assert (host.state, open_files()) == (State.FAILED, before)


def test_other_kinds_stay_with_our_python() -> None:
    assert python_of(EngineSettings(kind="echo"), None) == Path(sys.executable)


def test_another_python_gets_our_modules_and_not_our_libraries() -> None:
    root = str(Path(__file__).parents[2])
    libraries = [p for p in module_path(Path(sys.executable)) if "site-packages" in p]

    assert root in module_path(Path("/elsewhere/python"))
    assert libraries
    assert not set(libraries) & set(module_path(Path("/elsewhere/python")))


def open_files(pid: int | str = "self") -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def test_no_descriptor_stays_open_however_a_child_ends(hosting: Hosting) -> None:
    host = hosting("tests.engines.mortal:Mortal")
    host.load()
    host.unload()
    before = open_files()

    for fate in (0.0, KILLED):
        try:
            host.infer(Task.TRANSCRIBE, [doomed(fate)])
        except Exception as death:  # the killed one; only what it leaves counts here
            assert type(death).__name__ == "EngineDied"
        host.unload()

    assert open_files() == before


def test_a_child_inherits_its_pipe_and_nothing_else(hosting: Hosting) -> None:
    ours = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(ours, True)
    host = hosting("tests.engines.mortal:Mortal")
    host.load()

    held = {str(f.readlink()) for f in Path(f"/proc/{host.pid}/fd").iterdir()}

    os.close(ours)
    assert sum(name.startswith("socket:") for name in held) == 1
