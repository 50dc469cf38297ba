"""models ls|load|unload|check: the engines, and their memory."""

from pathlib import Path
from typing import Any

import click

from local import models as engines
from local.claim import running
from local.cli.options import home_option, json_option, settings_of
from local.cli.output import payload, say
from local.telling import safe
from shared.settings import Backend
from shared.wiring import clock

reason_option = click.option("--reason", default="", help="Kept beside the wish.")


@click.group()
def models() -> None:
    """The engines: which there are, which are in memory, and whether one works."""


@models.command("ls")
@home_option
@json_option
def list_models(home: Path | None, as_json: bool) -> None:
    """List engines with their tasks, state and memory; those of the settings if nothing runs."""
    settings = settings_of(home)
    if running(settings.home) or settings.backend is Backend.GCP:
        service = engines.service(settings, clock)
        found = [service.status(name) for name in service.names()]
    else:
        say("Nothing runs here; these are the settings' engines.")
        found = list(engines.configured(settings).values())
    if as_json:
        payload({"models": found})
        return
    click.echo(_line("ENGINE", "KIND", "STATE", "DEVICE", "MEMORY", "TASKS", "LANGUAGES"))
    for status in found:
        click.echo(_row(status))


@models.command("load")
@click.argument("name")
@reason_option
@home_option
def load_model(name: str, reason: str, home: Path | None) -> None:
    """Have it in memory on every instance, and keep it there."""
    _wish(name, "load", reason, home)


@models.command("unload")
@click.argument("name")
@reason_option
@home_option
def unload_model(name: str, reason: str, home: Path | None) -> None:
    """Give its memory back, once no call needs it; the next call loads it again."""
    _wish(name, "unload", reason, home)


@models.command("check")
@click.argument("name")
@home_option
@json_option
def check_model(name: str, home: Path | None, as_json: bool) -> None:
    """Load it here, hear a second of noise, and print what that took; needs no running stack."""
    report = engines.check(settings_of(home), name)
    if as_json:
        payload(report)
        return
    for line in _told(report):
        click.echo(line)


def _wish(name: str, verb: str, reason: str, home: Path | None) -> None:
    wanted = engines.service(settings_of(home), clock).wish(name, verb, reason)
    say(f"{safe(wanted['engine'])} is to be {wanted['wanted']}; every instance follows in seconds.")


def _row(status: dict[str, Any]) -> str:
    languages = status["languages"]
    held = f"{status['memory_mb']:,.0f} MB" if status["memory_mb"] else "-"
    device = f"{status['device']} (fallback)" if status["fallback"] else status["device"]
    return _line(
        *(safe(status["engine"]), safe(status["kind"]), status["state"], device, held),
        ",".join(status["tasks"]),
        "any" if languages is None else ",".join(languages),
    )


def _line(*columns: str) -> str:
    widths = (14, 12, 10, 16, 10, 20, 0)
    return "  ".join(c.ljust(w) for c, w in zip(columns, widths, strict=True)).rstrip()


def _told(report: dict[str, Any]) -> list[str]:
    loaded = report["loaded"] or {"parts_s": {}, "warm_up_s": {}, "footprint": None}
    parts, footprint = loaded["parts_s"], loaded["footprint"]
    lines = [f"{safe(report['engine'])}: {safe(report['kind'])} on {report['device']}"]
    if report["fallback"]:
        lines.append(f"  not where it is set to: {safe(report['fallback'])}")
    lines += [f"  {part:<10} {seconds:>9.3f} s" for part, seconds in parts.items()]
    if parts:
        lines.append(f"  {'in all':<10} {sum(parts.values()):>9.3f} s")
    if report["memory_mb"]:
        lines.append(f"  {'memory':<10} {report['memory_mb']:>9,.0f} MB")
    if footprint:
        per_s, base = footprint["mb_per_s"], footprint["base_mb"]
        lines.append(f"  a call takes {base:,.0f} MB, and {per_s:.2f} MB for each second")
    lines += [f"  a second to {task}: {s:.3f} s" for task, s in loaded["warm_up_s"].items()]
    answer = report["answer"]
    if answer is None:
        return [*lines, "It is ready. It was not asked: each call costs money."]
    return [*lines, f"It works: {report['heard_s']:g} s heard in {answer['seconds']:.3f} s."]
