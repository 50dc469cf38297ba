"""erase: recordings, all about a subject, or a whole tenant; receipt: what proves it."""

import json
from collections.abc import Sequence
from pathlib import Path

import click

from local import receipts
from local.cli import exits
from local.cli.acting import ACTOR
from local.cli.options import home_option, json_option, parts_of, settings_of, tenant_option
from local.cli.output import payload, say
from shared.domain.erasures import Erasure, Step
from shared.domain.listing import erasure_told
from shared.domain.tenants import DEMO
from shared.errors import NotFound
from shared.wiring import Parts
from shared.wiring import erase as erase_of

#: What a verified receipt exits with, and what others do.
EXITS = {
    receipts.Verdict.OK: exits.DONE,
    receipts.Verdict.TAMPERED: exits.FAILED,
    receipts.Verdict.UNKNOWN_KEY: exits.MISSING,
}


@click.command()
@click.argument("recording_ids", metavar="ID...", nargs=-1)
@click.option("--subject", metavar="TAG", help="All recordings about this subject.")
@tenant_option(None)
@click.option("--restored", is_flag=True, help="All that was erased before and a backup brought.")
@click.option("--yes", is_flag=True, help="Of a whole tenant: do not ask.")
@home_option
@json_option
def erase(
    recording_ids: tuple[str, ...],
    subject: str | None,
    tenant: str | None,
    restored: bool,
    yes: bool,
    home: Path | None,
    as_json: bool,
) -> None:
    """Erase for good: recordings by id, with every other generation of their objects; with
    --subject all about somebody; with --tenant alone all that is a tenant's, and the tenant;
    with --restored what was erased before and is there again since a backup was put back.

    What is under hold waits for its release. Receipts: `earwitness receipt show ID`.
    """
    if [bool(recording_ids), bool(subject or tenant), restored].count(True) != 1:
        raise click.UsageError("Name recordings, or a --subject, or a --tenant, or --restored.")
    parts = parts_of(home)
    flow = erase_of(parts)
    if restored:
        asked = flow.ask_restored(ACTOR, parts.now())
        say(f"{len(asked)} came back and are erased again.")
    else:
        asked = _asked(parts, recording_ids, subject, tenant, yes=yes)
    done = [flow.run(one, parts.now()) for one in asked]
    if as_json:
        payload({"erasures": [erasure_told(one).model_dump(mode="json") for one in done]})
    for one in done:
        _tell(one)


def _asked(
    parts: Parts,
    recording_ids: Sequence[str],
    subject: str | None,
    tenant: str | None,
    *,
    yes: bool,
) -> list[Erasure]:
    flow, now = erase_of(parts), parts.now()
    if recording_ids:
        return [flow.ask(one, ACTOR, now) for one in recording_ids]
    if subject is not None:
        return flow.ask_subject(tenant or DEMO, subject, ACTOR, now)
    assert tenant is not None
    if not yes:
        click.confirm(f"Erase all of tenant {tenant}, for good?", abort=True, err=True)
    return [flow.ask_tenant(tenant, ACTOR, now)]


def _tell(one: Erasure) -> None:
    what = one.recording_id or f"tenant {one.tenant}"
    if one.step is Step.DONE:
        say(f"{what} is erased. Receipt: earwitness receipt show {one.id}")
    elif one.step is Step.WAITING:
        say(f"{what} is under hold; it is erased at its release.")
    else:
        say(f"{what} is being erased.")


@click.group()
def receipt() -> None:
    """What proves that something was erased."""


@receipt.command()
@click.argument("which", metavar="ID")
@home_option
def show(which: str, home: Path | None) -> None:
    """Print the receipt of an erasure, by its own id or its recording's."""
    erasures = parts_of(home).erasures
    found = erasures.get(which) or erasures.of(which)
    if found is None:
        raise NotFound("Nothing was erased under this id.")
    if found.receipt is None:
        raise NotFound(f"There is no receipt: the erasure is {found.state}.")
    payload(json.loads(found.receipt))


@receipt.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--key",
    "keys",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A public key (PEM) that is believed; without one, this HOME's own.",
)
@home_option
def verify(file: Path, keys: tuple[Path, ...], home: Path | None) -> None:
    """Check a receipt, offline. Exits 0 if it is genuine, 1 if it was changed, 3 if its key is
    not known here."""
    document = receipts.read(file)
    known = receipts.of_files(keys) if keys else receipts.of_home(settings_of(home).home)
    found = receipts.verdict(document, known)
    say(_SAID[found].format(**{k: document.get(k) for k in ("key_id", "erased_at")}))
    raise SystemExit(EXITS[found])


_SAID = {
    receipts.Verdict.OK: "Genuine: signed by key {key_id}; erased {erased_at}.",
    receipts.Verdict.TAMPERED: "Not genuine: this is not what was signed.",
    receipts.Verdict.UNKNOWN_KEY: "Signed by key {key_id}, which is not known here; name it with"
    " --key.",
}
