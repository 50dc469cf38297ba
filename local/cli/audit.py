"""audit verify: whether histories, actions and seals still hold together."""

from collections.abc import Sequence
from pathlib import Path

import click

from local.cli import exits
from local.cli.options import home_option, json_option, settings_of, tenant_option
from local.cli.output import payload, say
from local.telling import safe
from shared import wiring
from shared.domain.audit import EVERYBODY
from shared.flows.verify import Report
from shared.settings import Backend


@click.group()
def audit() -> None:
    """Who did what, under seals that show whether anybody changed it since."""


@audit.command("verify")
@home_option
@tenant_option(None)
@click.option(
    "--key",
    "keys",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Public key (PEM) that signed older seals; once for each.",
)
@click.option(
    "--backend",
    type=click.Choice([b.value for b in Backend]),
    envvar="EARWITNESS_BACKEND",
    help="gcp verifies the project in the cloud instead of this machine.",
)
@json_option
def verify(
    home: Path | None,
    tenant: str | None,
    keys: tuple[Path, ...],
    backend: str | None,
    as_json: bool,
) -> None:
    """Look for gaps, edits, reordering and cut ends; status 1 if there is any."""
    chosen = {"backend": Backend(backend)} if backend else {}
    parts = wiring.parts(settings_of(home, **chosen))
    looking = wiring.verify(parts, [key.read_bytes() for key in keys])
    reports = [looking(one) for one in ([tenant] if tenant else looking.everybody())]
    told = [one for one in reports if tenant or _anything(one)]
    if as_json:
        payload({"tenants": [_as_json(one) for one in told]})
    for report in () if as_json else told:
        _tell(report)
    _judge(reports)


def _anything(report: Report) -> bool:
    return bool(report.lines or report.actions or report.seals or report.findings)


def _tell(report: Report) -> None:
    name = "everybody's" if report.tenant == EVERYBODY else report.tenant
    until = f"{report.sealed_at:%Y-%m-%d %H:%M:%S} UTC" if report.sealed_at else "never"
    click.echo(
        f"{name}: {report.recordings} recordings, {report.lines} lines, {report.actions} actions,"
        f" {report.seals} seals; sealed until {until}; {report.waiting} wait for the next seal"
    )
    if report.unchained:
        click.echo(f"  {report.unchained} lines are older than their chains: nothing holds them")
    for one in report.findings:
        click.echo(f"  {one.fault.upper():<8}  {one.place}: {safe(one.said)}")


def _judge(reports: Sequence[Report]) -> None:
    found = sum(len(one.findings) for one in reports)
    if found:
        what = "1 finding" if found == 1 else f"{found} findings"
        say(f"{what}: something was changed by another way than ours.")
        raise click.exceptions.Exit(exits.FAILED)
    say("Everything holds together.")


def _as_json(report: Report) -> dict[str, object]:
    return {
        "tenant": report.tenant,
        "recordings": report.recordings,
        "lines": report.lines,
        "older_than_their_chains": report.unchained,
        "actions": report.actions,
        "seals": report.seals,
        "sealed_until": report.sealed_at.isoformat() if report.sealed_at else None,
        "waiting": report.waiting,
        "findings": [
            {"fault": one.fault.value, "place": one.place, "said": one.said}
            for one in report.findings
        ],
    }
