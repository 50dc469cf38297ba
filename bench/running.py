"""A real stack on a temporary HOME, with the echo engine, for benches that need all of it."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import msgspec

from local.stack import Stack
from shared import wiring
from shared.domain.states import TERMINAL
from shared.settings import Settings, load
from tests.sounds import tone_wav

#: Short, because these benches ask what a file costs, not what listening costs: the speech
#: detector takes 2 ms of CPU a second of sound.
CLIP = tone_wav(0.1)


@contextmanager
def stack(**settings: object) -> Iterator[wiring.Parts]:
    """Everything but inbox and page, stopped and swept afterwards."""
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as home:
        chosen = load(home=Path(home), cascade={"transcribe": ["echo"], "classify": []}, **settings)
        running = Stack(with_environment(chosen), say=lambda _: None)
        running.start()
        try:
            yield wiring.parts(
                msgspec.structs.replace(chosen, broker_url=running.up(os.getpid()).broker)
            )
        finally:
            running.stop()


def with_environment(settings: Settings) -> Settings:
    """The children read the environment; the cascade travels there."""
    os.environ["EARWITNESS_CASCADE__TRANSCRIBE"] = '["echo"]'
    os.environ["EARWITNESS_CASCADE__CLASSIFY"] = "[]"
    return settings


def drop(parts: wiring.Parts, number: int, folder: str = "", **metadata: str) -> None:
    """A tenth of a second, with samples of its own: known content is not heard again."""
    parts.inlet.put(
        f"uploads/demo/{folder}{number}.wav",
        BytesIO(CLIP[:-8] + number.to_bytes(8, "little")),
        content_type="audio/wav",
        metadata=metadata,
        at=parts.now(),
    )


def until_done(parts: wiring.Parts, n: int, patience_s: float = 600) -> float:
    """Seconds until n recordings are terminal."""
    begun = time.perf_counter()
    while sum(parts.recordings.counts()[s] for s in TERMINAL) < n:
        if time.perf_counter() - begun > patience_s:
            raise TimeoutError(f"only {parts.recordings.counts()} of {n}")
        time.sleep(0.02)
    return time.perf_counter() - begun
