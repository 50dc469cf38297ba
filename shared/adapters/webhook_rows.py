"""Webhooks and deliveries as the fields that both stores keep of them."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from shared.domain.moments import from_us, to_us
from shared.domain.webhooks import Attempt, Delivered, Delivery, Fault, Webhook

Fields = dict[str, Any]


def webhook_fields(one: Webhook) -> Fields:
    return {
        "id": one.id,
        "tenant": one.tenant,
        "url": one.url,
        "types": " ".join(one.types),
        "secret": one.secret,
        "made_us": to_us(one.made_at),
        "disabled_us": _us(one.disabled_at),
        "old_secret": one.old_secret,
        "old_until_us": _us(one.old_until),
        "failing_us": _us(one.failing_since),
    }


def webhook(fields: Mapping[str, Any]) -> Webhook:
    return Webhook(
        id=fields["id"],
        tenant=fields["tenant"],
        url=fields["url"],
        types=tuple(fields["types"].split()),
        secret=fields["secret"],
        made_at=from_us(fields["made_us"]),
        disabled_at=_moment(fields["disabled_us"]),
        old_secret=fields["old_secret"],
        old_until=_moment(fields["old_until_us"]),
        failing_since=_moment(fields["failing_us"]),
    )


def delivery_fields(one: Delivery) -> Fields:
    return {
        "webhook_id": one.webhook_id,
        "event_id": one.event_id,
        "tenant": one.tenant,
        "type": one.type,
        "recording_id": one.recording_id,
        "body": one.body,
        "made_us": to_us(one.made_at),
        **moving_fields(one),
    }


def moving_fields(one: Delivery) -> Fields:
    """Those that an attempt changes."""
    return {
        "state": one.state.value,
        "next_us": _us(one.next_at),
        "tries": one.tries,
        "attempts": _text(one.attempts),
        "settled_us": _us(one.settled_at),
    }


def delivery(fields: Mapping[str, Any]) -> Delivery:
    return Delivery(
        webhook_id=fields["webhook_id"],
        tenant=fields["tenant"],
        event_id=fields["event_id"],
        type=fields["type"],
        recording_id=fields["recording_id"],
        body=fields["body"],
        made_at=from_us(fields["made_us"]),
        state=Delivered(fields["state"]),
        next_at=_moment(fields["next_us"]),
        tries=fields["tries"],
        attempts=_attempts(fields["attempts"]),
        settled_at=_moment(fields["settled_us"]),
    )


def _text(attempts: Sequence[Attempt]) -> str:
    return json.dumps([[to_us(a.at), a.status, a.fault] for a in attempts])


def _attempts(text: str) -> tuple[Attempt, ...]:
    return tuple(
        Attempt(from_us(at), status, Fault(fault) if fault else None)
        for at, status, fault in json.loads(text)
    )


def _us(at: datetime | None) -> int | None:
    return None if at is None else to_us(at)


def _moment(us: int | None) -> datetime | None:
    return None if us is None else from_us(us)
