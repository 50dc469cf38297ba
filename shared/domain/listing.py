"""Recordings and dead letters as lists show them; same names as in the result document."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

from shared.domain import api, erasures
from shared.domain.api import Attempt as AttemptLine
from shared.domain.api import (
    Cause,
    Causes,
    DeadLetter,
    FilesUsed,
    History,
    HistoryLine,
    Key,
    Listed,
    MoneyUsed,
    SecondsUsed,
    Usage,
)
from shared.domain.api_keys import OPERATOR, WRITER, ApiKey, Grant
from shared.domain.attempts import Attempt, attempts, discarding
from shared.domain.audit import Action, Kind, Seal
from shared.domain.quotas import DayOfSound, next_midnight
from shared.domain.recording import Deaths, Moved, Recording
from shared.domain.result import Fault
from shared.domain.retention import latest_extension, reason_kept
from shared.domain.spending import DayOfMoney
from shared.domain.tenants import Tenant
from shared.domain.testimony import subject
from shared.domain.webhooks import Delivery, Webhook
from shared.errors import ExtensionRefused


def listed(known: Recording) -> Listed:
    return Listed(
        recording=subject(known),
        status=known.state,
        review=known.review,
        error=known.error and Fault(code=known.error.code, message=known.error.message),
        tier=known.tier,
        lane=known.lane,
        rule=known.rule,
        received_at=known.received_at,
        updated_at=known.updated_at,
        kept_until=known.kept_until,
        deferred_until=known.deferred_until,
        duration_s=known.seconds,
        attempts=known.attempts,
        progress=known.progress,
        language=known.language,
        confidence=known.confidence,
    )


def told(moves: list[Moved]) -> History:
    return History(history=[_line(move) for move in moves])


def _line(move: Moved) -> HistoryLine:
    error = move.error and Fault(code=move.error.code, message=move.error.message)
    return HistoryLine(
        state=move.state, at=move.at, actor=move.actor, reason=move.reason, error=error
    )


def letter(known: Recording, moves: list[Moved]) -> DeadLetter:
    """A dead letter with each of its attempts, out of its history."""
    gone = discarding(moves)
    return DeadLetter(
        recording=listed(known),
        attempts=[_attempt(one) for one in attempts(moves)],
        discarded=_line(gone) if gone else None,
    )


def _attempt(one: Attempt) -> AttemptLine:
    return AttemptLine(
        number=one.number,
        worker=one.worker,
        began_at=one.began_at,
        ended_at=one.ended_at,
        ending=one.ending,
        engine=one.engine,
        error=one.error and Fault(code=one.error.code, message=one.error.message),
    )


def key_told(key: ApiKey) -> Key:
    """What may be told of a key: not even its digest."""
    return Key(
        id=key.id,
        tenant=key.tenant,
        role=key.grant.role,
        scopes=list(key.grant.scopes),
        scope=_nearest(key.grant),
        name=key.name,
        made_at=key.made_at,
        expires_at=key.expires_at,
        revoked_at=key.revoked_at,
        rotated_to=key.rotated_to,
        used_on=key.used_on,
    )


def webhook_told(known: Webhook) -> api.Webhook:
    """What may be told of a webhook: not its secret."""
    return api.Webhook(
        id=known.id,
        tenant=known.tenant,
        url=known.url,
        types=list(known.types),
        made_at=known.made_at,
        disabled_at=known.disabled_at,
        failing_since=known.failing_since,
    )


def delivery_told(known: Delivery) -> api.WebhookDelivery:
    """One event on its way to a webhook."""
    return api.WebhookDelivery(
        webhook_id=known.webhook_id,
        event_id=known.event_id,
        type=known.type,
        recording_id=known.recording_id,
        made_at=known.made_at,
        state=known.state,
        next_at=known.next_at,
        settled_at=known.settled_at,
        attempts=[
            api.DeliveryAttempt(at=a.at, status=a.status, fault=a.fault) for a in known.attempts
        ],
    )


def _nearest(grant: Grant) -> Literal["read", "write", "operator"]:
    if grant.covers(OPERATOR):
        return "operator"
    return "write" if grant.covers(WRITER) else "read"


def used(tenant: Tenant, sound: DayOfSound, money: DayOfMoney, now: datetime) -> Usage:
    """What the tenant used of its day."""
    rules = tenant.rules
    return Usage(
        tenant=tenant.id,
        tier=tenant.tier,
        files=FilesUsed(used=sound.files, limit=rules.files_a_day),
        seconds=SecondsUsed(
            used=sound.used_s,
            reserved=sound.reserved_s,
            stranded=sound.stranded_s,
            limit=rules.seconds_a_day,
        ),
        usd=MoneyUsed(
            spent=money.spent_usd,
            reserved=money.reserved_usd,
            stranded=money.stranded_usd,
            limit=rules.fallback_usd_a_day,
            agreed=tenant.fallback,
        ),
        over_quota=tenant.over_quota,
        next_day_at=next_midnight(now),
    )


def caused(deaths: Sequence[Deaths]) -> Causes:
    return Causes(causes=[Cause(day=d.day, code=d.code, count=d.count) for d in deaths])


def days_back(days: int, now: datetime) -> datetime:
    """The beginning of the first of `days` UTC days, of which today is the last."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight - timedelta(days=days - 1)


def erasure_told(erasure: erasures.Erasure) -> api.Erasure:
    """An erasure as the API tells it; who asked stays in the history."""
    return api.Erasure(
        id=erasure.id,
        tenant=erasure.tenant,
        recording_id=erasure.recording_id,
        cause=erasure.cause,
        state=erasure.state,
        asked_at=erasure.asked_at,
        erased_at=erasure.erased_at,
        receipt=json.loads(erasure.receipt) if erasure.receipt else None,
    )


def kept_told(known: Recording, tenant: Tenant) -> api.Keeping:
    """How long it is kept, as the API tells it."""
    may_extend, latest = True, None
    try:
        latest = latest_extension(known, tenant.rules)
    except ExtensionRefused:
        may_extend = False
    hold = known.hold
    return api.Keeping(
        recording_id=known.id,
        tenant=known.tenant,
        kept_until=known.kept_until,
        announced_at=known.announced_at,
        extended_until=known.extended_until,
        may_extend=may_extend,
        latest_extension=latest,
        hold=api.Held(reason=hold.reason, actor=hold.actor, at=hold.at) if hold else None,
        why=reason_kept(known, tenant),
    )


def acted(action: Action) -> api.DoneAction:
    """An action as the API tells it; its salt stays here."""
    return api.DoneAction(
        id=action.id,
        tenant=action.tenant,
        at=action.at,
        actor=action.actor,
        method=action.method,
        route=action.route,
        recording_id=action.recording_id,
        status=action.status,
        commitment=action.commitment,
    )


def sealed(seal: Seal, digest: str) -> api.LastSeal:
    """A seal as the API tells it; `digest` is that of the whole."""
    return api.LastSeal(
        number=seal.number,
        at=seal.at,
        root=seal.root,
        histories=seal.count(Kind.HISTORY),
        actions=seal.count(Kind.ACTION),
        key_id=seal.key_id,
        digest=digest,
    )
