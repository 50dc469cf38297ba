"""The life of an engine's own process: load when first asked, answer until the pipe closes."""

import os
import signal
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path
from threading import Thread

from gpu_service.engines import frames
from gpu_service.engines.engine import Engine
from gpu_service.engines.registry import EngineSettings, build
from shared.errors import EarwitnessError, OutOfMemory

#: Header of the call that only loads.
LOAD = b"load"


def live(pipe: Connection, name: str, settings_json: str, cache: Path) -> None:
    """Answer calls from `pipe` until it closes.

    What we do not understand is not caught: the process dies with its traceback on stderr, and
    only the call in hand is lost.
    """
    # Ctrl-C reaches the whole group; the parent decides when we stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()
    engine: Engine | None = None
    while (header := _next(pipe)) is not None:
        sound = b"" if header == LOAD else pipe.recv_bytes()
        try:
            engine = engine or build(
                name, EngineSettings.model_validate_json(settings_json), cache=cache
            )
            answer = _served(engine, header, sound)
        except EarwitnessError as error:
            answer = frames.failed(error)
        except MemoryError as error:
            answer = frames.failed(OutOfMemory(engine=name, said=str(error)))
        except RuntimeError as error:
            if not _out_of_memory(error):
                raise
            answer = frames.failed(OutOfMemory(engine=name, said=str(error)))
        pipe.send_bytes(answer)


def _served(engine: Engine, header: bytes, sound: bytes) -> bytes:
    engine.load()
    if header == LOAD:
        return frames.answered([])
    task, clips = frames.requested(header, sound)
    return frames.answered(engine.infer(task, clips))


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
    except EOFError:
        return None


def _end_with_parent() -> None:
    """Leave at once when the parent is gone, also from the middle of a long call."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
