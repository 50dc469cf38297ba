"""Who may ask for what: every operation of the description, with and without keys (S5)."""

import dataclasses
import json
from contextlib import contextmanager
from datetime import timedelta
from itertools import count

import msgspec
import pytest
from fastapi.testclient import TestClient

from gateway.main import create_app, described
from shared.domain.api_keys import ENTROPY_BYTES, Scope, minted
from shared.domain.tenants import Tier
from shared.errors import InvalidSettings
from shared.settings import Settings, load
from tests.builders import NOW
from tests.gateway.conftest import HOST
from tests.gateway.serving import BEHIND
from tests.gateway.testimony import Filled

#: It never ends; whether it begins is looked at by itself.
ENDLESS = "/v1/events"
#: Asks for a permit of its own instead of a key.
PERMITTED = ("put", "/v1/uploads/{key}")
#: Count everybody's, or make keys: a tenant's key is not enough.
CAUSES = "/v1/dead-letters/causes"
OPERATORS = {CAUSES, "/v1/keys", "/v1/keys/{key_id}"}
NOBODYS = frozenset({"/healthz"})


def operations():
    """(method, path) of all that the API description tells of."""
    for path, methods in described().openapi()["paths"].items():
        for method in methods:
            yield pytest.param(method, path, id=f"{method} {path}")


ALL = list(operations())
#: Those whose answer ends; of the endless one test_events.py reads the beginning.
FINITE = [p for p in ALL if p.values[1] != ENDLESS]


OF_RECORDINGS = [p for p in ALL if "{recording_id}" in p.values[1]]
CORRECTIONS = "/v1/recordings/{recording_id}/corrections"
BODIES = {
    "/v1/uploads": {"name": "a", "size": 1},
    "/v1/keys": {},
    CORRECTIONS: {"base": 0, "text": "So it was."},
}


