"""Who may ask for what: every operation of the description in every role, own and other (S5)."""

import dataclasses
import json
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import count

import msgspec
import pytest
from fastapi.testclient import TestClient

from docs import openapi
from gateway import exports
from gateway.callers import Caller, actor
from gateway.main import create_app
from shared import wiring
from shared.domain.api_keys import (
    ENTROPY_BYTES,
    OPERATOR,
    OWNER,
    READER,
    WRITER,
    Grant,
    Role,
    Scope,
    minted,
)
from shared.domain.tenants import Tier
from shared.domain.webhooks import delivery
from shared.errors import InvalidSettings
from shared.settings import Settings, load
from tests.builders import NOW, happening, webhook
from tests.gateway.conftest import HOST
from tests.gateway.examples import EXAMPLES
from tests.gateway.testimony import Filled

DESCRIPTION = json.loads(openapi.document())
PATHS, COMPONENTS = DESCRIPTION["paths"], DESCRIPTION["components"]["schemas"]
#: Every operation of the description: `get /v1/recordings`.
ALL = sorted(f"{method} {path}" for path, methods in PATHS.items() for method in methods)
KNOWN = [one for one in ALL if one in EXAMPLES]
#: Those whose answer ends; of the endless one test_events.py reads the beginning.
FINITE = [one for one in KNOWN if not EXAMPLES[one].endless]
NEEDING = [one for one in FINITE if EXAMPLES[one].scope]
CAUSES = "get /v1/dead-letters/causes"
GRANTS = {"reader": READER, "writer": WRITER, "operator": OPERATOR, "owner": OWNER}


def test_every_operation_has_its_example_and_every_example_its_operation():
    """A new route takes one line in tests/gateway/examples.py, and one in gateway/rights.py."""
    assert set(ALL) == set(EXAMPLES)


