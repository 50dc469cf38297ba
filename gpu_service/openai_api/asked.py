"""What a caller of the transcription API asks for, checked in full before anything is heard."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from shared.domain.wishes import LANGUAGE
from shared.errors import InvalidRequest

E = TypeVar("E", bound=StrEnum)


class Format(StrEnum):
    JSON = "json"
    TEXT = "text"
    SRT = "srt"
    VERBOSE_JSON = "verbose_json"
    VTT = "vtt"
    DIARIZED_JSON = "diarized_json"


class Granularity(StrEnum):
    WORD = "word"
    SEGMENT = "segment"


#: Formats whose words can be told one after another.
STREAMED = frozenset({Format.JSON, Format.TEXT, Format.DIARIZED_JSON})
#: Formats that tell no times: nobody is asked to place their words.
TIMELESS = frozenset({Format.JSON, Format.TEXT})
#: Characters. OpenAI's models read 224 tokens of a prompt; more is a mistake, not a hint.
MAX_PROMPT = 4_000
MAX_LANGUAGES = 20
#: OpenAI's range. Source: API reference, "Create transcription", temperature.
MAX_TEMPERATURE = 1.0
#: Taken and not honoured; the answer says so.
UNHEEDED = frozenset({"keywords", "known_speaker_names", "known_speaker_references"})
KNOWN = UNHEEDED | {
    *("file", "model", "language", "languages", "prompt", "response_format", "temperature"),
    *("timestamp_granularities", "include", "stream", "chunking_strategy"),
}
#: `name[]` and `name[key]`, as the clients write lists and objects.
_BRACKETS = re.compile(r"\[[a-z_]*\]$")
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, understood."""

    model: str
    format: Format = Format.JSON
    languages: tuple[str, ...] = ()  #: ISO 639; one is a fact, several are hints, none is unknown
    prompt: str | None = None
    temperature: float = 0.0
    granularities: frozenset[Granularity] = frozenset({Granularity.SEGMENT})
    logprobs: bool = False
    stream: bool = False
    unheeded: tuple[str, ...] = ()  #: fields that were sent and change nothing here

    @property
    def tells_times(self) -> bool:
        """Whether the answer says when something was said."""
        return self.format not in TIMELESS

    @property
    def language(self) -> str | None:
        return self.languages[0] if len(self.languages) == 1 else None


def asked(fields: Iterable[tuple[str, str]]) -> Asked:
    """The request that form fields (all but the file) make up.

    Raises:
        InvalidRequest: with `param`, the first field that is wrong.
    """
    given = _gathered(fields)
    format = _one_of(Format, "response_format", _single(given, "response_format", "json"))
    _check_chunking(given)
    return Asked(
        model=_model(given),
        format=format,
        languages=_languages(given),
        prompt=_prompt(given),
        temperature=_temperature(given),
        granularities=_granularities(given, format),
        logprobs=_logprobs(given, format),
        stream=_stream(given, format),
        unheeded=tuple(sorted(UNHEEDED & given.keys())),
    )


Given = Mapping[str, list[str]]


def _gathered(fields: Iterable[tuple[str, str]]) -> Given:
    given: dict[str, list[str]] = {}
    for written, value in fields:
        name = _BRACKETS.sub("", written)
        if name not in KNOWN:
            raise InvalidRequest(f"There is no parameter {name[:60]!r}.", param=name[:60])
        given.setdefault(name, []).append(value)
    return given


def _single(given: Given, name: str, default: str) -> str:
    values = given.get(name, [default])
    if len(values) > 1:
        raise InvalidRequest(f"{name} was sent {len(values)} times; send it once.", param=name)
    return values[0]


def _one_of(kind: type[E], name: str, value: str) -> E:
    try:
        return kind(value)
    except ValueError as error:
        options = ", ".join(kind)
        raise InvalidRequest(f"{name} is not one of {options}.", param=name) from error


def _model(given: Given) -> str:
    model = _single(given, "model", "")
    if not model:
        raise InvalidRequest("Say which model shall listen: model=whisper-1.", param="model")
    return model


def _languages(given: Given) -> tuple[str, ...]:
    one, several = _single(given, "language", ""), given.get("languages", [])
    if one and several:
        raise InvalidRequest("Send language or languages, not both.", param="languages")
    named, name = ([one], "language") if one else (several, "languages")
    if len(named) > MAX_LANGUAGES or not all(map(LANGUAGE.fullmatch, named)):
        raise InvalidRequest(f"{name} takes ISO 639-1 codes such as en.", param=name)
    return tuple(dict.fromkeys(named))


def _prompt(given: Given) -> str | None:
    prompt = _single(given, "prompt", "")
    if len(prompt) > MAX_PROMPT:
        raise InvalidRequest(f"The prompt has over {MAX_PROMPT:,} characters.", param="prompt")
    return prompt or None


def _temperature(given: Given) -> float:
    try:
        temperature = float(_single(given, "temperature", "0"))
    except ValueError:
        temperature = -1.0
    if not 0.0 <= temperature <= MAX_TEMPERATURE:
        raise InvalidRequest("temperature is a number from 0 to 1.", param="temperature")
    return temperature


def _granularities(given: Given, format: Format) -> frozenset[Granularity]:
    name = "timestamp_granularities"
    if name in given and format is not Format.VERBOSE_JSON:
        raise InvalidRequest(f"{name} needs response_format=verbose_json.", param=name)
    return frozenset(_one_of(Granularity, name, v) for v in given.get(name, ["segment"]))


def _logprobs(given: Given, format: Format) -> bool:
    included = given.get("include", [])
    if any(value != "logprobs" for value in included):
        raise InvalidRequest("include takes logprobs and nothing else.", param="include")
    if included and format is not Format.JSON:
        raise InvalidRequest("include=logprobs needs response_format=json.", param="include")
    return bool(included)


def _stream(given: Given, format: Format) -> bool:
    stream = _BOOLEANS.get(_single(given, "stream", "false").lower())
    if stream is None:
        raise InvalidRequest("stream is true or false.", param="stream")
    if stream and format not in STREAMED:
        options = ", ".join(sorted(STREAMED))
        raise InvalidRequest(
            f"stream needs response_format to be one of {options}.", param="stream"
        )
    return stream


def _check_chunking(given: Given) -> None:
    """We always cut where nobody speaks; both strategies say that, so each is taken."""
    name = "chunking_strategy"
    if name in given and not any(v in ("auto", "server_vad") or _is_vad(v) for v in given[name]):
        raise InvalidRequest(f"{name} is auto or server_vad.", param=name)


def _is_vad(text: str) -> bool:
    try:
        value: Any = json.loads(text)
    except ValueError:
        return False
    return isinstance(value, dict) and value.get("type") == "server_vad"
