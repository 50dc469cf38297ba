"""backup, restore, config show, doctor."""

import json
import re
from pathlib import Path
from typing import Any

import click
import msgspec

from local import backup as archive
from local.checkup import findings
from local.claim import is_claimed
from local.cli import exits
from local.cli.options import home_option, json_option, settings_of
from local.cli.output import payload, say
from shared.errors import AlreadyRunning
from shared.settings import Backend, Settings, sources
from shared.wiring import clock

#: Names whose values are never shown, wherever they stand.
_SECRET = re.compile(r"(api_?key|secret|token|password|credential)", re.IGNORECASE)
#: The password inside a URL.
_IN_URL = re.compile(r"(://[^/@:\s]*:)[^/@\s]+@")
MASK = "********"


@click.command()
@click.argument("target", metavar="FILE|DIR", type=click.Path(path_type=Path))
@home_option
def backup(target: Path, home: Path | None) -> None:
    """Write store, uploads, results and keys into one tar file, while everything goes on."""
    report = archive.backup(settings_of(home).home, target, clock())
    say(f"{report.files} files, {report.size_bytes / 1e6:,.1f} MB")
    click.echo(str(report.file))


@click.command()
@click.argument("source", metavar="FILE|DIR", type=click.Path(path_type=Path))
@home_option
def restore(source: Path, home: Path | None) -> None:
    """Bring a backup back into an empty HOME; of a folder, the newest one in it."""
    folder = settings_of(home).home
    if is_claimed(folder):
        raise AlreadyRunning("Earwitness is running on this HOME. Stop it first, then restore.")
    report = archive.restore(folder, source)
    say(f"{report.files} files are back in {folder}")


@click.group()
def config() -> None:
    """What is set, and where from."""


@config.command("show")
@home_option
@json_option
def show_config(home: Path | None, as_json: bool) -> None:
    """Show each setting with its source; secrets are masked."""
    settings = settings_of(home)
    found = sources(settings)
    values = _values(settings)
    if as_json:
        payload({k: {"value": v, "source": found[k]} for k, v in values.items()})
        return
    for name, value in values.items():
        click.echo(f"{name:<18}  {found[name]:<11}  {_text(value)}")


def _values(settings: Settings) -> dict[str, Any]:
    masked: dict[str, Any] = masked_secrets(msgspec.to_builtins(settings, enc_hook=str))
    return masked


def masked_secrets(value: Any, name: str = "") -> Any:
    """`value` without what must not be shown, at any depth."""
    if isinstance(value, dict):
        return {k: masked_secrets(v, str(k)) for k, v in value.items()}
    if isinstance(value, list):
        return [masked_secrets(v, name) for v in value]
    if value and _SECRET.search(name):
        return MASK
    return _IN_URL.sub(rf"\1{MASK}@", value) if isinstance(value, str) else value


def _text(value: Any) -> str:
    if value is None or value == "":
        return "-"
    return value if isinstance(value, str) else json.dumps(value)


@click.command()
@home_option
@json_option
@click.option(
    "--backend",
    type=click.Choice([b.value for b in Backend]),
    envvar="EARWITNESS_BACKEND",
    help="gcp looks at the project in the cloud instead of this machine.",
)
@click.option(
    "--push/--no-push",
    default=True,
    help="With gcp: ring a lane once, which wakes the service, and see whether it is believed.",
)
def doctor(home: Path | None, as_json: bool, backend: str | None, push: bool) -> None:
    """Look whether everything Earwitness needs is here; status 1 if something is not."""
    if backend == Backend.GCP:
        _look_at_the_cloud(settings_of(home, backend=Backend.GCP), as_json, push)
        return
    found = list(findings(settings_of(home)))
    if as_json:
        payload({"checks": [{"what": f.what, "ok": f.ok, "said": f.said} for f in found]})
    for finding in () if as_json else found:
        click.echo(f"{'ok     ' if finding.ok else 'PROBLEM'}  {finding.what:<8}  {finding.said}")
    if not all(f.ok for f in found):
        raise click.exceptions.Exit(exits.FAILED)


def _look_at_the_cloud(settings: Settings, as_json: bool, push: bool) -> None:
    # Imported here: Google's clients weigh half a second, which nobody else should wait for.
    from local.cloud_checkup import checkup
    from local.cloud_checkup.deployment import Deployment
    from local.cloud_checkup.rest import Remembering, rest

    project = Deployment(Remembering(rest(settings.project)), settings)
    if push:
        say("Looks, and changes nothing; only the lane low is rung once (--no-push leaves it).")
    found = []
    for finding in checkup.findings(project, checkup.checks(push)):
        found.append(finding)
        if not as_json:
            click.echo(f"{finding.state:<7}  {finding.what:<13}  {finding.said}")
    if as_json:
        payload({"checks": [{"what": f.what, "ok": f.ok, "said": f.said} for f in found]})
    if any(f.ok is False for f in found):
        raise click.exceptions.Exit(exits.FAILED)
