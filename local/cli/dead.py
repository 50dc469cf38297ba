"""dead ls|show|replay|discard|causes: jobs out of attempts, for a person to decide."""

from datetime import datetime
from pathlib import Path

import click

from local.claim import is_claimed
from local.cli.acting import ACTOR
from local.cli.options import home_option, json_option, parts_of, tenant_option
from local.cli.output import of_recordings, payload, say
from local.cli.recordings import known
from local.telling import portrait, result_of, safe, verdict
from shared.domain.attempts import Attempt, attempts, why
from shared.domain.listing import caused, days_back, letter
from shared.domain.names import display


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
    """Show one: its cause, each attempt on it, and its history."""
    parts = parts_of(home)
    recording, history = known(parts, recording_id), parts.recordings.history(recording_id)
    if as_json:
        payload(letter(recording, history).model_dump(mode="json"))
        return
    for line in portrait(recording, result_of(recording, parts.results)):
        click.echo(line)
    for one in attempts(history):
        click.echo(_attempt(one))
    for moved in history:
        click.echo(f"{_time(moved.at)}  {moved.state:<10}  {moved.actor}: {safe(moved.reason)}")


def _attempt(one: Attempt) -> str:
    until = _time(one.ended_at) if one.ended_at else "now"
    by = f"{safe(one.worker)}, {safe(one.engine)}" if one.engine else safe(one.worker)
    ending = f"{one.error.code}: {one.error.message}" if one.error else one.ending or "goes on"
    return f"attempt {one.number}  {_time(one.began_at)} to {until}  {by}: {safe(ending)}"


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}"


@dead.command("causes")
@click.option("--days", default=30, show_default=True, type=click.IntRange(1, 366))
@home_option
@json_option
def list_causes(days: int, home: Path | None, as_json: bool) -> None:
    """Count what jobs have died of, by UTC day; replayed and discarded ones too."""
    parts = parts_of(home)
    found = parts.jobs.causes(days_back(days, parts.now()))
    if as_json:
        payload(caused(found).model_dump(mode="json"))
        return
    if not found:
        say(f"No job has died in {days} days.")
    for cause in found:
        click.echo(f"{cause.day}  {cause.count:>6}  {cause.code}")


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
