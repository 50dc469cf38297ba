"""dead ls|show|replay|discard: jobs out of attempts, for a person to decide."""

from pathlib import Path

import click

from local.claim import is_claimed
from local.cli.options import home_option, json_option, parts_of, tenant_option
from local.cli.output import as_json as result_as_json
from local.cli.output import of_recordings, payload, say
from local.cli.recordings import known
from local.telling import portrait, result_of, safe, verdict
from shared.domain.attempts import why
from shared.domain.names import display

#: Who replays and discards, in a recording's history.
ACTOR = "cli"


@click.group()
def dead() -> None:
    """Recordings that could not be heard after 1 + 3 attempts."""


@dead.command("ls")
@home_option
@tenant_option(None)
@json_option
def list_dead(home: Path | None, tenant: str | None, as_json: bool) -> None:
    """List dead recordings that nobody discarded, newest first."""
    parts = parts_of(home)
    found = parts.jobs.dead(tenant)
    if as_json:
        payload(of_recordings(parts, found))
        return
    if not found:
        say("No dead recordings.")
    for recording in found:
        click.echo(f"{recording.id}  {recording.tenant}  {verdict(recording)}")


@dead.command("show")
@click.argument("recording_id", metavar="ID")
@home_option
@json_option
def show_dead(recording_id: str, home: Path | None, as_json: bool) -> None:
    """Show one with its history: every state, when, by whom, why."""
    parts = parts_of(home)
    recording = known(parts, recording_id)
    result = result_of(recording, parts.results)
    if as_json:
        payload(result_as_json(result))
        return
    for line in portrait(recording, result):
        click.echo(line)
    for moved in parts.recordings.history(recording_id):
        click.echo(
            f"{moved.at:%Y-%m-%d %H:%M:%S}  {moved.state:<10}  {moved.actor}: {safe(moved.reason)}"
        )


@dead.command("replay")
@click.argument("recording_ids", metavar="ID...", nargs=-1, required=True)
@home_option
def replay(recording_ids: tuple[str, ...], home: Path | None) -> None:
    """Hear them again, with all their attempts, in the low lane."""
    parts = parts_of(home)
    for recording_id in recording_ids:
        again = parts.jobs.replay(recording_id, ACTOR, parts.now())
        say(f"{display(again.path)} is heard again.")
    if not is_claimed(parts.settings.home):
        say("Nobody is at work here; it waits for the next `earwitness up`.")


@dead.command("discard")
@click.argument("recording_ids", metavar="ID...", nargs=-1, required=True)
@click.option("--why", "reason", required=True, metavar="TEXT", help="Kept in the history.")
@home_option
def discard(recording_ids: tuple[str, ...], reason: str, home: Path | None) -> None:
    """Take them off this list for good; the recordings stay."""
    parts, said = parts_of(home), why(reason)
    for recording_id in recording_ids:
        gone = parts.jobs.discard(recording_id, ACTOR, said, parts.now())
        say(f"{display(gone.path)} was discarded.")
