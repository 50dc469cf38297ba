"""retention run, extend, hold, release: how long recordings are kept."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from local.cli.acting import ACTOR
from local.cli.options import home_option, json_option, parts_of
from local.cli.output import payload, say
from local.cli.recordings import known
from shared.domain.names import display
from shared.domain.recording import Recording
from shared.domain.timekeeping import Times
from shared.flows.retire import Due
from shared.settings import Backend
from shared.wiring import Parts, keep, retire

#: Days that an extension adds where nobody says how many.
DAYS = 30


class Moment(click.ParamType["datetime"]):
    """A point in time as ISO 8601 writes it; without a zone it is UTC."""

    name = "ISO"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            self.fail("a time is written as 2027-01-31 or 2027-01-31T12:00:00Z.", param, ctx)
        return at if at.tzinfo else at.replace(tzinfo=UTC)


@click.group()
def retention() -> None:
    """What ends is announced 7 days ahead; what is due and was announced is erased."""


@retention.command("run")
@click.option("--now", type=Moment(), help="As if it were then: for tests and drills.")
@click.option("--dry-run", is_flag=True, help="Only tell what would be announced and erased.")
@home_option
@json_option
def run(now: datetime | None, dry_run: bool, home: Path | None, as_json: bool) -> None:
    """Do once what every tick does."""
    parts = parts_of(home)
    at = Times.exactly(now) if now else None
    if dry_run:
        _tell_plan(retire(parts).plan(at), as_json)
        return
    if now is not None and now > parts.now():
        say_the_clock_is_turned(parts, now)
    found = retire(parts)(at)
    if as_json:
        payload(dict(found))
        return
    for what, count in sorted(found.items()):
        click.echo(f"{count:>8}  {what.replace('_', ' ')}")
    say("Nothing was due." if not found else "Done.")


def say_the_clock_is_turned(parts: Parts, now: datetime) -> None:
    """Another's clock is nobody's to turn; on one machine whoever says so owns it."""
    if parts.settings.backend is not Backend.EMBEDDED:
        raise click.UsageError(
            "In the cloud the server's clock decides: a --now that lies ahead needs --dry-run."
        )
    say(
        f"The clock says {_minute(parts.now())}. This acts as if it were {_minute(now)}:"
        " what was announced 7 days before that is erased for good."
    )


def _tell_plan(due: Due, as_json: bool) -> None:
    if as_json:
        payload({"announce": _ids(due.ending), "erase": _ids(due.expiring)})
        return
    for what, recordings in (("announce", due.ending), ("erase", due.expiring)):
        for one in recordings:
            until, path = _minute(one.kept_until), display(one.path)
            click.echo(f"{what:<8}  {one.id}  kept until {until}  {one.tenant}  {path}")
    say("Nothing was done.")


def _ids(recordings: Sequence[Recording]) -> list[str]:
    return [one.id for one in recordings]


@click.command()
@click.argument("recording_ids", metavar="ID...", nargs=-1, required=True)
@click.option("--until", type=Moment(), help="Its new end.")
@click.option("--days", type=click.IntRange(min=1), help=f"Or so much longer; {DAYS} by default.")
@home_option
def extend(
    recording_ids: tuple[str, ...], until: datetime | None, days: int | None, home: Path | None
) -> None:
    """Keep recordings longer, where their tenant's tier allows it."""
    if until and days:
        raise click.UsageError("Say --until or --days.")
    parts = parts_of(home)
    for recording_id in recording_ids:
        found = known(parts, recording_id)
        end = until or found.kept_until + timedelta(days=days or DAYS)
        kept = keep(parts).extend(found, end, ACTOR)
        say(f"{display(kept.path)} is kept until {_minute(kept.kept_until)}.")


@click.command()
@click.argument("recording_ids", metavar="ID...", nargs=-1, required=True)
@click.option("--reason", required=True, metavar="TEXT", help="For whoever is to release it.")
@home_option
def hold(recording_ids: tuple[str, ...], reason: str, home: Path | None) -> None:
    """Let nothing of recordings be erased until they are released."""
    parts = parts_of(home)
    for recording_id in recording_ids:
        before = known(parts, recording_id)
        held = keep(parts).hold(before, reason, ACTOR)
        assert held.hold is not None
        since, why = _minute(held.hold.at), display(held.hold.reason)
        already = f" already, since {since}: {why}" if before.hold else "."
        say(f"{display(held.path)} is held{already}")


@click.command()
@click.argument("recording_ids", metavar="ID...", nargs=-1, required=True)
@home_option
def release(recording_ids: tuple[str, ...], home: Path | None) -> None:
    """End the hold of recordings; what is due or was to be erased goes with the next tick."""
    parts = parts_of(home)
    for recording_id in recording_ids:
        free = keep(parts).release(known(parts, recording_id), ACTOR)
        waits = parts.erasures.of(free.id)
        then = "is erased now" if waits else f"is kept until {_minute(free.kept_until)}"
        say(f"{display(free.path)} is released; it {then}.")


def _minute(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
