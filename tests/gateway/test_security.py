"""Who may come through the door: Host, Origin, token, sizes, headers."""

import re

import pytest
from fastapi.testclient import TestClient
from msgspec.structs import replace

from gateway.headers import HEADERS
from gateway.main import create_app
from gateway.security import MAX_BODY
from shared.errors import InvalidSettings
from shared.settings import load
from tests.gateway.conftest import HOST

ATTACKER = "https://attacker.example"
#: Where something is heard now and nothing kept.
HEARING = ("/v1/audio/", "/v1/analyses")


@pytest.mark.parametrize("host", [HOST, "localhost:8080", "LOCALHOST:8080", "[::1]:8080"])
def test_this_machine_may_come_in(client, host):
    assert client.get("/v1/recordings", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "attacker.example",
        "attacker.example:8080",
        "127.0.0.1:8081",
        "127.0.0.1",
        "127.0.0.1:8080.attacker.example",
        "localhost.attacker.example:8080",
        "0.0.0.0:8080",
        "127.1:8080",
        "user@127.0.0.1:8080",
        "",
    ],
)
def test_foreign_host_is_refused(client, host):
    answer = client.get("/v1/recordings", headers={"Host": host})

    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "foreign_host"


def test_port_80_may_go_unsaid(app):
    with TestClient(app, base_url="http://127.0.0.1") as client:
        assert client.get("/healthz").status_code == 200
        assert client.get("/healthz", headers={"Host": "127.0.0.1:8080"}).status_code == 403


@pytest.fixture
def public(settings):
    """Reached by two names, as behind Cloud Run; without keys, so that only names are tested."""
    hosts = ["ear.example", "ear.example:8443"]
    app = create_app(replace(settings, public_hosts=hosts, keys_required=False))
    with TestClient(app, base_url=f"http://{HOST}", raise_server_exceptions=False) as made:
        yield made


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("ear.example", 200),
        ("EAR.example", 200),
        ("ear.example:443", 200),
        ("ear.example:8443", 200),
        (HOST, 200),
        ("ear.example:80", 403),
        ("ear.example:8080", 403),
        ("ear.example.attacker.example", 403),
        ("hear.example", 403),
    ],
)
def test_a_named_host_may_be_used_and_no_other(public, host, status):
    assert public.get("/v1/recordings", headers={"Host": host}).status_code == status


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("ear.example", "https://ear.example", 200),
        ("ear.example:443", "https://ear.example", 200),
        ("ear.example:8443", "https://ear.example:8443", 200),
        (HOST, f"http://{HOST}", 200),
        ("ear.example", "http://ear.example", 403),
        ("ear.example", "https://ear.example:8443", 403),
        ("ear.example", f"http://{HOST}", 403),
        (HOST, f"https://{HOST}", 403),
        (HOST, "https://ear.example", 403),
        ("ear.example", ATTACKER, 403),
    ],
)
def test_a_named_host_is_an_origin_over_https(public, host, origin, status):
    headers = {"Host": host, "Origin": origin}

    assert public.get("/v1/recordings", headers=headers).status_code == status


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("ear.example", "https://ear.example/"),
        ("ear.example:8443", "https://ear.example:8443/"),
        (HOST, f"http://{HOST}/"),
    ],
)
def test_an_upload_goes_to_where_its_sender_found_us(public, host, address):
    """TLS ends in front of the gateway, which therefore hears http whatever the sender speaks."""
    headers = {"Host": host, "X-Earwitness-Token": public.app.state.page_token}

    minted = public.post("/v1/uploads", json={"name": "a", "size": 1}, headers=headers).json()

    assert minted["url"].startswith(f"{address}v1/uploads/")


def test_a_foreign_name_is_logged_with_its_remedy(client, caplog):
    answer = client.get("/v1/recordings", headers={"Host": "gateway-abc.run.app"})

    [line] = [r for r in caplog.records if r.__dict__.get("code") == "foreign_host"]
    assert "EARWITNESS_PUBLIC_HOSTS" in line.getMessage()
    assert "gateway-abc" not in line.getMessage() + answer.text


def test_a_gateway_with_a_public_name_asks_for_keys(settings):
    app = create_app(replace(settings, public_hosts=["ear.example"]))
    with TestClient(app, base_url=f"http://{HOST}") as client:
        status = client.get("/v1/recordings", headers={"Host": "ear.example"}).status_code

    assert status == 401


def test_names_are_read_as_a_list_and_checked(monkeypatch):
    monkeypatch.setenv("EARWITNESS_PUBLIC_HOSTS", '["ear.example", "ear.example:8443"]')
    assert load().public_hosts == ["ear.example", "ear.example:8443"]

    for wrong in ('["https://ear.example"]', '["EAR.example"]', '["ear.example/"]', '["a b"]'):
        monkeypatch.setenv("EARWITNESS_PUBLIC_HOSTS", wrong)
        with pytest.raises(InvalidSettings, match="PUBLIC_HOSTS"):
            load()


