"""The `earwitness` command: text for people on stderr, payload on stdout, statuses in exits.py."""

import errno
import os
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from local.cli import exits
from local.cli.acting import note
from local.cli.audit import audit
from local.cli.calibrate import calibrate
from local.cli.corrections import corrections
from local.cli.dead import dead
from local.cli.erase import erase, receipt
from local.cli.exports import export, import_
from local.cli.hear import add, hear
from local.cli.keys import keys
from local.cli.models import models
from local.cli.output import say
from local.cli.recordings import find, ls, show
from local.cli.retention import extend, hold, release, retention
from local.cli.tenants import tenants
from local.cli.up import up
from local.cli.upkeep import backup, config, doctor, restore
from local.cli.webhooks import webhooks
from shared.domain.testimony import VERSION
from shared.errors import EarwitnessError
from shared.settings import default_home

#: What a system says of a path or a disk, and a person understands without a trace.
_REFUSED = frozenset(
    {errno.EACCES, errno.EPERM, errno.EEXIST, errno.ENOENT, errno.ENOTDIR, errno.EISDIR}
    | {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
)


class Kind(click.Group):
    """Says failures it understands in one line; the trace of others goes to a file."""

    def invoke(self, ctx: click.Context) -> Any:
        """However it ends, what it did to a store stands in the audit log."""
        status = exits.FAILED
        try:
            answer = self._told(ctx)
            status = exits.DONE
            return answer
        except click.exceptions.Exit as ended:
            status = ended.exit_code
            raise
        finally:
            note(ctx, status)

    def _told(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.exceptions.Exit, click.ClickException, click.Abort):
            raise
        except KeyboardInterrupt:
            say("Stopped.")
            ctx.exit(exits.INTERRUPTED)
        except BrokenPipeError:
            raise  # click ends quietly where nobody reads on
        except EarwitnessError as error:
            say(f"{error}")
            ctx.exit(exits.of_error(error))
        # The last door before the person: an unknown failure is kept whole, and said.
        except Exception as error:
            if isinstance(error, OSError) and error.errno in _REFUSED:
                say(f"{error.filename or 'The output'}: {error.strerror}.")
                ctx.exit(exits.FAILED)
            kept = _keep(error)
            say(f"This should not have happened: {type(error).__name__}. {kept}")
            ctx.exit(exits.FAILED)


def _keep(error: Exception) -> str:
    """Write the traceback to a file, and say where; to stderr where that is not possible."""
    text = "".join(traceback.format_exception(error))
    try:
        logs = _home() / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        path = logs / f"crash-{datetime.now(UTC):%Y%m%dT%H%M%S%f}.log"
        path.write_text(text, encoding="utf-8")
    except OSError:
        return f"\n{text}"
    return f"The details are in {path}"


def _home() -> Path:
    """HOME without reading the settings: they may be what is wrong."""
    return Path(os.environ.get("EARWITNESS_HOME") or default_home())


@click.group(cls=Kind, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="earwitness")
def cli() -> None:
    """Drop audio in; get testimony: what was said, what was heard, and how sure we are."""


for command in (
    up,
    hear,
    add,
    ls,
    show,
    find,
    dead,
    corrections,
    calibrate,
    tenants,
    retention,
    extend,
    hold,
    release,
    audit,
    erase,
    receipt,
    keys,
    webhooks,
    models,
    export,
    import_,
    backup,
    restore,
    config,
    doctor,
):
    cli.add_command(command)


def main() -> None:
    """The entry point of the `earwitness` script."""
    sys.exit(cli.main(prog_name="earwitness"))