class World:
    """A gateway with three tenants, a recording of demo, and keys to be had."""

    def __init__(self, app, client):
        self.parts, self.client = app.state.parts, client
        self.parts.tenants.ensure("acme", Tier.PRO, NOW)
        self.parts.tenants.ensure("other", Tier.PRO, NOW)
        self.filled = Filled(self.parts)
        self.id, self.heard = self.filled.dead().id, self.filled.done("heard.wav").id
        self._seeds = count(1)

    def key(self, tenant="acme", scope=Scope.WRITE, **changes):
        entropy = next(self._seeds).to_bytes(2, "big") * (ENTROPY_BYTES // 2)
        text, key = minted(tenant, scope, "", NOW, entropy)
        self.parts.api_keys.add(dataclasses.replace(key, **changes))
        return text

    def ask(self, method, path, key=None, **headers):
        recording_id = self.heard if path == CORRECTIONS else self.id
        others = {"key": "0" * 26, "model": "echo", "format": "json", "name": "x", "key_id": "x"}
        named = path.format(recording_id=recording_id, **others)
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        headers["Content-Type"] = "application/json"
        body = None if method == "get" else json.dumps(BODIES.get(path, {"why": "noise"}))
        return self.client.request(method, named, content=body, headers=headers)


@contextmanager
def gateway(settings, required):
    app = create_app(msgspec.structs.replace(settings, keys_required=required))
    with TestClient(app, base_url=f"http://{HOST}", raise_server_exceptions=False) as client:
        made = World(app, client)
        made.required = required
        yield made


@pytest.fixture(params=[True, False], ids=["keys required", "one machine"])
def world(request, settings):
    with gateway(settings, request.param) as made:
        yield made


@pytest.fixture(params=[True, False], ids=["keys required", "one machine"], scope="module")
def still(request, tmp_path_factory):
    """The same for tests in which nothing changes: making one costs more than asking it."""
    home = tmp_path_factory.mktemp("home")
    with gateway(Settings(home=home, broker_url="http://127.0.0.1:9"), request.param) as made:
        before = made.parts.recordings.get(made.id)
        yield made
        assert made.parts.recordings.get(made.id) == before


#: How the addresses of what a recording told end; one that is dead told nothing.
TESTIMONY = ("/audio", "/decisions.json", ".{format}")


def refused(answer):
    """401 in OpenAI's shape, and nothing else in it."""
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    return (answer.status_code, error["code"]) == (401, "invalid_api_key")


def needs_no_key(method, path):
    return (method, path) == PERMITTED or path in NOBODYS


@pytest.mark.parametrize(("method", "path"), FINITE)
def test_without_a_key(still, method, path):

    answer = still.ask(method, path)

    if still.required and not needs_no_key(method, path):
        assert refused(answer)
    else:
        assert answer.status_code != 401


@pytest.mark.parametrize(("method", "path"), ALL)
def test_with_a_key_that_opens_nothing(still, method, path):
    revoked = still.key(revoked_at=NOW)
    never_made = minted("acme", Scope.OPERATOR, "", NOW, b"\x07" * ENTROPY_BYTES)[0]

    answers = [still.ask(method, path, key) for key in (revoked, revoked[:-1] + "!", never_made)]

    if needs_no_key(method, path):
        assert all(answer.status_code != 401 for answer in answers)
    else:
        assert all(map(refused, answers))


@pytest.mark.parametrize(("method", "path"), FINITE)
def test_with_a_key_of_its_own(world, method, path):

    answer = world.ask(method, path, world.key(tenant="demo"))

    if (method, path) == PERMITTED:
        assert answer.status_code == 422  # a permit is missing
    elif path in OPERATORS:
        assert answer.status_code == 403
    elif path.startswith(BEHIND):
        assert answer.status_code == 502  # there is no service behind this gateway
    elif path == "/v1/recordings/{recording_id}/audio" or path.endswith(TESTIMONY):
        assert answer.status_code in (200, 404)  # a dead recording gave none
    else:
        assert answer.status_code < 300, answer.text


@pytest.mark.parametrize(("method", "path"), OF_RECORDINGS)
def test_another_tenants_recording_is_not_there(still, method, path):
    answer = still.ask(method, path, still.key(tenant="other"))

    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize(("method", "path"), FINITE)
def test_a_key_that_may_look_changes_nothing(still, method, path):

    answer = still.ask(method, path, still.key(tenant="demo", scope=Scope.READ))

    changes = method != "get" and (method, path) != PERMITTED
    assert answer.status_code == 403 if changes else answer.status_code != 401


@pytest.mark.parametrize("path", ["/v1/recordings", "/v1/dead-letters", "/v1/search?q=witness"])
def test_lists_show_the_keys_tenant_only(world, path):
    world.filled.done()
    mine = world.client.get(path, headers=bearer(world.key(tenant="demo")))
    theirs = world.client.get(path, headers=bearer(world.key(tenant="other")))

    asked = f"{path}{'&' if '?' in path else '?'}tenant=demo"
    forced = world.client.get(asked, headers=bearer(world.key(tenant="other")))

    assert rows(mine) > 0
    assert rows(theirs) == 0
    assert forced.status_code == 404


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


def rows(answer):
    return max(len(value) for value in answer.json().values() if isinstance(value, list))


def test_an_upload_is_the_keys_tenants(world):
    key = world.key()
    asked = {"name": "a.wav", "size": 1}

    mine = world.client.post("/v1/uploads", json=asked, headers=bearer(key))
    named = world.client.post("/v1/uploads", json=asked | {"tenant": "acme"}, headers=bearer(key))
    others = world.client.post("/v1/uploads", json=asked | {"tenant": "demo"}, headers=bearer(key))
    world.client.put(mine.json()["url"], content=b"x", headers=mine.json()["headers"])

    assert [mine.status_code, named.status_code, others.status_code] == [201, 201, 404]
    assert [u.name for u in world.parts.uploads.page() if u.name.startswith("uploads/acme/")]


def test_counts_of_everybody_are_an_operators(world):
    answer = world.ask("get", CAUSES, world.key(scope=Scope.OPERATOR))

    assert answer.status_code == 200


def test_an_operators_key_sees_to_keys_of_its_tenant(world):
    key = bearer(world.key(scope=Scope.OPERATOR))
    world.key(tenant="other")
    [theirs] = world.parts.api_keys.all("other")

    made = world.client.post("/v1/keys", json={"scope": "read", "name": "a"}, headers=key)
    others = world.client.post("/v1/keys", json={"tenant": "other"}, headers=key)
    listed = world.client.get("/v1/keys", headers=key)
    foreign = world.client.delete(f"/v1/keys/{theirs.id}", headers=key)

    told = made.json()
    assert (made.status_code, told["tenant"], told["scope"]) == (201, "acme", "read")
    assert world.client.get("/v1/recordings", headers=bearer(told["key"])).status_code == 200
    assert [others.status_code, foreign.status_code] == [404, 404]
    assert {row["tenant"] for row in listed.json()["keys"]} == {"acme"}
    assert told.pop("key") not in listed.text
    assert told in [row | {"used_on": None} for row in listed.json()["keys"]]


def test_a_revoked_key_opens_nothing_at_its_next_request(world):
    key = bearer(world.key(scope=Scope.OPERATOR))
    made = world.client.post("/v1/keys", json={}, headers=key).json()

    first = world.client.delete(f"/v1/keys/{made['id']}", headers=key)
    again = world.client.delete(f"/v1/keys/{made['id']}", headers=key)

    assert (first.status_code, first.json()) == (200, again.json())
    assert refused(world.client.get("/v1/recordings", headers=bearer(made["key"])))
    assert "digest" not in first.text


@pytest.mark.parametrize("method", ["get", "post", "delete"])
def test_keys_are_the_pages_on_one_machine(world, method):
    """Whoever sits there shows the page's token; where keys are asked for, it opens nothing."""
    path = "/v1/keys/none" if method == "delete" else "/v1/keys"
    token = {"X-Earwitness-Token": world.client.app.state.page_token}
    body = {"json": {"tenant": "other"}} if method == "post" else {}

    without = world.client.request(method, path, **body)
    having = world.client.request(method, path, headers=token, **body)

    expected = {"get": 200, "post": 201, "delete": 404}[method]
    assert without.status_code == (401 if world.required else 403)
    assert having.status_code == (401 if world.required else expected)


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"scope": "root"}, 422),
        ({"name": "x" * 81}, 422),
        ({"name": "a\nb"}, 422),
        ({"tenant": "../x"}, 422),
        ({"tenant": "nobody"}, 404),
        ({"key": "ew_mine"}, 422),
        ({"name": "x" * 80}, 201),
    ],
)
def test_a_key_that_cannot_be_made(settings, asked, status):
    with gateway(settings, False) as world:
        token = {"X-Earwitness-Token": world.client.app.state.page_token}
        answer = world.client.post("/v1/keys", json=asked, headers=token)

        assert answer.status_code == status
        assert len(world.parts.api_keys.all()) == (status == 201)