class World:
    """A gateway with three tenants, two recordings and a key of demo, and keys to be had."""

    def __init__(self, app, client):
        self.parts, self.client = app.state.parts, client
        self.parts.tenants.ensure("acme", Tier.PRO, NOW)
        self.parts.tenants.ensure("other", Tier.PRO, NOW)
        self.filled = Filled(self.parts)
        self.dead, self.heard = self.filled.dead().id, self.filled.done("heard.wav").id
        self.erased = self._erased()
        self._seeds = count(1)
        self.key("demo", READER)
        self.key_id = self.parts.api_keys.all("demo")[0].id
        self.webhook, self.event_id = webhook(tenant="demo"), happening().event_id
        self.parts.webhooks.add(self.webhook)
        self.parts.deliveries.enqueue(delivery(self.webhook, happening(), NOW, 0.0))

    def _erased(self):
        gone = self.filled.done("gone.wav").id
        return wiring.erase(self.parts).ask(gone, "cli", self.parts.now()).id

    def export(self):
        """One of demo, planned."""
        made = wiring.plan_export(self.parts).begin("demo", False, bytes(10))
        exports.planned(self.parts, made)
        return made.id

    def key(self, tenant="acme", grant=WRITER, **changes):
        entropy = next(self._seeds).to_bytes(2, "big") * (ENTROPY_BYTES // 2)
        text, key = minted(tenant, grant, "", NOW, entropy)
        self.parts.api_keys.add(dataclasses.replace(key, **changes))
        return text

    def names(self, operation):
        """The parts of its path; things of demo, where they are anybody's."""
        names = EXAMPLES[operation].names.items()
        return {name: one if isinstance(one, str) else one(self) for name, one in names}

    def ask(self, operation, key=None, names=None, query="", body=None):
        example, (method, path) = EXAMPLES[operation], operation.split(" ")
        headers = {"Content-Type": example.kind, **(bearer(key) if key else {})}
        asked = "&".join(part for part in (example.query, query) if part)
        content = example.content if body is None else json.dumps(body)
        url = path.format(**(names or self.names(operation))) + (f"?{asked}" if asked else "")
        return self.client.request(method, url, content=content, headers=headers)


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
        before = [made.parts.recordings.get(one) for one in (made.dead, made.heard)]
        yield made
        assert [made.parts.recordings.get(one) for one in (made.dead, made.heard)] == before
        assert made.parts.api_keys.get(made.key_id).revoked_at is None


def refused(answer, code="invalid_api_key"):
    """401 in OpenAI's shape, and nothing else in it."""
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    return (answer.status_code, error["code"]) == (401, code)


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


# the matrix: endpoint, role, own and other


@pytest.mark.parametrize("operation", FINITE)
def test_without_a_key(still, operation):
    answer = still.ask(operation)

    if still.required and EXAMPLES[operation].scope:
        assert refused(answer)
    else:
        assert answer.status_code != 401


@pytest.mark.parametrize("operation", KNOWN)
def test_with_a_key_that_opens_nothing(still, operation):
    revoked = still.key(revoked_at=NOW)
    never_made = minted("acme", OWNER, "", NOW, b"\x07" * ENTROPY_BYTES)[0]

    answers = [still.ask(operation, key) for key in (revoked, revoked[:-1] + "!", never_made)]
    late = still.ask(operation, still.key(expires_at=NOW))

    if EXAMPLES[operation].scope is None:
        assert all(answer.status_code != 401 for answer in [*answers, late])
    else:
        assert all(map(refused, answers))
        assert refused(late, "expired_api_key")


def having(operation):
    """The roles that may, and by which key."""
    scope = EXAMPLES[operation].scope
    return {name: grant for name, grant in GRANTS.items() if scope in (None, *grant.scopes)}


@pytest.mark.parametrize(
    ("operation", "role"), [(one, role) for one in FINITE for role in having(one)]
)
def test_its_own_tenant_gets_it_in_a_role_that_may(settings, operation, role):
    with gateway(settings, True) as world:
        key = world.key("demo", GRANTS[role])
        answer = world.ask(operation, key)

    assert answer.status_code == EXAMPLES[operation].status, answer.text


@pytest.mark.parametrize("operation", NEEDING)
def test_its_own_tenant_gets_it_with_that_one_scope(world, operation):
    scope = EXAMPLES[operation].scope
    role = next(role for role in Role if scope in Grant(role).scopes)
    # What it makes or rotates may itself no more than look.
    part = {scope, Scope.READ} if scope is Scope.KEYS else {scope}

    answer = world.ask(operation, world.key("demo", Grant(role, frozenset(part))))

    assert answer.status_code == EXAMPLES[operation].status, answer.text


def lacking(operation):
    """Every role that may not, and each role without just this scope."""
    scope = EXAMPLES[operation].scope
    for name, grant in GRANTS.items():
        rest = frozenset(grant.scopes) - {scope}
        if rest:
            yield pytest.param(operation, Grant(grant.role, rest), id=f"{operation} {name} without")


@pytest.mark.parametrize(
    ("operation", "grant"),
    [one for operation in NEEDING for one in lacking(operation)],
)
def test_without_its_scope_nothing_happens(still, operation, grant):
    answer = still.ask(operation, still.key("demo", grant))

    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (403, "forbidden")
    assert f"`{EXAMPLES[operation].scope}`" in error["message"]


def others(operation):
    """A key of another tenant's, of a role that may."""
    return [
        pytest.param(operation, grant, id=f"{operation} {r}")
        for r, grant in having(operation).items()
    ]


OWNED = [one for one in NEEDING if any(map(callable, EXAMPLES[one].names.values()))]


@pytest.mark.parametrize(("operation", "grant"), [p for one in OWNED for p in others(one)])
def test_anothers_is_as_if_it_were_not_there(still, operation, grant):
    """Byte for byte: status, headers and body but for the id that was asked for."""
    names, example = still.names(operation), EXAMPLES[operation]
    made_up = {n: "0" * len(v) if callable(example.names[n]) else v for n, v in names.items()}
    key = still.key("other", grant)

    theirs, nobodys = still.ask(operation, key, names), still.ask(operation, key, made_up)

    assert (theirs.status_code, theirs.json()["error"]["code"]) == (404, "not_found")
    assert without_ids(theirs, names) == without_ids(nobodys, made_up)


def without_ids(answer, names):
    body = answer.text
    for name in names.values():
        body = body.replace(name, "ID")
    headers = {k: v for k, v in answer.headers.items() if k not in ("date", "content-length")}
    return answer.status_code, body, headers


def naming_a_tenant():
    """Operations whose path, query or body can name a tenant, and where."""
    for operation in NEEDING:
        method, path = operation.split(" ")
        told = PATHS[path][method]
        for parameter in told.get("parameters", []):
            if parameter["name"] == "tenant":
                yield pytest.param(operation, parameter["in"], id=f"{operation} {parameter['in']}")
        if "tenant" in properties(told):
            yield pytest.param(operation, "body", id=f"{operation} body")


def properties(told):
    """What the body of an operation may say."""
    content = told.get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema", {})
    if "$ref" in schema:
        schema = COMPONENTS[schema["$ref"].rpartition("/")[2]]
    return schema.get("properties", {})


@pytest.mark.parametrize(("operation", "where"), [*naming_a_tenant()])
def test_to_name_another_tenant_is_to_name_nobody(still, operation, where):
    """Also for one that is there: nobody learns whose names are taken."""
    key, example = still.key("other", having(operation).popitem()[1]), EXAMPLES[operation]

    def ask(tenant):
        if where == "body":
            return still.ask(operation, key, body=example.body | {"tenant": tenant})
        names = still.names(operation)
        if where == "path":
            return still.ask(operation, key, names | {"tenant": tenant})
        return still.ask(operation, key, query=f"tenant={tenant}")

    theirs, nobodys = ask("demo"), ask("made-up")

    assert theirs.status_code == 404
    assert without_ids(theirs, {"": "demo"}) == without_ids(nobodys, {"": "made-up"})


LISTS = [one for one in NEEDING if one.startswith("get") and one not in OWNED]


@pytest.mark.parametrize(("operation", "grant"), [p for one in LISTS for p in others(one)])
def test_no_list_shows_what_is_anothers(still, operation, grant):
    answer = still.ask(operation, still.key("other", grant))

    for canary in (still.dead, still.heard, still.key_id, "heard.wav", "broken.wav", "demo"):
        assert canary not in answer.text


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
    answer = world.ask(CAUSES, world.key(grant=OPERATOR))

    assert answer.status_code == 200


def test_an_operators_key_sees_to_keys_of_its_tenant(world):
    key = bearer(world.key(grant=OPERATOR))
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


def test_an_expired_key_says_so_to_whoever_holds_it_and_to_nobody_else(world):
    text = world.key(expires_at=NOW)
    mistyped = text[:-1] + ("0" if text[-1] != "0" else "1")

    mine = world.client.get("/v1/recordings", headers=bearer(text))
    theirs = world.client.get("/v1/recordings", headers=bearer(mistyped))
    never = world.client.get("/v1/recordings", headers=bearer("ew_no"))

    assert refused(mine, "expired_api_key")
    assert "ended on 2026-03-01 at 12:00 UTC" in mine.json()["error"]["message"]
    assert refused(theirs)
    assert theirs.text == never.text


def test_a_key_opens_until_the_very_moment_it_ends(world):
    now = world.parts.now()
    open_still, over = world.key(expires_at=now + timedelta(days=1)), world.key(expires_at=now)

    answers = [world.client.get("/v1/recordings", headers=bearer(k)) for k in (open_still, over)]

    assert [answer.status_code == 401 for answer in answers] == [False, True]


def test_a_key_is_rotated_with_an_overlap_in_which_both_open(world):
    owner = bearer(world.key(grant=OWNER))
    made = {"role": "owner", "scopes": ["export"], "name": "nightly", "expires_in_days": 90}
    old = world.client.post("/v1/keys", json=made, headers=owner).json()
    address = f"/v1/keys/{old['id']}/rotation"

    answer = world.client.post(address, json={"overlap_hours": 2}, headers=owner)
    again = world.client.post(address, json={}, headers=owner)

    new = answer.json()
    assert answer.status_code == 201
    assert (new["role"], new["scopes"], new["name"]) == ("owner", ["export"], "nightly")
    assert new["replaced"]["rotated_to"] == new["id"]
    ends = datetime.fromisoformat(new["replaced"]["expires_at"])
    assert ends - datetime.fromisoformat(new["made_at"]) == timedelta(hours=2)
    assert lived(new) == lived(old) == timedelta(days=90)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "wrong_state")
    assert new["id"] in again.json()["error"]["message"]
    for text in (old["key"], new["key"]):  # both are known: they may not, and are told so
        assert world.client.get("/v1/recordings", headers=bearer(text)).status_code == 403


