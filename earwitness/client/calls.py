"""Every call of the API as steps, with what is tried again and what an answer means."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from earwitness.client.breaker import Breaker
from earwitness.client.errors import NotUnderstood, WaitedTooLong, failure, was_sent
from earwitness.client.patience import Patience, Tries
from earwitness.client.steps import Flow, Pause, Send, sent
from shared.domain.api import (
    AuditPage,
    Cause,
    Causes,
    Corrections,
    DeadLetter,
    DeadLetters,
    DeliveryPage,
    Erasure,
    History,
    HistoryLine,
    Hit,
    Hits,
    Keeping,
    Key,
    Keys,
    Listed,
    MadeCorrection,
    MadeKey,
    MadeWebhook,
    NewCorrection,
    NewKey,
    NewSecret,
    NewWebhook,
    RecordingPage,
    RotatedKey,
    Rotation,
    Usage,
    WantedExtension,
    WantedHold,
    Webhook,
    WebhookDelivery,
    Webhooks,
)
from shared.domain.deliberations import Deliberations
from shared.domain.result import Result
from shared.domain.states import TERMINAL, State
from shared.domain.webhooks import Delivered
from shared.errors import EarwitnessError, NotFound

M = TypeVar("M", bound=BaseModel)

#: States in which nothing more happens soon; a deferred recording has a promised time.
SETTLED = TERMINAL | {State.DEFERRED}
#: Seconds between two looks at a recording that is waited for: short calls are heard in less
#: than one, long ones are looked at less and less often.
FIRST_LOOK_S, LOOK_FACTOR, LONGEST_LOOK_S = 0.1, 1.5, 2.0
#: Seconds after an upload in which its recording may still be unknown. On one machine its event
#: is delivered within one; Cloud Storage promises nothing, and tens of seconds were seen.
NOTICED_WITHIN_S = 120.0


@dataclass(frozen=True, slots=True)
class Door:
    """The way to one gateway, and what is known of it."""

    url: str
    key: str | None
    token: str | None
    clock: Callable[[], float]
    patience: Patience
    breaker: Breaker

    def headers(self) -> dict[str, str]:
        """Who asks; for this gateway's own address and no other."""
        shown = {"User-Agent": "earwitness-client", "Accept": "application/json"}
        if self.key is not None:
            shown["Authorization"] = f"Bearer {self.key}"
        if self.token is not None:
            shown["X-Earwitness-Token"] = self.token
        return shown

    def send(self, step: Send) -> Flow[httpx.Response]:
        """One request through the breaker; any answer that is no server's failure is fine."""
        self.breaker.admit()
        try:
            answer = yield from sent(step)
        except EarwitnessError as error:
            if error.retryable:  # else it is the file that failed, not the gateway
                self.breaker.report(fine=False)
            raise
        self.breaker.report(fine=answer.status_code < httpx.codes.INTERNAL_SERVER_ERROR)
        return answer

    def ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        told: BaseModel | None = None,
        repeatable: bool = True,
    ) -> Flow[httpx.Response]:
        """The answer to a call, tried again while that is safe and may help.

        `repeatable` says that a second time changes nothing; what is not is tried again only
        if it never left.
        """
        headers = self.headers() | ({"Content-Type": "application/json"} if told else {})
        content = told.model_dump_json().encode() if told else b""
        step = Send(method, f"{self.url}{path}", _known(params or {}), headers, content)

        def again(error: BaseException) -> bool:
            safe = repeatable or (isinstance(error, EarwitnessError) and not was_sent(error))
            return isinstance(error, EarwitnessError) and error.retryable and safe

        def attempt() -> Flow[httpx.Response]:
            answer = yield from self.send(step)
            if not answer.is_success:
                raise failure(answer)
            return answer

        return (yield from Tries(self.patience, self.clock, again).run(attempt))


def understood(model: type[M], answer: httpx.Response) -> M:
    """The answer as `model`; keys it does not know, of a later version, are ignored.

    Raises:
        NotUnderstood: it is something else.
    """
    try:
        return model.model_validate_json(answer.content, extra="ignore")
    except ValidationError as error:
        raise NotUnderstood(status=answer.status_code) from error


