"""Text for people on stderr, payload on stdout."""

import json
import re
from collections.abc import Sequence

import click

from local.telling import result_of
from shared.domain.recording import Recording
from shared.domain.result import Result
from shared.wiring import Parts


def say(sentence: str) -> None:
    """A line for the person at the terminal."""
    click.echo(sentence, err=True)


def quiet(_: str) -> None:
    """For whoever is told what nobody asked for."""


def json_document(document: object) -> str:
    """JSON that is also safe to look at: what could steer a terminal is escaped."""
    text = json.dumps(document, indent=2, ensure_ascii=False)
    return re.sub(r"[^\n -~]", lambda m: _escaped(m[0]), text)


def _escaped(character: str) -> str:
    return character if character.isprintable() else json.dumps(character)[1:-1]


def payload(document: object) -> None:
    """One JSON document on stdout."""
    click.echo(json_document(document))


def of_recordings(parts: Parts, recordings: Sequence[Recording]) -> dict[str, object]:
    """`{"recordings": [result, ...]}` in the order given."""
    return {"recordings": [as_json(result_of(r, parts.results)) for r in recordings]}


def as_json(result: Result) -> object:
    return result.model_dump(mode="json")
