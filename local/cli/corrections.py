"""corrections export: what people corrected, as a labelled set."""

from dataclasses import asdict
from pathlib import Path

import click

from local.cli.options import home_option, json_option, parts_of, tenant_option
from local.cli.output import payload, say
from local.labelled import MANIFEST, Export
from local.telling import safe


@click.group()
def corrections() -> None:
    """What people say was said, beside what the machine says."""


@corrections.command("export")
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@home_option
@tenant_option(None)
@click.option(
    "--partly",
    is_flag=True,
    help="Recordings of which a part was checked, too; the rest is the machine's own text.",
)
@json_option
def export(
    folder: Path, home: Path | None, tenant: str | None, partly: bool, as_json: bool
) -> None:
    """Write the sound and the corrected transcript of each corrected recording to DIR.

    `earwitness calibrate DIR` reads it. The manifest says who corrected what, and when.
    """
    taken, left = Export(parts_of(home), folder, partly)(tenant)
    if as_json:
        payload({"recordings": [asdict(o) for o in taken], "left_out": [asdict(o) for o in left]})
    for one in left:
        say(f"{one.recording_id} is left out. {safe(one.why)}")
    if not taken and not left:
        say("Nobody corrected anything yet: open a recording on the page.")
    many = "1 recording" if len(taken) == 1 else f"{len(taken)} recordings"
    say(f"{many} in {folder}, told of in {MANIFEST}.")