def recordings(
    door: Door, tenant: str | None, states: Sequence[State], before: str | None, limit: int
) -> Flow[RecordingPage]:
    asked = {"tenant": tenant, "state": list(states), "before": before, "limit": limit}
    return understood(RecordingPage, (yield from door.ask("GET", "/v1/recordings", params=asked)))


def recording(door: Door, recording_id: str) -> Flow[Result]:
    return understood(Result, (yield from door.ask("GET", _path(recording_id))))


def history(door: Door, recording_id: str) -> Flow[list[HistoryLine]]:
    answer = yield from door.ask("GET", _path(recording_id, "/history"))
    return understood(History, answer).history


def transcript(door: Door, recording_id: str, form: str, corrected: bool) -> Flow[str]:
    path = _path(recording_id, f"/transcript.{quote(form, safe='')}")
    answer = yield from door.ask("GET", path, params={"corrected": corrected or None})
    return answer.content.decode()


def deliberations(door: Door, recording_id: str) -> Flow[Deliberations]:
    path = _path(recording_id, "/decisions.json")
    return understood(Deliberations, (yield from door.ask("GET", path)))


def corrections(door: Door, recording_id: str) -> Flow[Corrections]:
    path = _path(recording_id, "/corrections")
    return understood(Corrections, (yield from door.ask("GET", path)))


def correct(door: Door, recording_id: str, told: NewCorrection) -> Flow[MadeCorrection]:
    """A second time is refused, so an answer that was lost is not asked for."""
    path = _path(recording_id, "/corrections")
    answer = yield from door.ask("POST", path, told=told, repeatable=False)
    return understood(MadeCorrection, answer)


def search(door: Door, text: str, tenant: str | None, limit: int) -> Flow[list[Hit]]:
    asked = {"q": text, "tenant": tenant, "limit": limit}
    return understood(Hits, (yield from door.ask("GET", "/v1/search", params=asked))).hits


def dead_letters(door: Door, tenant: str | None, limit: int) -> Flow[list[Listed]]:
    asked = {"tenant": tenant, "limit": limit}
    answer = yield from door.ask("GET", "/v1/dead-letters", params=asked)
    return understood(DeadLetters, answer).recordings


def dead_letter(door: Door, recording_id: str) -> Flow[DeadLetter]:
    path = f"/v1/dead-letters/{quote(recording_id, safe='')}"
    return understood(DeadLetter, (yield from door.ask("GET", path)))


def causes_of_death(door: Door, days: int) -> Flow[list[Cause]]:
    answer = yield from door.ask("GET", "/v1/dead-letters/causes", params={"days": days})
    return understood(Causes, answer).causes


def decide(door: Door, recording_id: str, verb: str, told: BaseModel | None = None) -> Flow[Listed]:
    """Replay or discard: a second time is refused, so an answer that was lost is not asked for."""
    path = f"/v1/dead-letters/{quote(recording_id, safe='')}/{verb}"
    answer = yield from door.ask("POST", path, told=told, repeatable=False)
    return understood(Listed, answer)


def audit(door: Door, tenant: str | None, before: str | None, limit: int) -> Flow[AuditPage]:
    asked = {"tenant": tenant, "before": before, "limit": limit}
    return understood(AuditPage, (yield from door.ask("GET", "/v1/audit", params=asked)))


def usage(door: Door, tenant: str | None) -> Flow[Usage]:
    answer = yield from door.ask("GET", "/v1/usage", params={"tenant": tenant})
    return understood(Usage, answer)


def keys(door: Door, tenant: str | None) -> Flow[list[Key]]:
    answer = yield from door.ask("GET", "/v1/keys", params={"tenant": tenant})
    return understood(Keys, answer).keys


def make_key(door: Door, told: NewKey) -> Flow[MadeKey]:
    """A second time makes a second key, so an answer that was lost is not asked for."""
    answer = yield from door.ask("POST", "/v1/keys", told=told, repeatable=False)
    return understood(MadeKey, answer)


def rotate_key(door: Door, key_id: str, told: Rotation) -> Flow[RotatedKey]:
    """A second time is refused, so an answer that was lost is not asked for."""
    path = f"/v1/keys/{quote(key_id, safe='')}/rotation"
    answer = yield from door.ask("POST", path, told=told, repeatable=False)
    return understood(RotatedKey, answer)


