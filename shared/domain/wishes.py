"""What an uploader may ask for, in the object's custom metadata (`x-goog-meta-*`)."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields

from shared.domain import confined
from shared.domain.questions import questions
from shared.errors import InvalidWish

LANGUAGE = confined.LANGUAGE
ENGINE = re.compile(r"[a-z0-9_-]{1,40}")


@dataclass(frozen=True, slots=True)
class Wishes:
    """Empty wishes are the default: mixed channels, the tenant's cascade, language detected."""

    language: str | None = None  #: ISO 639-1 or -3
    engine: str | None = None  #: asked instead of the cascade's first choice
    separate: bool = False  #: keep the channels apart (agent and customer of a call)
    bulk: bool = False  #: no hurry: the low lane
    replay: bool = False  #: heard again from the dead letters
    prompt: str | None = None  #: earlier text or names, for engines that take any
    temperature: float = 0.0  #: 0 = the same sound always gives the same words
    questions: tuple[str, ...] = ()  #: asked of the sound, in this order
    again: bool = False  #: heard although the same content was erased on request


#: Whom a recording is about: a customer's number, say, better than a name.
SUBJECT = re.compile(r"[^\x00-\x1f\x7f]{1,128}")


def read(text: str) -> Wishes:
    """Wishes as a store keeps them (`dataclasses.asdict` as JSON).

    What is missing is not wished for; a wish that this version does not know is passed over.
    """
    kept = {key: value for key, value in json.loads(text).items() if key in _KNOWN}
    return Wishes(**kept | {"questions": tuple(kept.get("questions", ()))})


_KNOWN = frozenset(field.name for field in fields(Wishes))


def _matching(pattern: re.Pattern[str], key: str, value: str | None) -> str | None:
    if value is not None and not pattern.fullmatch(value):
        raise InvalidWish(f"The upload's metadata says {key}={value[:40]!r}; no {key} is named so.")
    return value


def _one_of(key: str, value: str | None, choices: tuple[str, ...]) -> str | None:
    if value is not None and value not in choices:
        options = " or ".join(choices)
        raise InvalidWish(f"The upload's metadata says {key}={value[:40]!r}; use {options}.")
    return value


def wishes(metadata: Mapping[str, str]) -> Wishes:
    """Read the keys we know; others are the uploader's own and are left alone.

    Raises:
        InvalidWish: a known key has a value we cannot honour. Repeating will not help.
    """
    return Wishes(
        language=_matching(LANGUAGE, "language", metadata.get("language")),
        engine=_matching(ENGINE, "engine", metadata.get("engine")),
        separate=_one_of("channels", metadata.get("channels"), ("mix", "separate")) == "separate",
        bulk=_one_of("lane", metadata.get("lane"), ("bulk", "auto")) == "bulk",
        questions=questions(metadata.get("question"), metadata.get("questions")),
        again=_one_of("again", metadata.get("again"), ("yes", "no")) == "yes",
    )


def subject(metadata: Mapping[str, str]) -> str | None:
    """Whom the recording is about, by whose tag it can be found and erased.

    Raises:
        InvalidWish: it is empty, longer than 128 characters or not one line.
    """
    tag = metadata.get("subject")
    if tag is not None and not SUBJECT.fullmatch(tag):
        raise InvalidWish("The upload's subject must be one line of 1 to 128 characters.")
    return tag