def test_two_hosts_are_refused(client):
    answer = client.get("/healthz", headers=[("Host", HOST), ("Host", "attacker.example")])

    assert answer.status_code == 403


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (f"http://{HOST}", True),
        ("http://localhost:8080", False),  # the Host says 127.0.0.1
        (f"https://{HOST}", False),
        ("http://127.0.0.1:8081", False),
        (ATTACKER, False),
        ("null", False),
        ("", False),
    ],
)
def test_only_our_own_origin_may_ask(client, method, origin, allowed):
    path = "/v1/recordings" if method == "GET" else "/v1/uploads"
    body = None if method == "GET" else {"name": "a.wav", "size": 1}

    status = client.request(method, path, json=body, headers={"Origin": origin}).status_code

    assert (status < 300) if allowed else (status == 403)


def state_changing(app):
    """Every documented operation that is no GET, with its path filled in.

    Hearing something now changes nothing; `test_another_site_cannot_have_anything_heard`.
    """
    for path, operations in app.openapi()["paths"].items():
        for method in set(operations) - {"get"} if not path.startswith(HEARING) else ():
            filled = path.replace("{tenant}", "demo").replace("{key}", "0" * 26)
            yield method, re.sub(r"\{\w+\}", "x", filled)


def test_every_state_change_needs_the_pages_token(app, client):
    """An upload's address carries its own signature instead; test_uploads.py forges those."""
    del client.headers["X-Earwitness-Token"]

    statuses = {
        (method, path): client.request(method, path, json={"name": "a", "size": 1}).status_code
        for method, path in state_changing(app)
    }

    assert {("post", "/v1/uploads"), ("delete", "/v1/keys/x")} <= statuses.keys()
    assert {asked: status for asked, status in statuses.items() if status != 403} == {}


@pytest.mark.parametrize("origin", [ATTACKER, "null"])
def test_another_site_cannot_have_anything_heard(client, origin):
    """A page somewhere could send a form to 127.0.0.1, and a browser would."""
    answer = client.post(
        "/v1/audio/transcriptions",
        files={"file": b"x"},
        data={"model": "echo"},
        headers={"Origin": origin},
    )

    assert answer.status_code == 403


@pytest.mark.parametrize("token", ["", "wrong", "0" * 64, "\udcff", None])
def test_wrong_token_is_refused(client, store, token):
    dead = store.dead()
    headers = {} if token is None else {"X-Earwitness-Token": token.encode("utf-8", "replace")}
    del client.headers["X-Earwitness-Token"]

    answer = client.post(f"/v1/dead-letters/{dead.id}/replay", headers=headers)

    assert answer.status_code == 403
    assert store.known(dead.id) == dead


def test_form_of_another_site_is_refused(client, store):
    """It may know the address, and even a token does not help with a foreign Origin."""
    dead, token = store.dead(), client.headers.pop("X-Earwitness-Token")
    path = f"/v1/dead-letters/{dead.id}/discard"

    guessed = client.post(path, data={"token": "guess"}, headers={"Origin": ATTACKER})
    known = client.post(path, data={"token": token}, headers={"Origin": ATTACKER})
    hidden = client.post(path, data={"token": token}, headers={"Origin": "null"})
    silent = client.post(path, data={})

    assert {a.status_code for a in (guessed, known, hidden, silent)} == {403}
    assert store.known(dead.id) == dead


def test_our_own_form_is_taken_and_leads_back(client, store):
    dead, token = store.dead(), client.headers.pop("X-Earwitness-Token")

    answer = client.post(
        f"/v1/dead-letters/{dead.id}/replay",
        data={"token": token},
        headers={"Origin": f"http://{HOST}"},
        follow_redirects=False,
    )

    assert (answer.status_code, answer.headers["location"]) == (303, f"/recordings/{dead.id}")
    assert store.known(dead.id).state == "queued"


def test_file_in_place_of_the_tokens_field_is_no_token(client, store):
    dead = store.dead()
    del client.headers["X-Earwitness-Token"]

    answer = client.post(f"/v1/dead-letters/{dead.id}/replay", files={"token": b"x"})

    assert answer.status_code == 403


@pytest.mark.parametrize(("size", "status"), [(MAX_BODY, 422), (MAX_BODY + 1, 413)])
def test_bodies_are_bounded(client, size, status):
    assert client.post("/v1/uploads", content=b"x" * size).status_code == status


def test_body_without_a_length_is_counted(client):
    answer = client.post("/v1/uploads", content=iter([b"x" * MAX_BODY, b"x"]))

    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "too_large"


def test_length_that_is_no_number_is_refused(client):
    answer = client.post("/v1/uploads", content=iter([b""]), headers={"Content-Length": "-1"})

    assert answer.status_code == 413


@pytest.mark.parametrize("path", ["/", "/v1/recordings", "/static/app.js", "/nothing", "/healthz"])
def test_every_answer_tells_the_browser_how_far_to_trust_it(client, path):
    headers = client.get(path).headers

    assert {name for name in HEADERS if name not in headers} == set()
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"


def test_refusals_carry_the_headers_too(client):
    headers = client.get("/", headers={"Host": "attacker.example"}).headers

    assert headers["Content-Security-Policy"] == HEADERS["Content-Security-Policy"]


def test_policy_allows_nothing_inline_and_nobody_to_frame_us(client):
    policy = client.get("/").headers["Content-Security-Policy"]

    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy


def test_lifespan_messages_pass_the_doorkeeper(app):
    with TestClient(app, base_url=f"http://{HOST}") as client:
        assert client.get("/healthz").json() == {"status": "ok"}