def lived(told):
    return datetime.fromisoformat(told["expires_at"]) - datetime.fromisoformat(told["made_at"])


def test_nobody_makes_or_rotates_a_key_that_may_more_than_their_own(world):
    operator = bearer(world.key(grant=OPERATOR))
    narrow = bearer(world.key(grant=Grant(Role.OWNER, frozenset({Scope.KEYS}))))
    world.key(grant=OWNER)
    [owners] = [one for one in world.parts.api_keys.all("acme") if one.grant == OWNER]

    def tried(key, asked):
        return world.client.post("/v1/keys", json=asked, headers=key).status_code

    rotated = world.client.post(f"/v1/keys/{owners.id}/rotation", json={}, headers=operator)
    assert tried(operator, {"role": "owner"}) == rotated.status_code == 403
    assert tried(operator, {"scopes": ["erase"]}) == 403
    assert tried(operator, {"role": "operator"}) == tried(operator, {"scope": "write"}) == 201
    assert (tried(narrow, {"scope": "read"}), tried(narrow, {"scopes": ["keys"]})) == (403, 201)
    assert world.parts.api_keys.get(owners.id).rotated_to is None


def test_a_revoked_key_opens_nothing_at_its_next_request(world):
    key = bearer(world.key(grant=OPERATOR))
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
        ({"role": "king"}, 422),
        ({"role": "reader", "scope": "read"}, 422),
        ({"role": "reader", "scopes": ["keys"]}, 422),
        ({"scopes": ["models", "erase"]}, 422),
        ({"expires_in_days": 0}, 422),
        ({"expires_in_days": 3_661}, 422),
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
        assert len(world.parts.api_keys.all()) == 1 + (status == 201)


