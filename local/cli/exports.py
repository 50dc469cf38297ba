"""export, import: all of a tenant in one zip, and back into an empty HOME."""

import os
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

from local.cli.options import home_option, json_option, parts_of, tenant_option
from local.cli.output import payload, say
from shared.adapters.embedded.disk import full_disk_said
from shared.domain.exports import Asked, Index
from shared.domain.ulids import ENTROPY_BYTES
from shared.errors import ExportOver
from shared.flows.bring_in import Report
from shared.flows.plan_export import PlanExport
from shared.wiring import Parts, bring_in, plan_export, zipped

STDOUT = Path("-")
#: Called with how many bytes are there.
Told = Callable[[int], None]


@click.command()
@home_option
@tenant_option(None)
@click.option(
    "-o",
    "--output",
    "target",
    type=click.Path(dir_okay=False, path_type=Path, allow_dash=True),
    help="The file to write, - for stdout; earwitness-TENANT.zip if left out.",
)
@click.option("--originals", is_flag=True, help="With the uploaded sound itself.")
@json_option
def export(
    home: Path | None, tenant: str | None, target: Path | None, originals: bool, as_json: bool
) -> None:
    """Write all of a tenant into one zip: results, metadata, history, with checksums.

    What broke off goes on where it stopped: say the same again within a day.
    """
    if tenant is None:
        raise click.UsageError("Say whose: --tenant NAME.")
    parts, file = parts_of(home), target or Path(f"earwitness-{tenant}.zip")
    if file != STDOUT and file.exists():
        raise click.UsageError(f"{file} exists already; name another file with -o.")
    plan = plan_export(parts)
    asked, part = _begun(plan, file, tenant, originals)
    index = _planned(plan, asked)
    if file == STDOUT:
        _send(parts, asked, index)
    else:
        _write(parts, asked, index, part or _part(file, asked.id), file)
    plan.plans.end(asked.id)
    say(f"{index.recordings:,} recordings, {index.size_bytes / 1e6:,.1f} MB")
    if as_json and file != STDOUT:
        payload(_as_json(file, asked, index))


def _begun(plan: PlanExport, file: Path, tenant: str, originals: bool) -> tuple[Asked, Path | None]:
    """One whose file broke off and that can be gone on with, or a new one."""
    for part in sorted(file.parent.glob(f".*.{tenant}-*.part")) if file != STDOUT else ():
        export_id = part.name.removesuffix(".part").rpartition(".")[2]
        if part != _part(file, export_id):
            continue
        try:
            asked = plan.asked(export_id)
        except ExportOver:
            part.unlink()  # nothing of it can be used any more
            continue
        if asked.originals == originals:
            say(f"Going on with the export of {asked.at:%Y-%m-%d %H:%M} UTC.")
            return asked, part
    return plan.begin(tenant, originals, secrets.token_bytes(ENTROPY_BYTES)), None


def _part(file: Path, export_id: str) -> Path:
    return file.with_name(f".{file.name}.{export_id}.part")


def _planned(plan: PlanExport, asked: Asked) -> Index:
    index = plan.go_on(asked)
    while index is None:
        index = plan.go_on(asked)
    return index


def _send(parts: Parts, asked: Asked, index: Index) -> None:
    for block in zipped(parts, asked, index).read(0, index.size_bytes):
        sys.stdout.buffer.write(block)
    sys.stdout.buffer.flush()


def _write(parts: Parts, asked: Asked, index: Index, part: Path, file: Path) -> None:
    """Write what is missing of the part, then give it its name."""
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)  # everything is in it
    with full_disk_said(), os.fdopen(handle, "ab") as out:
        with _bar(index.size_bytes) as told:
            for block in zipped(parts, asked, index).read(out.tell(), index.size_bytes):
                out.write(block)
                told(out.tell())
        out.flush()
        os.fsync(out.fileno())
    part.rename(file)


@contextmanager
def _bar(size_bytes: int) -> Iterator[Told]:
    """Shows nothing unless stderr is a terminal."""
    console = Console(stderr=True)
    columns = (BarColumn(bar_width=24), DownloadColumn(), TimeRemainingColumn(compact=True))
    with Progress(
        *columns, console=console, disable=not console.is_terminal, transient=True
    ) as shown:
        task = shown.add_task("", total=size_bytes)
        yield lambda done: shown.update(task, completed=done)


def _as_json(file: Path, asked: Asked, index: Index) -> dict[str, object]:
    return {
        "file": str(file),
        "id": asked.id,
        "tenant": asked.tenant,
        "recordings": index.recordings,
        "size_bytes": index.size_bytes,
        "manifest_sha256": index.etag,
    }


@click.command("import")
@click.argument("file", type=click.File("rb"))
@home_option
@tenant_option(None)
@json_option
def import_(file: BinaryIO, home: Path | None, tenant: str | None, as_json: bool) -> None:
    """Bring an export into this HOME, as its own tenant or as --tenant.

    Every checksum is verified before anything is changed. What broke off goes on where it
    stopped: import the same file again.
    """
    report = bring_in(parts_of(home))(file, tenant)
    if as_json:
        payload(_reported(report))
    say(f"{report.brought:,} recordings of {report.tenant} were brought in.")
    for count, why in (
        (report.known, "were here already"),
        (report.left, "were never finished, and their sound is not in the export"),
        (report.erased, "were erased here, and stay so"),
    ):
        if count:
            say(f"{count:,} {why}.")


def _reported(report: Report) -> dict[str, object]:
    return {
        "tenant": report.tenant,
        "brought": report.brought,
        "known": report.known,
        "left_out": report.left,
        "erased": report.erased,
        "originals": report.sounds,
    }
