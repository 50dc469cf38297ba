"""One example a route: what it takes of a key, how to ask it, and what its own tenant gets.

A new route is one more line in EXAMPLES. tests/gateway/test_callers.py asks each operation of
docs/openapi.json in every role, as its own tenant and as another, and fails where one has no line.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.domain.api_keys import Scope

R, W = Scope.READ, Scope.WRITE


@dataclass(frozen=True)
class Example:
    """`names`: the parts of the path. A function makes a thing of the tenant `demo` in a `World`
    and gives its id; a text is nobody's (a format, an engine)."""

    scope: Scope | None  #: what a key needs; None: nobody needs one
    status: int = 200  #: what a key of the very tenant gets
    names: Mapping[str, "str | Callable[[Any], str]"] = field(default_factory=dict)
    query: str = ""
    body: Any = None
    endless: bool = False  #: its answer never ends; whether it begins is looked at elsewhere
    kind: str = "application/json"

    @property
    def content(self) -> str | None:
        return None if self.body is None else json.dumps(self.body)


def heard(world: Any) -> str:
    return world.heard


def dead(world: Any) -> str:
    return world.dead


def a_key(world: Any) -> str:
    return world.key_id


def an_erasure(world: Any) -> str:
    return world.erased


def a_webhook(world: Any) -> str:
    return world.webhook.id


def an_event(world: Any) -> str:
    return world.event_id


def an_export(world: Any) -> str:
    """A new one each time: erasing ends those that there are."""
    ready: str = world.export()
    return ready


HOOK, EXPORTED = {"webhook_id": a_webhook}, {"export_id": an_export}
ONE, LETTER = {"recording_id": heard}, {"recording_id": dead}
KEY_OF_UPLOAD = {"tenant": "demo", "key": "0" * 26}
#: Where the GPU service answers: there is none behind this gateway.
BEHIND = 502

EXAMPLES: dict[str, Example] = {
    "get /v1/recordings": Example(R),
    "get /v1/recordings/{recording_id}": Example(R, names=ONE),
    "get /v1/recordings/{recording_id}/history": Example(R, names=ONE),
    "get /v1/recordings/{recording_id}/transcript.{format}": Example(
        R, names=ONE | {"format": "json"}
    ),
    "get /v1/recordings/{recording_id}/decisions.json": Example(R, names=ONE),
    "get /v1/recordings/{recording_id}/corrections": Example(R, names=ONE),
    "post /v1/recordings/{recording_id}/corrections": Example(
        W, 201, ONE, body={"base": 0, "text": "So it was."}
    ),
    "get /v1/recordings/{recording_id}/audio": Example(R, names=ONE),
    "get /v1/recordings/{recording_id}/extension": Example(R, names=ONE),
    "post /v1/recordings/{recording_id}/extension": Example(
        W, names=ONE, body={"until": "2027-01-31T00:00:00Z"}
    ),
    "put /v1/recordings/{recording_id}/hold": Example(
        Scope.HOLD, names=ONE, body={"reason": "a lawsuit"}
    ),
    "delete /v1/recordings/{recording_id}/hold": Example(Scope.HOLD, names=ONE),
    "post /v1/uploads": Example(W, 201, body={"name": "a", "size": 1}),
    "get /v1/uploads/{tenant}/{key}": Example(R, 404, KEY_OF_UPLOAD),
    "post /v1/uploads/{tenant}/{key}": Example(None, 403, KEY_OF_UPLOAD),
    "put /v1/uploads/{tenant}/{key}": Example(None, 403, KEY_OF_UPLOAD),
    "get /v1/search": Example(R, query="q=witness"),
    "get /v1/audit": Example(Scope.AUDIT),
    "get /v1/dead-letters": Example(R),
    "get /v1/dead-letters/causes": Example(Scope.EVERYBODY),
    "get /v1/dead-letters/{recording_id}": Example(R, names=LETTER),
    "post /v1/dead-letters/{recording_id}/replay": Example(W, names=LETTER),
    "post /v1/dead-letters/{recording_id}/discard": Example(W, names=LETTER, body={"why": "noise"}),
    "delete /v1/recordings/{recording_id}": Example(Scope.ERASE, 202, ONE),
    "get /v1/erasures/{erasure_id}": Example(Scope.ERASE, names={"erasure_id": an_erasure}),
    "post /v1/exports": Example(Scope.EXPORT, 201, body={}),
    "post /v1/exports/{export_id}/plan": Example(Scope.EXPORT, names=EXPORTED),
    "get /v1/exports/{export_id}": Example(Scope.EXPORT, names=EXPORTED),
    "get /v1/exports/{export_id}/archive": Example(Scope.EXPORT, names=EXPORTED),
    "delete /v1/exports/{export_id}": Example(Scope.EXPORT, 204, EXPORTED),
    "get /v1/usage": Example(R),
    "get /v1/events": Example(R, endless=True),
    "get /v1/keys": Example(Scope.KEYS),
    "post /v1/keys": Example(Scope.KEYS, 201, body={"scope": "read"}),
    "post /v1/keys/{key_id}/rotation": Example(Scope.KEYS, 201, {"key_id": a_key}, body={}),
    "delete /v1/keys/{key_id}": Example(Scope.KEYS, names={"key_id": a_key}),
    "get /v1/webhooks": Example(Scope.WEBHOOKS),
    "post /v1/webhooks": Example(Scope.WEBHOOKS, 201, body={"url": "https://example.com/hook"}),
    "delete /v1/webhooks/{webhook_id}": Example(Scope.WEBHOOKS, names=HOOK),
    "post /v1/webhooks/{webhook_id}/secret": Example(Scope.WEBHOOKS, 201, HOOK, body={}),
    "get /v1/webhooks/{webhook_id}/deliveries": Example(Scope.WEBHOOKS, names=HOOK),
    "post /v1/webhooks/{webhook_id}/deliveries/{event_id}/replay": Example(
        Scope.WEBHOOKS, names=HOOK | {"event_id": an_event}
    ),
    "post /v1/audio/transcriptions": Example(W, BEHIND, body={}),
    "post /v1/audio/translations": Example(W, BEHIND, body={}),
    "get /v1/models": Example(R, BEHIND),
    "get /v1/models/{model}": Example(R, BEHIND, {"model": "echo"}),
    "post /v1/analyses": Example(W, BEHIND, body={}),
    "get /healthz": Example(None),
}
