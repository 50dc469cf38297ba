"""The one interface every engine has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from shared.domain.answers import Answer, Task
from shared.domain.prices import Terms

#: From and to, in seconds.
Span = tuple[float, float]
#: Mono, 16 kHz, -1..1, shape (n_samples,).
Samples = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Clip:
    """One segment on its way into an engine."""

    samples: Samples
    tenant: str  #: clips of different tenants never share a window
    language: str | None = None  #: ISO 639-1 where the uploader said so
    #: Where in the clip somebody may speak, sorted and apart, if voice activity was looked for
    #: already; None = the engine looks itself.
    speech: tuple[Span, ...] | None = None
    text: str | None = None  #: ALIGN: the words to place; ANSWER: the question
    transcript: str = ""  #: ANSWER: what was said in it, as far as known; data, no instruction
    labels: tuple[str, ...] = ()  #: CLASSIFY: the closed set to choose from; empty = the engine's
    prompt: str | None = None  #: TRANSCRIBE: earlier text or names, where an engine takes any
    temperature: float = 0.0  #: 0 = the same sound always gives the same words


@dataclass(frozen=True, slots=True)
class Capabilities:
    tasks: frozenset[Task]
    max_duration_s: float  #: a longer clip is a mistake of the caller
    rate_hz: int = 16_000
    languages: frozenset[str] | None = None  #: None = any the model knows
    versions: dict[str, str] = field(default_factory=dict)  #: checkpoint, revision, library, dtype
    #: Calls it takes at once. One for a model here; more for a service elsewhere, which is then
    #: asked from a thread of this process, and holds no device while it is waited for.
    concurrency: int = 1
    paid: bool = False  #: each call costs money: only for tenants that opted in, within a budget
    #: How a task is asked and paid, where that differs from one segment at a time for nothing.
    terms: Mapping[Task, Terms] = field(default_factory=dict)
    #: What a batch costs: `batch` where every clip is padded to the longest (n x longest), `none`
    #: where the engine packs clips into windows itself (their sum).
    padding: Literal["none", "batch"] = "none"
    #: What of a clip's `prompt` and `temperature` it honours when it transcribes; whoever asked
    #: for the other is told that it changed nothing.
    heeds: frozenset[Literal["prompt", "temperature"]] = frozenset()
    #: Seconds its word times are too early (negative: too late), as measured; 0 = not measured.
    word_lead_s: float = 0.0


class Engine(Protocol):
    """A model that answers. Not thread-safe: one call at a time, the server sees to it."""

    name: str

    def capabilities(self) -> Capabilities:
        """What it can do; answers before `load` too."""
        ...

    def load(self) -> None:
        """Get ready to answer. Loading twice is loading once.

        Raises:
            WeightsRefused: files missing or with another digest than pinned.
        """
        ...

    def unload(self) -> None:
        """Give the memory back. Unloading what is not loaded does nothing."""
        ...

    def infer(self, task: Task, batch: Sequence[Clip]) -> list[Answer]:
        """Answer every clip, in order, times relative to the clip's own start.

        Raises:
            EngineUnavailable: no clip was answered; asking again may help.
        """
        ...


def check(name: str, able: Capabilities, task: Task, batch: Sequence[Clip]) -> None:
    """Refuse what the engine cannot do, before it costs anything.

    Raises:
        ValueError: no such task, or a clip longer than the engine takes.
    """
    if task not in able.tasks:
        raise ValueError(f"{name} does not {task}")
    if any(clip.samples.size > able.max_duration_s * able.rate_hz for clip in batch):
        raise ValueError(f"a clip is longer than {able.max_duration_s} s; cut it first")