def revoke_key(door: Door, key_id: str) -> Flow[Key]:
    path = f"/v1/keys/{quote(key_id, safe='')}"
    return understood(Key, (yield from door.ask("DELETE", path)))


def keeping(door: Door, recording_id: str) -> Flow[Keeping]:
    return understood(Keeping, (yield from door.ask("GET", _path(recording_id, "/extension"))))


def extend(door: Door, recording_id: str, told: WantedExtension) -> Flow[Keeping]:
    path = _path(recording_id, "/extension")
    return understood(Keeping, (yield from door.ask("POST", path, told=told)))


def hold(door: Door, recording_id: str, told: WantedHold) -> Flow[Keeping]:
    path = _path(recording_id, "/hold")
    return understood(Keeping, (yield from door.ask("PUT", path, told=told)))


def release(door: Door, recording_id: str) -> Flow[Keeping]:
    return understood(Keeping, (yield from door.ask("DELETE", _path(recording_id, "/hold"))))


def erase(door: Door, recording_id: str) -> Flow[Erasure]:
    return understood(Erasure, (yield from door.ask("DELETE", _path(recording_id))))


def erasure(door: Door, erasure_id: str) -> Flow[Erasure]:
    path = f"/v1/erasures/{quote(erasure_id, safe='')}"
    return understood(Erasure, (yield from door.ask("GET", path)))


def webhooks(door: Door, tenant: str | None) -> Flow[list[Webhook]]:
    answer = yield from door.ask("GET", "/v1/webhooks", params={"tenant": tenant})
    return understood(Webhooks, answer).webhooks


def make_webhook(door: Door, told: NewWebhook) -> Flow[MadeWebhook]:
    """A second time makes a second one, so an answer that was lost is not asked for."""
    answer = yield from door.ask("POST", "/v1/webhooks", told=told, repeatable=False)
    return understood(MadeWebhook, answer)


def rotate_webhook(door: Door, webhook_id: str, told: NewSecret) -> Flow[MadeWebhook]:
    """A second time makes a second secret, so an answer that was lost is not asked for."""
    path = _webhook(webhook_id, "/secret")
    return understood(MadeWebhook, (yield from door.ask("POST", path, told=told, repeatable=False)))


def remove_webhook(door: Door, webhook_id: str) -> Flow[Webhook]:
    return understood(Webhook, (yield from door.ask("DELETE", _webhook(webhook_id))))


def deliveries(
    door: Door, webhook_id: str, state: Delivered | None, before: str | None, limit: int
) -> Flow[DeliveryPage]:
    params = {"state": state, "before": before, "limit": limit}
    answer = yield from door.ask("GET", _webhook(webhook_id, "/deliveries"), params=params)
    return understood(DeliveryPage, answer)


def replay_delivery(door: Door, webhook_id: str, event_id: str) -> Flow[WebhookDelivery]:
    path = _webhook(webhook_id, f"/deliveries/{quote(event_id, safe='')}/replay")
    return understood(WebhookDelivery, (yield from door.ask("POST", path)))


def _webhook(webhook_id: str, rest: str = "") -> str:
    return f"/v1/webhooks/{quote(webhook_id, safe='')}{rest}"


def wait(door: Door, recording_id: str, timeout_s: float) -> Flow[Result]:
    """Look until the recording is settled."""
    began_s, pause_s = door.clock(), FIRST_LOOK_S
    while True:
        try:
            result = yield from recording(door, recording_id)
        except NotFound:
            if door.clock() - began_s >= NOTICED_WITHIN_S:
                raise
        else:
            if result.status in SETTLED:
                return result
        if door.clock() + pause_s > began_s + timeout_s:
            raise WaitedTooLong(recording_id=recording_id)
        yield Pause(pause_s)
        pause_s = min(LONGEST_LOOK_S, pause_s * LOOK_FACTOR)


def _path(recording_id: str, rest: str = "") -> str:
    return f"/v1/recordings/{quote(recording_id, safe='')}{rest}"


def _known(params: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in params.items() if value is not None}
