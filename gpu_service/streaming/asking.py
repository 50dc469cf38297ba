"""Which engines hear a stream, and what happens when one of them cannot."""

from collections.abc import Callable, Mapping, Sequence

from gpu_service.engines.engine import Clip
from gpu_service.hearing.against_sound import checked
from gpu_service.serving.server import Server
from shared.domain.answers import Answer, Task
from shared.domain.confined import confined
from shared.domain.sound import MAX_SEGMENT_S, SAMPLE_RATE
from shared.errors import EngineDied, EngineUnavailable, InvalidStream

#: Times each engine is asked about a piece before the stream is told.
ROUNDS = 2


def chosen(
    wished: str | None,
    language: str | None,
    cascade: Sequence[str],
    servers: Mapping[str, Server],
) -> tuple[str, ...]:
    """The engines of a stream: the cascade, with the wished one in place of the first choice.

    Raises:
        InvalidStream: there is no such engine, or none that takes this language for nothing.
    """
    engines = tuple(cascade) if wished is None else (wished, *cascade[1:])
    fit = [name for name in engines if _suits(servers.get(name), language)]
    tongue = f" ({language})" if language else ""
    if wished is not None and wished not in fit:
        raise InvalidStream(f"No engine {wished} transcribes live sound{tongue} here.")
    if not fit:
        raise InvalidStream(
            f"No engine transcribes live sound{tongue} here. See EARWITNESS_CASCADE__TRANSCRIBE."
        )
    return tuple(fit)


def _suits(server: Server | None, language: str | None) -> bool:
    """Whether it takes our segments, for nothing: there is no recording that could be charged."""
    if server is None:
        return False
    able = server.capabilities()
    knows = language is None or able.languages is None or language in able.languages
    long_enough = able.max_duration_s >= MAX_SEGMENT_S
    return Task.TRANSCRIBE in able.tasks and not able.paid and knows and long_enough


def heard(
    servers: Mapping[str, Server],
    engines: Sequence[str],
    clip: Clip,
    alive: Callable[[], None] = lambda: None,
) -> tuple[Answer, int]:
    """The first answer an engine gives, confined, and how many failed before; blocks until then.

    `alive` is called while it waits, and ends it by raising.

    Raises:
        EngineUnavailable, EngineDied: none answered in ROUNDS; `retry_count` is in its context.
    """
    failure: EngineUnavailable | EngineDied | None = None
    tries = list(engines) * ROUNDS
    for failed, name in enumerate(tries):
        try:
            [answer] = servers[name].infer(Task.TRANSCRIBE, [clip], alive=alive)
            answer = confined(answer, clip.samples.size / SAMPLE_RATE)
            return checked(answer, clip, servers[name].capabilities()), failed
        except (EngineUnavailable, EngineDied) as error:
            error.context |= {"engine": name, "retry_count": failed}
            failure = error
    raise failure or EngineUnavailable("No engine is set for streams.")
