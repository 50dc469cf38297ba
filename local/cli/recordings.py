"""ls, show, find: what was heard."""

from pathlib import Path

import click

from local.cli import exits
from local.cli.options import (
    FILES,
    FORMATS,
    home_option,
    json_option,
    parts_of,
    tenant_option,
)
from local.cli.output import as_json as result_as_json
from local.cli.output import of_recordings, payload, say
from local.telling import clock_time, portrait, result_of, safe
from shared.domain.names import display
from shared.domain.recording import Found, Recording
from shared.domain.states import State
from shared.domain.testimony import subject
from shared.errors import NotFound
from shared.wiring import Parts

HEADINGS = ("ID", "RECEIVED (UTC)", "STATE", "LANE", "LENGTH", "LANG", "TENANT", "NAME")
WIDTHS = (32, 16, 10, 4, 9, 4, 8)


@click.command()
@home_option
@tenant_option(None)
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([s.value for s in State]),
    help="Only these.",
)
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 100_000))
@json_option
def ls(
    home: Path | None, tenant: str | None, states: tuple[str, ...], limit: int, as_json: bool
) -> None:
    """List recordings, newest first."""
    parts = parts_of(home)
    found = parts.recordings.page(tenant, states=[State(s) for s in states], limit=limit)
    if as_json:
        payload(of_recordings(parts, found))
        return
    if not found:
        say("Nothing here yet. Drop a file into the inbox, or: earwitness hear FILE")
        return
    click.echo(_row(HEADINGS))
    for recording in found:
        click.echo(_row(_cells(recording)))
    if len(found) == limit:
        say(f"These are the newest {limit}; --limit N shows more.")


def _cells(r: Recording) -> tuple[str, ...]:
    state = r.state.value
    if r.state is State.PROCESSING:
        state = f"{r.progress:.0%} heard"
    return (
        r.id,
        f"{r.received_at:%Y-%m-%d %H:%M}",
        state,
        r.lane.value if r.lane else "-",
        clock_time(r.seconds) if r.seconds is not None else "-",
        r.language or "-",
        r.tenant,
        display(r.path),
    )


def _row(cells: tuple[str, ...]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, WIDTHS, strict=False))
    return "  ".join([*padded, cells[-1]])


@click.command()
@click.argument("recording_id", metavar="ID")
@home_option
@click.option("--format", "form", type=click.Choice(FORMATS), help="The transcript in this form.")
@json_option
def show(recording_id: str, home: Path | None, form: str | None, as_json: bool) -> None:
    """Show one recording: what it is, what became of it, what was said."""
    parts = parts_of(home)
    recording = known(parts, recording_id)
    if as_json or form == "json":
        payload(result_as_json(result_of(recording, parts.results)))
    elif form:
        click.echo(transcript(parts, recording, form), nl=False)
    else:
        for line in portrait(recording, result_of(recording, parts.results)):
            click.echo(line)


def known(parts: Parts, recording_id: str) -> Recording:
    """Raises NotFound, also of what is erased."""
    found = parts.recordings.get(recording_id)
    if found is None or found.state is State.ERASED:
        raise NotFound
    return found


def transcript(parts: Parts, recording: Recording, form: str) -> str:
    """The recording's transcript as text, srt or vtt.

    Raises:
        NotFound: it has none.
    """
    if recording.result is None:
        raise NotFound(f"{display(recording.path)} has no transcript: it is {recording.state}.")
    return parts.results.load(recording.result, FILES[form][0]).decode()


@click.command()
@click.argument("text")
@home_option
@tenant_option(None)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1_000))
@json_option
def find(text: str, home: Path | None, tenant: str | None, limit: int, as_json: bool) -> None:
    """Find words in transcripts; "words in quotes" are a phrase. Status 3: nothing found."""
    hits = parts_of(home).recordings.find(tenant, text, limit)
    if as_json:
        payload({"hits": [_hit(h) for h in hits]})
    for hit in () if as_json else hits:
        click.echo(_hit_line(hit))
    if not hits:
        say(f"Nothing with {safe(text)} was said in what was heard.")
        click.get_current_context().exit(exits.MISSING)


def _hit(hit: Found) -> dict[str, object]:
    return {
        "recording": subject(hit.recording).model_dump(mode="json"),
        "start_s": hit.passage.start_s,
        "end_s": hit.passage.end_s,
        "text": hit.passage.text,
    }


def _hit_line(hit: Found) -> str:
    """The hit's words are bold where stdout is a terminal; click strips that elsewhere."""
    pieces = []
    for n, piece in enumerate(hit.snippet.replace("\x03", "\x02").split("\x02")):
        pieces.append(click.style(safe(piece), bold=True) if n % 2 else safe(piece))
    where = f"{hit.recording.id}  {clock_time(hit.passage.start_s):>9}"
    return f"{where}  {display(hit.recording.path)}: {''.join(pieces)}"