@pytest.mark.parametrize("path", ["/", "/dead-letters", "/fragments/recordings", "/static/app.js"])
def test_the_page_is_for_whoever_sits_at_the_machine(still, path):
    without = still.client.get(path)
    with_key = still.client.get(path, headers=bearer(still.key(scope=Scope.OPERATOR)))

    assert without.status_code == (401 if still.required else 200)
    assert with_key.status_code == 403


@pytest.mark.parametrize(
    "value", ["Basic abc", "Bearer", "bearer ", "Token x", "Bearer a, Bearer b"]
)
def test_what_is_no_bearer_key_opens_nothing_where_one_is_needed(still, value):
    answer = still.client.get("/v1/recordings", headers={"Authorization": value})

    assert answer.status_code == 401 or not still.required


def test_two_keys_at_once_are_none(world):
    key = world.key()
    twice = [("Authorization", f"Bearer {key}")] * 2

    assert refused(world.client.get("/v1/recordings", headers=twice))


def test_a_key_is_noted_once_a_day(world):
    key = world.key()
    world.client.get("/v1/recordings", headers=bearer(key))
    today = world.parts.now().date()
    [kept] = world.parts.api_keys.all()
    assert kept.used_on == today

    world.parts.api_keys.used(kept.id, today + timedelta(days=9))  # as if days had gone by
    world.client.get("/v1/recordings", headers=bearer(key))

    [later] = world.parts.api_keys.all()
    assert later.used_on == today + timedelta(days=9)


def test_a_refused_upload_is_read_so_that_the_refusal_is_heard(world):
    answer = world.client.post(
        "/v1/audio/transcriptions",
        content=iter([b"x" * (1 << 20)] * 3),
        headers=bearer("ew_no"),
    )

    assert answer.status_code == 401


def test_what_clients_of_openai_send_for_no_key_is_none_on_one_machine(world):
    """The official client cannot be made without a key."""
    answer = world.client.get("/v1/recordings", headers=bearer("unused"))

    assert answer.status_code == (401 if world.required else 200)


def test_nobody_turns_keys_off_on_cloud_run(monkeypatch):
    monkeypatch.setenv("K_SERVICE", "gateway")
    cloud = {"backend": "gcp", "project": "p", "uploads_bucket": "u", "results_bucket": "r"}

    assert load(**cloud).keys_required is None
    with pytest.raises(InvalidSettings, match="KEYS_REQUIRED"):
        load(**cloud, keys_required=False)


def test_the_form_of_a_key_is_no_secret(world):
    """A key that is wrong is not told apart from one that was revoked."""
    wrong = [world.key(revoked_at=NOW), "ew_no", world.key()[:-1] + "0"]

    answers = [world.client.get("/v1/recordings", headers=bearer(k)).text for k in wrong]

    assert len(set(answers)) == 1
