"""A GPU that is absent or fails: the CPU goes on, and everything that is told tells so."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gpu_service.engines.registry import EngineSettings
from gpu_service.hosting.host import CPU_FALLBACK, EngineHost, State, on_cpu
from shared.domain.answers import Answer, Task
from shared.errors import DeviceUnavailable, EngineDied
from tests.engines.kinds import ON_CUDA
from tests.engines.mortal import doomed

Hosting = Callable[..., EngineHost]


@pytest.fixture
def hosting(tmp_path: Path) -> Iterator[Hosting]:
    made: list[EngineHost] = []

    def host(device: str, **more: object) -> EngineHost:
        options = {"mended": str(tmp_path / "mended")}
        said = {"kind": ON_CUDA, "device": device, "options": options, **more}
        made.append(EngineHost("e", EngineSettings.model_validate(said), cache=tmp_path))
        made[-1].start()
        return made[-1]

    yield host
    for each in made:
        each.stop()


def ask(host: EngineHost, first: float = 0.0) -> Answer:
    return host.infer(Task.TRANSCRIBE, [doomed(first)])[0]


@pytest.mark.parametrize(
    ("device", "why"), [("cuda", "RuntimeError: Found no NVIDIA driver"), ("cuda:1", "SIGKILL")]
)
def test_a_gpu_that_fails_at_load_is_replaced_by_the_cpu(
    hosting: Hosting, device: str, why: str
) -> None:
    host = hosting(device, dtype="float16")

    answer = ask(host)

    assert answer.text == "cpu float32"
    assert answer.cautions == (CPU_FALLBACK,)
    status = host.status()
    assert (status.state, status.device) == (State.READY, "cpu")
    assert why in (status.fallback or "")


@pytest.mark.parametrize(("device", "kind"), [("cuda", DeviceUnavailable), ("cuda:1", EngineDied)])
def test_where_fallback_is_forbidden_the_load_fails(
    hosting: Hosting, device: str, kind: type[Exception]
) -> None:
    host = hosting(device, fallback=False)

    with pytest.raises(kind):
        ask(host)
    assert (host.state, host.status().device) == (State.FAILED, device)


def test_a_failure_in_the_middle_of_work_costs_the_call_and_then_the_gpu(
    hosting: Hosting, tmp_path: Path
) -> None:
    (tmp_path / "mended").touch()
    host = hosting("cuda:2")
    assert ask(host).text == "cuda:2 int8"

    with pytest.raises(EngineDied):
        ask(host, first=1.0)
    (tmp_path / "mended").unlink()

    assert ask(host).cautions == (CPU_FALLBACK,)
    assert host.status().device == "cpu"


def test_a_gpu_that_comes_back_is_taken_at_the_next_load(hosting: Hosting, tmp_path: Path) -> None:
    host = hosting("cuda:2")
    ask(host)
    (tmp_path / "mended").touch()
    host.unload()

    answer = ask(host)

    assert (answer.text, answer.cautions) == ("cuda:2 int8", ())
    assert host.status().fallback is None


@pytest.mark.parametrize(
    ("dtype", "on"), [("float16", "float32"), ("int8_float16", "int8"), ("bfloat16", "bfloat16")]
)
def test_the_cpu_computes_in_a_type_of_its_own(dtype: str, on: str) -> None:
    settings = EngineSettings(kind="echo", device="cuda:1", dtype=dtype)

    assert (on_cpu(settings).device, on_cpu(settings).dtype) == ("cpu", on)
