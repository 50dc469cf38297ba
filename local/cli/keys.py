"""keys new|ls|revoke: who may come in from elsewhere, as which tenant, to do what."""

import secrets
from pathlib import Path

import click

from local.cli.options import home_option, json_option, parts_of, tenant_option
from local.cli.output import payload, say
from local.telling import safe
from shared.domain.api_keys import MAX_NAME, ApiKey, Scope
from shared.domain.tenants import DEMO
from shared.errors import NotFound
from shared.flows.mint import Mint


@click.group()
def keys() -> None:
    """API keys. On this machine nobody needs one; with one, a program acts as its tenant."""


@keys.command("new")
@home_option
@tenant_option(DEMO)
@click.option(
    "--scope",
    type=click.Choice([s.value for s in Scope]),
    default=Scope.WRITE.value,
    show_default=True,
    help="read: look; write: upload and transcribe, too; operator: see to models, too.",
)
@click.option("--name", default="", help="What it is for.")
@json_option
def new_key(home: Path | None, tenant: str, scope: str, name: str, as_json: bool) -> None:
    """Make a key and show it, this once: only a digest is kept."""
    if len(name) > MAX_NAME or not name.isprintable():
        raise click.BadParameter(f"a name has at most {MAX_NAME} printable characters.")
    parts = parts_of(home)
    mint = Mint(parts.tenants, parts.api_keys, parts.now, secrets.token_bytes)
    text, key = mint(tenant, Scope(scope), name)
    if as_json:
        payload({"key": text, **_as_json(key)})
        return
    click.echo(text)
    say(f"It may {scope} for the tenant {tenant}. Keep it: it is not shown again.")


@keys.command("ls")
@home_option
@tenant_option(None)
@json_option
def list_keys(home: Path | None, tenant: str | None, as_json: bool) -> None:
    """List keys, the newest first; revoked ones too."""
    found = parts_of(home).api_keys.all(tenant)
    if as_json:
        payload({"keys": [_as_json(key) for key in found]})
        return
    if not found:
        say("No keys. Make one with `earwitness keys new`.")
    for key in found:
        click.echo(
            f"{key.id}  {key.tenant:<20}  {key.scope:<8}  {_state(key):<22}  {safe(key.name)}"
        )


@keys.command("revoke")
@click.argument("key_id", metavar="ID")
@home_option
def revoke_key(key_id: str, home: Path | None) -> None:
    """End a key for good; its next request is refused."""
    parts = parts_of(home)
    try:
        key = parts.api_keys.revoke(key_id, parts.now())
    except NotFound as error:
        raise NotFound("No key has this id. List them with `earwitness keys ls`.") from error
    say(f"{key.id} of {key.tenant} was {_state(key)}.")


def _state(key: ApiKey) -> str:
    if key.revoked_at is not None:
        return f"revoked {key.revoked_at:%Y-%m-%d}"
    return f"last used {key.used_on}" if key.used_on else "never used"


def _as_json(key: ApiKey) -> dict[str, str | None]:
    return {
        "id": key.id,
        "tenant": key.tenant,
        "scope": key.scope.value,
        "name": key.name,
        "made_at": key.made_at.isoformat(),
        "revoked_at": key.revoked_at.isoformat() if key.revoked_at else None,
        "used_on": key.used_on.isoformat() if key.used_on else None,
    }
