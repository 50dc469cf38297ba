"""The page of one tenant: what it used today, what ends soon, its keys, its webhooks."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response
from starlette.responses import RedirectResponse

from gateway.dependencies import MAX_ID, Wired
from gateway.rendering import render
from gateway.security import TOKEN_CHECKED
from gateway.wording import clock
from shared.domain.api_keys import ApiKey
from shared.domain.names import TENANT
from shared.domain.quotas import next_midnight
from shared.domain.tenants import OverQuotaPolicy, Tenant
from shared.errors import NotFound
from shared.wiring import Parts

router = APIRouter(include_in_schema=False)

#: How far the page looks ahead (issue 7, point 10).
DAYS_AHEAD = 30
#: Rows of each of the page's lists.
MOST_ENDING, MOST_DELIVERIES = 50, 25
OVER_QUOTA = {
    OverQuotaPolicy.DEFER: "What comes over a limit waits for it.",
    OverQuotaPolicy.REFUSE: "What comes over a limit is refused.",
}

Id = Annotated[str, Path(max_length=MAX_ID)]


def owner_of(tenant: Annotated[str, Path(pattern=f"^{TENANT.pattern}$")], parts: Wired) -> Tenant:
    """The tenant the path names.

    Raises:
        NotFound: there is none.
    """
    found = parts.tenants.get(tenant)
    if found is None:
        raise NotFound("There is no such tenant.")
    return found


Owner = Annotated[Tenant, Depends(owner_of)]


@dataclass(frozen=True, slots=True)
class Used:
    """One of a day's limits, in words."""

    what: str
    used: str
    most: str | None  #: None without limit
    share: float | None


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key as the page shows it; never more than its id."""

    id: str
    name: str
    role: str
    scopes: tuple[str, ...]
    used_on: str | None
    ends: datetime | None
    ended: str | None  #: why it opens nothing any more


@router.get("/tenants/{tenant}")
def tenant_page(request: Request, owner: Owner, parts: Wired) -> Response:
    now = parts.now()
    ending = parts.retention.ending(
        now + timedelta(days=DAYS_AHEAD), tenant=owner.id, limit=MOST_ENDING + 1
    )
    shown: dict[str, Any] = {
        "owner": owner,
        "tenant": owner.id,
        "usage": used_today(parts, owner, now),
        "resets_at": next_midnight(now),
        "over_quota": OVER_QUOTA[owner.over_quota],
        "days": DAYS_AHEAD,
        "ending": ending[:MOST_ENDING],
        "more_ending": len(ending) > MOST_ENDING,
        "keys": [key_row(one, now) for one in parts.api_keys.all(owner.id)],
        "hooks": parts.webhooks.all(owner.id),
        "deliveries": parts.deliveries.page(tenant=owner.id, limit=MOST_DELIVERIES),
    }
    return render(request, "tenant.html", shown)


def used_today(parts: Parts, owner: Tenant, now: datetime) -> list[Used]:
    rules, sound = owner.rules, parts.quotas.day(owner.id, now)
    heard_s = sound.used_s + sound.reserved_s + sound.stranded_s
    rows = [
        _used("Files", sound.files, rules.files_a_day, "{:,.0f}".format),
        _used("Sound", heard_s, rules.seconds_a_day, clock),
    ]
    if owner.fallback:
        spent = parts.spending.day(owner.id, now).spent_usd
        most = rules.fallback_usd_a_day
        rows.append(_used("US dollars for paid engines", spent, most, "{:.2f}".format))
    return rows


def _used(what: str, used: float, most: float | None, said: Callable[[float], str]) -> Used:
    share = min(1.0, used / most) if most else None
    return Used(what, said(used), None if most is None else said(most), share)


def key_row(key: ApiKey, now: datetime) -> KeyRow:
    return KeyRow(
        id=key.id,
        name=key.name,
        role=key.grant.role.value,
        scopes=tuple(scope.value for scope in key.grant.scopes),
        used_on=key.used_on.isoformat() if key.used_on else None,
        ends=key.expires_at,
        ended="revoked" if key.revoked_at else "expired" if key.expired(now) else None,
    )


@router.post(
    "/tenants/{tenant}/deliveries/{webhook_id}/{event_id}/replay", dependencies=[TOKEN_CHECKED]
)
def send_again(owner: Owner, webhook_id: Id, event_id: Id, parts: Wired) -> Response:
    """The page's button: the delivery is due at once, with the same id and body.

    Raises:
        NotFound: the webhook is not this tenant's, or was never told of that event.
    """
    webhook = parts.webhooks.get(webhook_id)
    if webhook is None or webhook.tenant != owner.id:
        raise NotFound("There is no such webhook.")
    parts.deliveries.replay(webhook_id, event_id, parts.now())
    return RedirectResponse(f"/tenants/{owner.id}#webhooks", status_code=303)
