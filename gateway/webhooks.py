"""`/v1/webhooks`: whom to tell what happens to a tenant's recordings, and whether it arrived."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from gateway.callers import Calling
from gateway.cursors import MAX_LENGTH, cursor_behind, position
from gateway.dependencies import MAX_ID, TenantName, Wired
from gateway.errors import DESCRIBED
from gateway.recordings import DEFAULT_LIMIT, Limit
from gateway.security import TOKEN_CHECKED
from shared.domain import api
from shared.domain.api import DeliveryPage, MadeWebhook, NewSecret, NewWebhook, WebhookDelivery
from shared.domain.listing import delivery_told, webhook_told
from shared.domain.tenants import DEMO
from shared.domain.webhooks import Delivered, Webhook
from shared.errors import NotFound, UnknownTenant, WrongState
from shared.wiring import subscribe

WebhookId = Annotated[str, Path(max_length=MAX_ID, description="The webhook's id.")]
EventId = Annotated[str, Path(max_length=MAX_ID, description="The event's id.")]
Before = Annotated[str | None, Query(max_length=MAX_LENGTH, description="`next` of a page.")]
State = Annotated[Delivered | None, Query(description="Only this state; all if left out.")]

router = APIRouter(tags=["webhooks"], responses=DESCRIBED, dependencies=[TOKEN_CHECKED])


def webhook_of(webhook_id: WebhookId, parts: Wired, caller: Calling) -> Webhook:
    """The webhook the path names.

    Raises:
        NotFound: there is none, or it is another tenant's than the key's.
    """
    known = parts.webhooks.get(webhook_id)
    if known is None or not caller.may_see(known.tenant):
        raise NotFound("No webhook has this id. List them with GET /v1/webhooks.")
    return known


OneWebhook = Annotated[Webhook, Depends(webhook_of)]


@router.get("/v1/webhooks")
def list_webhooks(parts: Wired, tenant: TenantName) -> api.Webhooks:
    """Webhooks, the newest first, disabled ones too; never a secret."""
    return api.Webhooks(webhooks=[webhook_told(one) for one in parts.webhooks.all(tenant)])


@router.post("/v1/webhooks", status_code=201)
def make_webhook(asked: NewWebhook, parts: Wired, caller: Calling) -> MadeWebhook:
    """Tell this endpoint what happens from now on; its secret is told this once.

    Messages follow Standard Webhooks and hold ids only (docs/webhooks.md).
    """
    if asked.tenant is not None and not caller.may_see(asked.tenant):
        raise UnknownTenant
    tenant = asked.tenant or caller.tenant or DEMO
    return _with_secret(subscribe(parts)(tenant, asked.url, asked.types))


@router.post("/v1/webhooks/{webhook_id}/secret", status_code=201)
def rotate_secret(known: OneWebhook, asked: NewSecret, parts: Wired) -> MadeWebhook:
    """Give it a new secret, told this once; for a while messages are signed with both."""
    overlap = timedelta(hours=asked.overlap_hours)
    return _with_secret(subscribe(parts).rotate(known.id, overlap))


@router.delete("/v1/webhooks/{webhook_id}")
def remove_webhook(known: OneWebhook, parts: Wired) -> api.Webhook:
    """Tell it nothing more, and forget its deliveries."""
    parts.webhooks.remove(known.id)
    return webhook_told(known)


@router.get("/v1/webhooks/{webhook_id}/deliveries")
def list_deliveries(
    known: OneWebhook,
    parts: Wired,
    state: State = None,
    before: Before = None,
    limit: Limit = DEFAULT_LIMIT,
) -> DeliveryPage:
    """What it was told and what is on its way, newest first, with each attempt.

    What was settled 30 days ago is forgotten.
    """
    start = (*position(before), known.id) if before else None
    found = parts.deliveries.page(webhook_id=known.id, state=state, before=start, limit=limit + 1)
    last = found[limit - 1] if len(found) > limit else None
    return DeliveryPage(
        deliveries=[delivery_told(one) for one in found[:limit]],
        next=cursor_behind(last.made_at, last.event_id) if last else None,
    )


@router.post("/v1/webhooks/{webhook_id}/deliveries/{event_id}/replay")
def replay_delivery(known: OneWebhook, event_id: EventId, parts: Wired) -> WebhookDelivery:
    """Send it again with the same id and body, whatever became of it; within a minute."""
    if known.disabled_at is not None:
        raise WrongState("This webhook answered 410 and is disabled. Make another one.")
    try:
        return delivery_told(parts.deliveries.replay(known.id, event_id, parts.now()))
    except NotFound as error:
        raise NotFound("This webhook was given no such event, or it lapsed.") from error


def _with_secret(made: Webhook) -> MadeWebhook:
    return MadeWebhook(**webhook_told(made).model_dump(), secret=made.secret)
