"""What a request for analyses asks for, checked in full before anything is heard."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from shared.domain.answers import Task
from shared.domain.wishes import LANGUAGE
from shared.errors import InvalidRequest, NoEngineSet

#: AnalyzeAudio, ExtractSpeech and ClassifySound of the seeds are describe, transcribe and
#: classify; BatchProcess is several files; a question is the field's.
OPERATIONS = (Task.TRANSCRIBE, Task.CLASSIFY, Task.DESCRIBE, Task.ANSWER)
#: Characters; the same as a prompt of the audio API.
MAX_QUESTION = 4_000
FIELDS = ("operations", "question", "language")


@dataclass(frozen=True, slots=True)
class Wanted:
    operations: tuple[Task, ...]
    question: str | None
    language: str | None


def wanted(fields: Iterable[tuple[str, str]]) -> Wanted:
    """The request that form fields (all but the files) make up.

    `operations` may come several times, or as one list with commas.

    Raises:
        InvalidRequest: with `param`, the first field that is wrong.
    """
    given: dict[str, list[str]] = {}
    for name, value in fields:
        given.setdefault(name.removesuffix("[]"), []).append(value)
    if strange := sorted(given.keys() - set(FIELDS)):
        name = strange[0][:60]
        raise InvalidRequest(f"There is no parameter {name!r}.", param=name)
    operations = _operations(given.get("operations", []))
    question = _one(given, "question")
    if (question is None) is (Task.ANSWER in operations):
        raise InvalidRequest("answer needs a question, and a question answer.", param="question")
    if question and len(question) > MAX_QUESTION:
        raise InvalidRequest(f"A question has {MAX_QUESTION:,} characters.", param="question")
    language = _one(given, "language")
    if language and not LANGUAGE.fullmatch(language):
        raise InvalidRequest("language is an ISO 639-1 code such as en.", param="language")
    return Wanted(operations, question, language)


def _operations(said: Iterable[str]) -> tuple[Task, ...]:
    names = [name.strip() for value in said for name in value.split(",") if name.strip()]
    if not names or not set(names) <= set(OPERATIONS):
        options = ", ".join(OPERATIONS)
        raise InvalidRequest(f"operations are some of {options}.", param="operations")
    return tuple(task for task in OPERATIONS if task in names)


def _one(given: Mapping[str, list[str]], name: str) -> str | None:
    values = given.get(name, [""])
    if len(values) > 1:
        raise InvalidRequest(f"{name} was sent {len(values)} times; send it once.", param=name)
    return values[0].strip() or None


def engines(
    operations: Iterable[Task], cascade: Mapping[Task, tuple[str, ...]]
) -> dict[Task, tuple[str, ...]]:
    """The engines of each operation, first choice first.

    Raises:
        NoEngineSet: an operation has none; the message names the setting.
    """
    for task in operations:
        if not cascade.get(task):
            raise NoEngineSet(
                f"No engine here does {task}. Name one in EARWITNESS_CASCADE__{task.upper()}.",
                param="operations",
            )
    return {task: cascade[task] for task in operations}
