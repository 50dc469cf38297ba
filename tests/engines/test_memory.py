"""R8: memory really runs out in an engine's process; the batch is halved and everybody answered."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import JsonValue

from gpu_service.engines.registry import EngineSettings
from gpu_service.hosting.host import EngineHost
from gpu_service.serving.server import Server
from shared.domain.answers import Task
from shared.domain.breaker import Position
from shared.errors import EngineDied, OutOfMemory
from tests.engines.speech import clip, silence

#: 8 MB a padded second in 400 MB: some 50 s fit, the default bound is 112 s.
FITS_S = 50.0


@contextmanager
def hungry(tmp_path: Path, ends: str) -> Iterator[Server]:
    settings = EngineSettings(kind="tests.engines.hungry:Hungry", options={"ends": ends})
    server = Server(EngineHost("hungry", settings, cache=tmp_path))
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.mark.parametrize("ends", ["says", "killed"])
def test_a_batch_that_does_not_fit_is_halved_and_everybody_is_answered(
    tmp_path: Path, ends: str
) -> None:
    with hungry(tmp_path, ends) as server:
        first = server.infer(Task.TRANSCRIBE, [clip(silence(10.0)) for _ in range(11)])
        lost = server.figures.lost
        second = server.infer(Task.TRANSCRIBE, [clip(silence(10.0)) for _ in range(11)])

        assert len(first) == len(second) == 11
        assert max(int(a.text.split()[0]) for a in second) * 10.0 <= FITS_S
        assert lost >= 1
        assert server.figures.lost == lost  # remembered: nothing was lost the second time
        assert server.bound_s <= 55.0
        assert server.position is Position.CLOSED


@pytest.mark.parametrize(("ends", "error"), [("says", OutOfMemory), ("killed", EngineDied)])
def test_a_clip_that_does_not_fit_alone_fails_alone(
    tmp_path: Path, ends: str, error: type[Exception]
) -> None:
    with hungry(tmp_path, ends) as server, ThreadPoolExecutor(8) as pool:
        large = pool.submit(server.infer, Task.TRANSCRIBE, [clip(silence(60.0))])
        small = [pool.submit(server.infer, Task.TRANSCRIBE, [clip(silence(1.0))]) for _ in range(7)]

        assert all(len(future.result()) == 1 for future in small)
        with pytest.raises(error):
            large.result()


def test_a_batch_never_needs_more_memory_than_a_call_may_take(tmp_path: Path) -> None:
    """What the warm-up measures (8 MB a second) and 160 MB allow 20 s; nothing is lost."""
    options: dict[str, JsonValue] = {"room_mb": 4_000}
    settings = EngineSettings(kind="tests.engines.hungry:Hungry", options=options, warm_up=True)
    server = Server(EngineHost("hungry", settings, cache=tmp_path), room_mb=160.0)
    server.start()
    try:
        server.infer(Task.TRANSCRIBE, [clip(silence(5.0))])  # loads and warms up
        answers = server.infer(Task.TRANSCRIBE, [clip(silence(5.0)) for _ in range(9)])

        sizes = {int(answer.text.split()[0]) for answer in answers}
        assert 2 <= max(sizes) <= 4
        assert server.figures.lost == 0
    finally:
        server.stop()
