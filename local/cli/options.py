"""What several commands share: where HOME is, and the parts on it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from shared.settings import Settings, load
from shared.wiring import Parts, parts

F = TypeVar("F", bound=Callable[..., Any])

FORMATS = ("json", "text", "srt", "vtt")
#: Format -> the file of a result that holds it, and the ending of our copies.
FILES = {
    "json": ("result.json", "json"),
    "text": ("transcript.txt", "txt"),
    "srt": ("transcript.srt", "srt"),
    "vtt": ("transcript.vtt", "vtt"),
}


def home_option(command: F) -> F:
    return click.option(
        "--home",
        type=click.Path(file_okay=False, path_type=Path),
        help="Folder of everything kept here; EARWITNESS_HOME, or the usual one.",
    )(command)


def json_option(command: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")(
        command
    )


def tenant_option(default: str | None) -> Callable[[F], F]:
    return click.option("--tenant", default=default, show_default=default is not None)


def settings_of(home: Path | None, **given: Any) -> Settings:
    """Raises InvalidSettings: every wrong value is named."""
    return load(home=home.resolve() if home else None, **given)


def parts_of(home: Path | None) -> Parts:
    return parts(settings_of(home))
