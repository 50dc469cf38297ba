"""keys new|ls|rotate|revoke: who may come in from elsewhere, as which tenant, to do what."""

import secrets
from datetime import datetime, timedelta
from pathlib import Path

import click

from local.cli.options import Period, home_option, json_option, parts_of, tenant_option
from local.cli.output import payload, say
from local.telling import safe
from shared.domain.api_keys import (
    MAX_LIFE,
    MAX_NAME,
    MAX_OVERLAP,
    SHORT,
    ApiKey,
    Grant,
    Role,
    Scope,
    granted,
)
from shared.domain.listing import key_told
from shared.domain.tenants import DEMO
from shared.errors import NotFound
from shared.flows.mint import Mint
from shared.wiring import Parts

_UNKNOWN = "No key has this id. List them with `earwitness keys ls`."


@click.group()
def keys() -> None:
    """API keys. On this machine nobody needs one; with one, a program acts as its tenant."""


@keys.command("new")
@home_option
@tenant_option(DEMO)
@click.option(
    "--role",
    type=click.Choice([r.value for r in Role]),
    help="reader: look; owner: all of the tenant's; operator: engines, and what is everybody's.",
)
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice([*SHORT, *(s.value for s in Scope)]),
    help="Only this of the role's; may be said again. Or one of read, write, operator in place of"
    " a role. write, if nothing is said: look, upload and transcribe.",
)
@click.option("--expires", "life", type=Period(MAX_LIFE), help="It ends by itself after: 90d.")
@click.option("--name", default="", help="What it is for.")
@json_option
def new_key(
    home: Path | None,
    tenant: str,
    role: str | None,
    scopes: tuple[str, ...],
    life: timedelta | None,
    name: str,
    as_json: bool,
) -> None:
    """Make a key and show it, this once: only a digest is kept."""
    if len(name) > MAX_NAME or not name.isprintable():
        raise click.BadParameter(f"a name has at most {MAX_NAME} printable characters.")
    text, key = _mint(parts_of(home))(tenant, _grant(role, scopes), name, life)
    if as_json:
        payload({"key": text, **_as_json(key)})
        return
    click.echo(text)
    say(f"It may {_rights(key.grant)} for the tenant {tenant}{_until(key.expires_at)}.")
    say("Keep it: it is not shown again.")


def _grant(role: str | None, scopes: tuple[str, ...]) -> Grant:
    short = [SHORT[one] for one in scopes if one in SHORT]
    if short and (role or len(scopes) > 1):
        raise click.BadParameter("read, write and operator stand for a role and its scopes.")
    return short[0] if short else granted(Role(role) if role else None, [*map(Scope, scopes)])


@keys.command("ls")
@home_option
@tenant_option(None)
@json_option
def list_keys(home: Path | None, tenant: str | None, as_json: bool) -> None:
    """List keys, the newest first; revoked ones too."""
    parts = parts_of(home)
    found, now = parts.api_keys.all(tenant), parts.now()
    if as_json:
        payload({"keys": [_as_json(key) for key in found]})
        return
    if not found:
        say("No keys. Make one with `earwitness keys new`.")
    for key in found:
        rights = f"{key.grant.role}{'' if key.grant.narrowed is None else '*'}"
        click.echo(f"{key.id}  {key.tenant:<20}  {rights:<9}  {_state(key, now)}  {safe(key.name)}")


@keys.command("rotate")
@click.argument("key_id", metavar="ID")
@home_option
@click.option(
    "--overlap",
    type=Period(MAX_OVERLAP),
    default="24h",
    show_default=True,
    help="For so long both keys open.",
)
@click.option(
    "--expires",
    "life",
    type=Period(MAX_LIFE),
    help="The new key ends after: 90d; as the old one was made for, if left out.",
)
@json_option
def rotate_key(
    key_id: str, home: Path | None, overlap: timedelta, life: timedelta | None, as_json: bool
) -> None:
    """Make a key of the same rights and show it; the old one ends after the overlap."""
    parts = parts_of(home)
    _known(parts, key_id)
    text, new, old = _mint(parts).rotate(key_id, overlap, life)
    if as_json:
        payload({"key": text, **_as_json(new), "replaced": _as_json(old)})
        return
    click.echo(text)
    say(f"It takes the place of {old.id}, which opens{_until(old.expires_at)}.")
    say("Keep it: it is not shown again.")


@keys.command("revoke")
@click.argument("key_id", metavar="ID")
@home_option
def revoke_key(key_id: str, home: Path | None) -> None:
    """End a key for good; its next request is refused."""
    parts = parts_of(home)
    _known(parts, key_id)
    key = parts.api_keys.revoke(key_id, parts.now())
    say(f"{key.id} of {key.tenant} was {_state(key, parts.now())}.")


def _known(parts: Parts, key_id: str) -> ApiKey:
    key = parts.api_keys.get(key_id)
    if key is None:
        raise NotFound(_UNKNOWN)
    return key


def _mint(parts: Parts) -> Mint:
    return Mint(parts.tenants, parts.api_keys, parts.now, secrets.token_bytes)


def _rights(grant: Grant) -> str:
    if grant.narrowed is None:
        return f"do all that the role {grant.role} may"
    return ", ".join(grant.scopes)


def _until(at: datetime | None) -> str:
    return f" until {at:%Y-%m-%d %H:%M} UTC" if at else ""


def _state(key: ApiKey, now: datetime) -> str:
    if key.revoked_at is not None:
        return f"revoked {key.revoked_at:%Y-%m-%d}"
    told = [f"last used {key.used_on}" if key.used_on else "never used"]
    if key.expires_at is not None:
        ends = "ended" if key.expired(now) else "ends"
        told.append(f"{ends} {key.expires_at:%Y-%m-%d %H:%M}")
    if key.rotated_to is not None:
        told.append(f"rotated to {key.rotated_to}")
    return ", ".join(told)


def _as_json(key: ApiKey) -> dict[str, object]:
    return key_told(key).model_dump(mode="json")
