"""What loading takes, by parts, and what a call will take, by measuring two."""

from pathlib import Path

import pytest

from gpu_service.engines.registry import EngineSettings
from gpu_service.hosting.host import EngineHost
from gpu_service.hosting.warming import LONG_S, resident_mb, wants_warm_up, warm_clip
from gpu_service.weights.loading import Part, Stopwatch, measured, part
from shared.domain.answers import Task
from shared.domain.sound import SAMPLE_RATE
from tests.engines.kinds import ON_CUDA, ON_TORCH, ROOMY


class Ticking:
    """Each look at it is a second later."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        self.at += 1.0
        return self.at


def test_parts_inside_others_are_taken_out_of_them() -> None:
    clock = Ticking()
    watch = Stopwatch(clock)
    with measured(watch), watch.part(Part.BUILD), part(Part.VERIFY), part(Part.READ):
        pass

    assert watch.seconds == {"read": 1.0, "verify": 2.0, "build": 2.0}
    assert sum(watch.seconds.values()) == clock.at - 1.0


def test_the_same_part_twice_adds_up() -> None:
    watch = Stopwatch(Ticking())
    for _ in range(2):
        with watch.part(Part.READ):
            pass

    assert watch.seconds == {"read": 2.0}


def test_nobody_measures_nothing_happens() -> None:
    with part(Part.READ):
        pass


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        (EngineSettings(kind="echo"), False),
        (EngineSettings(kind="echo", warm_up=True), True),
        (EngineSettings(kind="whisper", device="cuda"), True),
        (EngineSettings(kind=ON_TORCH), True),
        (EngineSettings(kind=ON_TORCH, warm_up=False), False),
    ],
    ids=["cpu", "told to", "gpu", "torch", "told not to"],
)
def test_who_is_warmed_up(settings: EngineSettings, wanted: bool) -> None:
    assert wants_warm_up(settings) is wanted


@pytest.mark.parametrize("task", list(Task))
def test_the_warm_clip_is_what_the_task_needs_and_always_the_same(task: Task) -> None:
    clip, again = warm_clip(task, 1.0), warm_clip(task, 1.0)

    assert clip.samples.size == SAMPLE_RATE
    assert (clip.samples == again.samples).all()
    assert 0.01 < float(clip.samples.std()) < 0.1
    assert (clip.text is not None) is (task in (Task.ALIGN, Task.ANSWER))


def test_a_footprint_is_measured_with_two_lengths(tmp_path: Path) -> None:
    """The engine takes 60 MB loaded and 8 MB for each second of sound."""
    settings = EngineSettings(kind=ROOMY, warm_up=True, options={"mb": 60, "mb_per_s": 8})
    host = EngineHost("roomy", settings, cache=tmp_path)
    host.start(preload=True)
    footprint, loaded, held = host.footprint, host.status().loaded, host.memory_mb
    host.stop()

    assert footprint is not None
    assert footprint.mb_per_s == pytest.approx(8 * 1.048576, rel=0.25)
    assert footprint.base_mb == pytest.approx(held, abs=30)
    assert held > 60
    assert loaded is not None
    assert list(loaded.warm_up_s) == ["transcribe"]
    assert loaded.parts_s.keys() >= {"import", "build", "warm_up"}
    assert LONG_S <= 28.0


def test_without_a_warm_up_there_is_no_footprint(tmp_path: Path) -> None:
    host = EngineHost("e", EngineSettings(kind=ON_CUDA), cache=tmp_path)
    host.start(preload=True)
    footprint = host.footprint
    host.stop()

    assert footprint is None


def test_a_process_that_is_gone_holds_nothing() -> None:
    assert resident_mb("self") > 5
    assert resident_mb(2**30) == 0.0
