"""What several commands share: where HOME is, and the parts on it."""

import os
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import click

from local.claim import running
from local.cli.acting import opened
from shared.domain.names import TENANT
from shared.domain.questions import MAX_QUESTIONS, checked
from shared.domain.wishes import ENGINE, LANGUAGE
from shared.errors import InvalidWish
from shared.settings import Backend, Settings, load
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
    return click.option(
        "--tenant",
        default=default,
        show_default=default is not None,
        callback=_matching(TENANT, "a tenant is named with 3 to 40 of a-z, 0-9 and -."),
    )


class Period(click.ParamType["timedelta"]):
    """`90d`, `24h`, `30m`: days, hours or minutes, up to a most."""

    name = "period"

    def __init__(self, most: timedelta) -> None:
        self._most = most

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        if isinstance(value, timedelta):
            return value
        match = re.fullmatch(r"(\d{1,6})([dhm])", str(value))
        if match is None:
            self.fail(f"{value!r} is no period such as 90d, 24h or 30m.", param, ctx)
        period = int(match[1]) * _UNITS[match[2]]
        if not timedelta() < period <= self._most:
            self.fail(f"{value!r} is not between 1m and {self._most.days}d.", param, ctx)
        return period


_UNITS = {"d": timedelta(days=1), "h": timedelta(hours=1), "m": timedelta(minutes=1)}


def language_option(command: F) -> F:
    return click.option(
        "--language",
        callback=_matching(LANGUAGE, "a language is an ISO 639 code, such as en."),
        help="ISO 639 code; detected by default.",
    )(command)


def engine_option(command: F) -> F:
    return click.option(
        "--engine",
        callback=_matching(ENGINE, "an engine is named with up to 40 of a-z, 0-9, _ and -."),
        help="Asked first, instead of the cascade's first choice.",
    )(command)


def question_option(command: F) -> F:
    return click.option(
        "--question",
        "questions",
        multiple=True,
        callback=_asking,
        help=f"Asked of the sound; up to {MAX_QUESTIONS}, an option each.",
    )(command)


def _asking(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    if len(values) > MAX_QUESTIONS:
        raise click.BadParameter(f"a recording takes {MAX_QUESTIONS} questions.", ctx, param)
    try:
        return tuple(checked(value) for value in values)
    except InvalidWish as error:
        raise click.BadParameter(str(error), ctx, param) from error


def _matching(pattern: re.Pattern[str], rule: str) -> Callable[..., str | None]:
    """Refuses as wrong usage what could only be refused later as an upload."""

    def check(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
        if value is not None and not pattern.fullmatch(value):
            raise click.BadParameter(rule, ctx, param)
        return value

    return check


def settings_of(home: Path | None, **given: Any) -> Settings:
    """The settings, with those of the stack that serves this HOME now where it has its own.

    Raises:
        InvalidSettings: every wrong value is named.
    """
    folder = home.resolve() if home else None
    # Where HOME is does not depend on the backend, whose other settings may be missing so far.
    up = running(load(home=folder, backend=Backend.EMBEDDED).home)
    if up is not None:
        os.environ.update(up.environment)
    return load(home=folder, **given)


def parts_of(home: Path | None) -> Parts:
    return opened(parts(settings_of(home)))
