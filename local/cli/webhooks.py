"""webhooks new|ls|rotate|rm|log|replay: whom to tell what happens, and whether it arrived."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import click

from local.cli.options import Period, home_option, json_option, parts_of, tenant_option
from local.cli.output import payload, say
from shared.domain.listing import delivery_told, webhook_told
from shared.domain.tenants import DEMO
from shared.domain.webhooks import MAX_OVERLAP, Attempt, Delivered, Delivery, Webhook
from shared.errors import NotFound, WrongState
from shared.wiring import Parts, subscribe

_KEEP = "Keep the secret: it verifies the messages (docs/webhooks.md) and is not shown again."
#: Deliveries read at a time.
PAGE = 100


@click.group()
def webhooks() -> None:
    """Endpoints that are told what happens to a tenant's recordings, by Standard Webhooks."""


@webhooks.command("new")
@click.argument("url")
@home_option
@tenant_option(DEMO)
@click.option(
    "--type",
    "types",
    multiple=True,
    help="Only of this, such as recording.done; may be said again. Of everything, if not said.",
)
@json_option
def new_webhook(
    url: str, home: Path | None, tenant: str, types: tuple[str, ...], as_json: bool
) -> None:
    """Tell URL what happens from now on, and show its secret, this once."""
    parts = parts_of(home)
    _show_secret(subscribe(parts)(tenant, url, types), as_json)


@webhooks.command("rotate")
@click.argument("webhook_id", metavar="ID")
@click.option(
    "--overlap",
    type=Period(MAX_OVERLAP),
    default=timedelta(days=1),
    help="The old secret signs beside the new one for so long.  [default: 1d]",
)
@home_option
@json_option
def rotate_webhook(webhook_id: str, overlap: timedelta, home: Path | None, as_json: bool) -> None:
    """Give a webhook a new secret and show it, this once."""
    parts = parts_of(home)
    _show_secret(subscribe(parts).rotate(_known(parts, webhook_id).id, overlap), as_json)


@webhooks.command("ls")
@home_option
@tenant_option(None)
@json_option
def list_webhooks(home: Path | None, tenant: str | None, as_json: bool) -> None:
    """List webhooks, the newest first; disabled ones too."""
    found = parts_of(home).webhooks.all(tenant)
    if as_json:
        payload({"webhooks": [webhook_told(one).model_dump(mode="json") for one in found]})
        return
    if not found:
        say("No webhooks. Make one with `earwitness webhooks new URL`.")
    for one in found:
        types = ",".join(one.types) or "all"
        click.echo(f"{one.id}  {one.tenant:<20}  {_state(one):<24}  {types}  {one.url}")


@webhooks.command("rm")
@click.argument("webhook_id", metavar="ID")
@home_option
def remove_webhook(webhook_id: str, home: Path | None) -> None:
    """Tell a webhook nothing more, and forget its deliveries."""
    parts = parts_of(home)
    parts.webhooks.remove(_known(parts, webhook_id).id)
    say(f"{webhook_id} is removed.")


@webhooks.command("log")
@click.argument("webhook_id", metavar="ID")
@click.option("--state", type=click.Choice([s.value for s in Delivered]), help="Only these.")
@click.option("--limit", type=click.IntRange(1, 1_000), default=50, show_default=True)
@home_option
@json_option
def log_of_webhook(
    webhook_id: str, state: str | None, limit: int, home: Path | None, as_json: bool
) -> None:
    """List what a webhook was told and what is on its way, newest first."""
    parts = parts_of(home)
    wanted = Delivered(state) if state else None
    known = _known(parts, webhook_id)
    found = parts.deliveries.page(webhook_id=known.id, state=wanted, limit=limit)
    if as_json:
        payload({"deliveries": [delivery_told(one).model_dump(mode="json") for one in found]})
        return
    if not found:
        say("It was told nothing so far.")
    for one in found:
        last = f"{len(one.attempts)} x, {_said(one.attempts[-1])}" if one.attempts else "not tried"
        click.echo(f"{one.event_id}  {one.type:<20}  {one.recording_id}  {one.state:<9}  {last}")


@webhooks.command("replay")
@click.argument("webhook_id", metavar="ID")
@click.argument("event_ids", metavar="[EVENT]...", nargs=-1)
@click.option("--failed", is_flag=True, help="All that was given up.")
@home_option
def replay_deliveries(
    webhook_id: str, event_ids: tuple[str, ...], failed: bool, home: Path | None
) -> None:
    """Send events again with their ids and bodies; `up` does so within seconds."""
    if bool(event_ids) == failed:
        raise click.UsageError("Name events, or say --failed.")
    parts = parts_of(home)
    known = _known(parts, webhook_id)
    if known.disabled_at is not None:
        raise WrongState("This webhook answered 410 and is disabled. Make another one.")
    chosen = event_ids or [one.event_id for one in _failed(parts, known)]
    for event_id in chosen:
        parts.deliveries.replay(known.id, event_id, parts.now())
    say(f"{len(chosen)} to be sent again.")


def _failed(parts: Parts, known: Webhook) -> Iterator[Delivery]:
    before = None
    while page := parts.deliveries.page(
        webhook_id=known.id, state=Delivered.FAILED, before=before, limit=PAGE
    ):
        yield from page
        before = (page[-1].made_at, page[-1].event_id, page[-1].webhook_id)


def _known(parts: Parts, webhook_id: str) -> Webhook:
    found = parts.webhooks.get(webhook_id)
    if found is None:
        raise NotFound("No webhook has this id. List them with `earwitness webhooks ls`.")
    return found


def _show_secret(made: Webhook, as_json: bool) -> None:
    if as_json:
        payload({**webhook_told(made).model_dump(mode="json"), "secret": made.secret})
        return
    click.echo(f"{made.id}  {made.secret}")
    say(_KEEP)


def _state(one: Webhook) -> str:
    if one.disabled_at is not None:
        return f"disabled {one.disabled_at:%Y-%m-%d}: 410"
    if one.failing_since is not None:
        return f"failing since {one.failing_since:%Y-%m-%d}"
    return "on"


def _said(attempt: Attempt) -> str:
    return str(attempt.status if attempt.status is not None else attempt.fault)
