"""The life of an engine's own process: load when told, answer until the pipe closes."""

import json
import os
import select
import signal
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Event, Thread

from gpu_service.engines.engine import Engine
from gpu_service.engines.registry import EngineSettings
from gpu_service.hosting import frames
from gpu_service.hosting.warming import loaded
from gpu_service.weights.loading import Stopwatch
from shared.errors import DeviceUnavailable, EarwitnessError, OutOfMemory

#: Header of the call that only loads.
LOAD = b"load"
#: Seconds the main thread gets to leave by itself once the parent's end of the pipe is gone.
LEAVE_S = 1.0


def main(fd: int) -> None:
    """Live on this pipe: the first frame says who we are, then come calls.

    What we do not understand is not caught: the process dies with its traceback on stderr, and
    only the call in hand is lost.
    """
    # Ctrl-C reaches the whole group; the parent decides when we stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.set_inheritable(fd, False)
    Thread(target=_end_with_parent, args=(fd,), daemon=True).start()
    pipe = Connection(fd)
    if (first := _next(pipe)) is not None:
        said = json.loads(first)
        settings = EngineSettings.model_validate(said["settings"])
        live(pipe, said["name"], settings, Path(said["cache"]))


def live(pipe: Connection, name: str, settings: EngineSettings, cache: Path) -> None:
    """Answer calls from `pipe` until it closes. The first is LOAD."""
    engine: Engine | None = None
    while (header := _next(pipe)) is not None:
        sound = b"" if header == LOAD else pipe.recv_bytes()
        try:
            if engine is None:
                engine, answer = _load(name, settings, cache)
            else:
                task, clips = frames.requested(header, sound)
                answer = frames.answered(engine.infer(task, clips))
        except EarwitnessError as error:
            answer = frames.failed(error)
        except MemoryError as error:
            answer = frames.failed(OutOfMemory(engine=name, said=str(error)))
        except RuntimeError as error:
            if not _out_of_memory(error):
                raise
            answer = frames.failed(OutOfMemory(engine=name, said=str(error)))
        pipe.send_bytes(answer)


def _load(name: str, settings: EngineSettings, cache: Path) -> tuple[Engine, bytes]:
    """Load, and say what it took.

    Raises:
        DeviceUnavailable: on a GPU, whatever its libraries called it: many classes, most of
            them plain RuntimeError, and the parent waits for a reason to go on with the CPU.
    """
    try:
        engine, report = loaded(name, settings, cache, Stopwatch())
    except EarwitnessError:
        raise
    except Exception as error:
        if settings.device == "cpu":
            raise
        said = " ".join(str(error).split())[:300]
        raise DeviceUnavailable(
            f"The engine {name} could not be loaded on {settings.device}:"
            f" {type(error).__name__}: {said}",
            engine=name,
            device=settings.device,
        ) from error
    return engine, frames.loaded(report)


def _out_of_memory(error: RuntimeError) -> bool:
    """Whether a library says so in its own words: torch has a class for CUDA and none for the CPU.

    Source: torch.OutOfMemoryError ("CUDA out of memory"), c10/core/impl/alloc_cpu.cpp ("can't
    allocate memory"), CTranslate2 primitives ("out of memory").
    """
    said = str(error).lower()
    return type(error).__name__ == "OutOfMemoryError" or any(
        words in said for words in ("out of memory", "can't allocate memory")
    )


def _next(pipe: Connection) -> bytes | None:
    try:
        return pipe.recv_bytes()
    except (EOFError, ConnectionResetError):
        return None


def _end_with_parent(fd: int) -> None:
    """Leave when the parent's end of the pipe is gone, also from the middle of a long call."""
    hung_up = select.poll()
    hung_up.register(fd, 0)  # asks for nothing, so only the end of the pipe wakes it
    hung_up.poll()
    Event().wait(LEAVE_S)
    os._exit(1)