@pytest.mark.parametrize("path", ["/", "/dead-letters", "/fragments/recordings", "/static/app.js"])
def test_the_page_is_for_whoever_sits_at_the_machine(still, path):
    without = still.client.get(path)
    with_key = still.client.get(path, headers=bearer(still.key(grant=OPERATOR)))

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
    [kept] = world.parts.api_keys.all("acme")
    assert kept.used_on == today

    world.parts.api_keys.used(kept.id, today + timedelta(days=9))  # as if days had gone by
    world.client.get("/v1/recordings", headers=bearer(key))

    [later] = world.parts.api_keys.all("acme")
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
    cloud |= {"archive_bucket": "l", "temp_bucket": "t", "audit_bucket": "a"}

    assert load(**cloud).keys_required is None
    with pytest.raises(InvalidSettings, match="KEYS_REQUIRED"):
        load(**cloud, keys_required=False)


def test_the_form_of_a_key_is_no_secret(world):
    """A key that is wrong is not told apart from one that was revoked."""
    wrong = [world.key(revoked_at=NOW), "ew_no", world.key()[:-1] + "0"]

    answers = [world.client.get("/v1/recordings", headers=bearer(k)).text for k in wrong]

    assert len(set(answers)) == 1


def test_who_signed_in_stands_in_histories_by_a_digest_never_by_the_address():
    somebody = Caller(viewer="ada@example.com")

    named = actor(somebody, "page")

    assert named == actor(Caller(viewer="ada@example.com"))
    assert named.startswith("viewer:")
    assert "ada" not in named
    assert (actor(Caller(), "page"), actor(Caller())) == ("page", "api")
