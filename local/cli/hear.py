"""hear and add: files in, testimony out."""

import json
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from local import errand
from local.claim import is_claimed
from local.cli import exits
from local.cli.options import (
    FILES,
    FORMATS,
    engine_option,
    home_option,
    json_option,
    language_option,
    question_option,
    settings_of,
    tenant_option,
)
from local.cli.output import as_json as result_as_json
from local.cli.output import json_document, of_recordings, payload, quiet, say
from local.cli.progress import Bars
from local.cli.recordings import transcript
from local.telling import answer_lines, result_of, verdict
from local.whole_files import write_whole
from shared.domain.recording import Recording, UploadedObject
from shared.domain.states import State
from shared.domain.tenants import DEMO
from shared.domain.testimony import summary
from shared.settings import Settings
from shared.wiring import Parts, parts

#: Characters of a name's stem that are kept, so that a name with escapes still fits (255 bytes).
STEM = 60


@click.command()
@click.argument("files", metavar="FILE|DIR|-...", nargs=-1, required=True)
@home_option
@click.option("--format", "form", type=click.Choice(FORMATS), default="text", show_default=True)
@click.option(
    "-o", "folder", type=click.Path(file_okay=False, path_type=Path), help="A file each, in here."
)
@language_option
@engine_option
@question_option
@tenant_option(DEMO)
@json_option
def hear(
    files: tuple[str, ...],
    home: Path | None,
    form: str,
    folder: Path | None,
    language: str | None,
    engine: str | None,
    questions: tuple[str, ...],
    tenant: str,
    as_json: bool,
) -> None:
    """Hear files and print what was said, in the order given.

    Uses the Earwitness that runs here (`earwitness up`), else starts one for as long as it
    takes.
    """
    settings = settings_of(home)
    opened = parts(settings)
    wishes = _metadata(language=language, engine=engine, questions=_listed(questions))
    uploads = _bring_in(opened, files, tenant, wishes)
    heard = waited(settings, opened, uploads)
    form = "json" if as_json else form
    if folder is not None:
        _write(opened, heard, form, folder)
    else:
        _print(opened, heard, form)
    _finish(heard)


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@home_option
@tenant_option(DEMO)
@click.option("--lane", type=click.Choice(["auto", "bulk"]), default="auto", show_default=True)
@language_option
@engine_option
@question_option
@click.option("--again", is_flag=True, help="Also what was erased on request.")
@click.option("--wait", "waits", is_flag=True, help="Until all are heard.")
@json_option
def add(
    files: tuple[str, ...],
    home: Path | None,
    tenant: str,
    lane: str,
    language: str | None,
    engine: str | None,
    questions: tuple[str, ...],
    again: bool,
    waits: bool,
    as_json: bool,
) -> None:
    """Hand files over and print their ids; they are heard while `earwitness up` runs."""
    settings = settings_of(home)
    opened = parts(settings)
    bulk = "bulk" if lane == "bulk" else None
    asked = _listed(questions)
    wishes = _metadata(
        language=language,
        engine=engine,
        lane=bulk,
        questions=asked,
        again="yes" if again else None,
    )
    uploads = _bring_in(opened, files, tenant, wishes)
    if waits:
        heard = waited(settings, opened, uploads)
        payload(of_recordings(opened, heard)) if as_json else _print_ids(uploads)
        _finish(heard)
        return
    if not is_claimed(settings.home):
        say("Nobody is at work here; they are heard at the next `earwitness up`.")
    if as_json:
        drafts = [summary(errand.expected(opened, u)) for u in uploads]
        payload({"recordings": [result_as_json(d) for d in drafts]})
    else:
        _print_ids(uploads)


def _listed(questions: Sequence[str]) -> str | None:
    return json.dumps(questions, ensure_ascii=False) if questions else None


def _metadata(**wishes: str | None) -> dict[str, str]:
    return {key: value for key, value in wishes.items() if value is not None}


def _bring_in(
    opened: Parts, files: Sequence[str], tenant: str, metadata: dict[str, str]
) -> list[UploadedObject]:
    missing = [f for f in files if f != "-" and not Path(f).exists()]
    if missing:
        raise click.UsageError(f"There is no file {missing[0]}.")
    found = list(errand.sounds(files))
    if not found:
        raise click.UsageError("There is no file to hear in there.")
    with errand.Delivery(opened) as deliver:
        return [deliver(sound, tenant, metadata) for sound in found]


def waited(settings: Settings, opened: Parts, uploads: Sequence[UploadedObject]) -> list[Recording]:
    """The recordings, each settled, in the order given; shows how far it is on a terminal.

    Whoever serves this HOME hears them, or a stack of our own. Ctrl-C says what is left, and ends
    the command.
    """
    ids = [errand.id_of(u) for u in uploads]
    try:
        with _kill_is_interrupt(), errand.Guard(settings, quiet) as guard, Bars() as bars:
            return errand.Wait(opened, guard.look, bars)(ids)
    except KeyboardInterrupt:
        left = [id for id in ids if not _is_settled(opened.recordings.get(id))]
        say(
            f"Stopped; {len(left)} of {len(ids)} files are not heard yet. They are kept, and"
            " heard when `earwitness up` runs."
        )
        raise click.exceptions.Exit(exits.INTERRUPTED) from None


@contextmanager
def _kill_is_interrupt() -> Iterator[None]:
    """So that a `kill` ends a stack of our own as cleanly as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _is_settled(recording: Recording | None) -> bool:
    return recording is not None and recording.state in errand.SETTLED


def _print(opened: Parts, heard: Sequence[Recording], form: str) -> None:
    if form == "json":
        payload(of_recordings(opened, heard))
        return
    done = [r for r in heard if r.state is State.DONE]
    for n, recording in enumerate(done):
        if len(heard) > 1:
            say(f"== {verdict(recording)}")
        separator = "\n" if n and form != "srt" else ""  # an SRT block ends with a blank line
        click.echo(separator + transcript(opened, recording, form), nl=False)
        if recording.wishes.questions:  # beside the transcript, which is all that stdout holds
            told = result_of(recording, opened.results)
            say("\n".join([*answer_lines(told), *(w.message for w in told.warnings)]))


def _write(opened: Parts, heard: Sequence[Recording], form: str, folder: Path) -> None:
    taken: dict[str, int] = {}
    for recording in heard:
        ending = FILES[form][1]
        path = folder / f"{_free_stem(recording, taken)}.{ending}"
        if form == "json":
            document = result_as_json(result_of(recording, opened.results))
            write_whole(path, json_document(document).encode() + b"\n")
        elif recording.state is State.DONE:
            write_whole(path, transcript(opened, recording, form).encode())
        else:
            continue
        say(f"{verdict(recording)}: {path}")


def _free_stem(recording: Recording, taken: dict[str, int]) -> str:
    """The name without its ending; the second `talk`, or `Talk`, becomes `talk-2`."""
    stem = Path(recording.path).stem[:STEM]
    number = taken[stem.casefold()] = taken.get(stem.casefold(), 0) + 1
    if number == 1:
        return stem
    numbered = f"{stem}-{number}"
    if numbered.casefold() in taken:
        return _free_stem(recording, taken)
    taken[numbered.casefold()] = 1
    return numbered


def _print_ids(uploads: Sequence[UploadedObject]) -> None:
    for upload in uploads:
        click.echo(errand.id_of(upload))


def _finish(heard: Sequence[Recording]) -> None:
    """Say what was not done, and leave with the worst status."""
    for recording in heard:
        if recording.state is not State.DONE:
            say(verdict(recording))
    raise click.exceptions.Exit(exits.worst(exits.of_state(r.state) for r in heard))
