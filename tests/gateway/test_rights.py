"""The table of rights is in step with the routes, and what it does not know opens to no key."""

import pytest

from gateway.rights import TABLE, needed
from shared.domain.api_keys import Scope
from shared.errors import NotFound
from tests.gateway.examples import EXAMPLES

#: The stream of the audio API is no operation of the description (docs/streaming.md).
STREAM = ("WEBSOCKET", "/v1/audio/stream")


def asked(operation):
    """Method and address, with something in place of its parts."""
    method, path = operation.split(" ")
    return method.upper(), path.replace("{", "x").replace("}", "y")


@pytest.mark.parametrize("operation", EXAMPLES)
def test_every_route_takes_the_scope_of_its_example(operation):
    assert needed(*asked(operation)) is EXAMPLES[operation].scope


def test_every_scope_opens_something():
    """One that opens nothing would be a promise nobody keeps."""
    assert {scope for *_, scope in TABLE} == {None, *Scope}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/secrets"),
        ("GET", "/v1/recordings/"),
        ("GET", "/v1/recordings/a/b"),
        ("GET", "/v1/recordings/a/history/b"),
        ("DELETE", "/v1/recordings"),
        ("PATCH", "/v1/recordings/a"),
        ("POST", "/v1/keysmith"),
        ("GET", "/v1/keys\n"[:-1] + "x"),
        ("PUT", "/v1/uploads/a"),
        ("PUT", "/v1/uploads/a/b/c"),
        ("GET", "/"),
        ("GET", "/healthz?x"),
        ("GET", "/v1/dead-letters/causes/x"),
        ("get", "/v1/recordings"),
    ],
)
def test_what_no_line_knows_is_not_there_for_any_key(method, path):
    with pytest.raises(NotFound):
        needed(method, path)


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/v1/webhooks", Scope.WEBHOOKS),
        ("POST", "/v1/webhooks/a/deliveries/b/replay", Scope.WEBHOOKS),
        ("POST", "/v1/exports", Scope.EXPORT),
        ("GET", "/v1/exports/a/content", Scope.EXPORT),
        ("PUT", "/v1/recordings/a/hold", Scope.HOLD),
        ("DELETE", "/v1/recordings/a/hold", Scope.HOLD),
        ("DELETE", "/v1/recordings/a", Scope.ERASE),
        ("GET", "/v1/erasures/a/receipt", Scope.ERASE),
        ("GET", "/v1/audit", Scope.AUDIT),
        ("POST", "/v1/recordings/a/extension", Scope.WRITE),
        ("POST", "/v1/models/a/load", Scope.MODELS),
        ("GET", "/v1/models/load", Scope.READ),
        ("GET", "/v1/dead-letters/causes", Scope.EVERYBODY),
        (*STREAM, Scope.WRITE),
    ],
)
def test_what_is_particular_comes_first(method, path, scope):
    assert needed(method, path) is scope
