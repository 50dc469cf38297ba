"""What commands do stands in the audit log: one action a recording it was about, or one at all."""

import secrets
from collections.abc import Sequence

import click

from local.cli.output import say
from shared.domain.audit import EVERYBODY, SALT_BYTES, acted
from shared.errors import EarwitnessError
from shared.wiring import Parts

#: Who acts, in the log and in a recording's history.
ACTOR = "cli"
METHOD = "CLI"
_OPENED = "earwitness.opened"


def opened(parts: Parts) -> Parts:
    """The command that runs now works on these; what it comes to is written there at its end."""
    context = click.get_current_context(silent=True)
    if context is not None:
        context.find_root().meta[_OPENED] = (parts, context)
    return parts


def note(root: click.Context, status: int) -> None:
    """Write down the command that opened a store, if any did; what it did is done whatever comes.

    Its words are kept, its options and what it said are not.
    """
    if _OPENED not in root.meta:
        return
    parts, context = root.meta[_OPENED]
    words = context.command_path.split(" ", 1)[-1]
    try:
        for recording_id in _about(context) or [None]:
            tenant = _tenant(parts, context, recording_id)
            entropy = secrets.token_bytes(2 * SALT_BYTES)
            what = (METHOD, words)
            parts.actions.append(
                acted(tenant, parts.now(), ACTOR, what, recording_id, status, entropy)
            )
    except EarwitnessError as error:
        say(f"This command is not in the audit log: {error}")


def _about(context: click.Context) -> Sequence[str | None]:
    one, several = context.params.get("recording_id"), context.params.get("recording_ids")
    return [one] if one else list(several or ())


def _tenant(parts: Parts, context: click.Context, recording_id: str | None) -> str:
    known = parts.recordings.get(recording_id) if recording_id else None
    return known.tenant if known else context.params.get("tenant") or EVERYBODY
