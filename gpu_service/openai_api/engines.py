"""Models are our engines: which there are, and which one a name means."""

from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict

from gpu_service.house import House
from shared.domain.answers import Task
from shared.domain.cascade import Policy
from shared.errors import InvalidRequest, ModelNotFound

#: OpenAI's transcription models; whoever asks for one gets the cascade, first choice first.
#: Source: openai-python 3.54, `types/audio_model.py`, and the model page of gpt-transcribe.
ALIASES = frozenset(
    {
        "whisper-1",
        "gpt-transcribe",
        "gpt-4o-transcribe",
        "gpt-4o-transcribe-diarize",
        "gpt-4o-mini-transcribe",
        "gpt-4o-mini-transcribe-2025-12-15",
    }
)


class Model(BaseModel):
    """Source: OpenAI, "API reference", "Models"; the keys from `aliases` on are ours."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    """The engine's name; send it as `model`."""
    object: Literal["model"] = "model"
    created: int
    """When this instance of the service began, in seconds since the epoch."""
    owned_by: Literal["earwitness"] = "earwitness"
    aliases: list[str]
    """Names of OpenAI's models that mean this engine, too."""
    tasks: list[str]
    """What it can do: transcribe, classify, describe ..."""
    languages: list[str] | None
    """ISO 639-1 codes; null for any the model knows."""
    state: str
    """Whether it is in memory now: absent, loading, ready, failed ..."""


class Models(BaseModel):
    object: Literal["list"] = "list"
    data: list[Model]


def listed(house: House, created: int) -> Models:
    """Every engine of this house, by name."""
    return Models(data=[_model(house, name, created) for name in sorted(house.hosts)])


def one(house: House, name: str, created: int) -> Model:
    """The engine a name means.

    Raises:
        ModelNotFound: none.
    """
    engine = house.settings.cascade.transcribe[0] if _is_alias(house, name) else name
    if engine not in house.hosts:
        raise _unknown(name)
    return _model(house, engine, created)


def chosen(house: House, name: str) -> tuple[str, ...]:
    """The engines to ask: the one named, then the rest of the cascade where that one fails; the
    cascade, first choice first, where a model of OpenAI's is named.

    Raises:
        ModelNotFound: no engine has this name.
        InvalidRequest: that one does not transcribe.
    """
    cascade = tuple(house.settings.cascade.transcribe)
    if _is_alias(house, name):
        return cascade
    if name not in house.hosts:
        raise _unknown(name)
    can = house.hosts[name].capabilities()
    if Task.TRANSCRIBE not in can.tasks:
        raise InvalidRequest(f"The engine {name} does not transcribe.", param="model")
    if can.paid:
        raise InvalidRequest(
            f"The engine {name} costs money and is asked for recordings only, within their tenant's"
            " budget. Upload the sound with POST /v1/uploads and the wish engine.",
            param="model",
        )
    return (name, *(engine for engine in cascade if engine != name))


def policy(house: House, name: str) -> Policy:
    """How answers are judged: those of a model that was named stand, whatever they are worth."""
    usual = house.work.ask.policy
    return usual if _is_alias(house, name) else usual.taking(Task.TRANSCRIBE, name)


def check_languages(house: House, engine: str, languages: Iterable[str]) -> None:
    """Raises InvalidRequest: the first choice knows none of `languages`."""
    known, wanted = house.hosts[engine].capabilities().languages, list(languages)
    if wanted and known is not None and known.isdisjoint(wanted):
        raise InvalidRequest(
            f"The engine {engine} knows {', '.join(sorted(known))} and not {', '.join(wanted)}.",
            param="language",
        )


def _is_alias(house: House, name: str) -> bool:
    """An engine of this house may have the name of a model of theirs; then it is meant."""
    return name in ALIASES and name not in house.hosts and bool(house.settings.cascade.transcribe)


def _unknown(name: str) -> ModelNotFound:
    said = name[:60].encode("ascii", "backslashreplace").decode()
    return ModelNotFound(f"There is no model {said}. List them with GET /v1/models.", param="model")


def _model(house: House, name: str, created: int) -> Model:
    can = house.hosts[name].capabilities()
    first = house.settings.cascade.transcribe[:1] == [name]
    return Model(
        id=name,
        created=created,
        aliases=sorted(ALIASES - house.hosts.keys()) if first else [],
        tasks=sorted(task.value for task in can.tasks),
        languages=None if can.languages is None else sorted(can.languages),
        state=house.hosts[name].state.value,
    )
