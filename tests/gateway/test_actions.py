"""Who did what is kept, and nothing of what was said."""

import json
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest
from fastapi.testclient import TestClient

from gateway.actions import PLAIN
from gateway.main import ROUTERS
from shared import wiring
from shared.domain.api_keys import ENTROPY_BYTES, OWNER, minted
from shared.domain.audit import EVERYBODY
from shared.domain.tenants import DEMO
from shared.errors import StoreUnavailable
from shared.wiring import STORE
from tests.builders import NOW


@pytest.fixture
def kept(app):
    """What was kept so far, the oldest first, as (tenant, actor, method, route, about, status)."""

    def told():
        return [
            (a.tenant, a.actor, a.method, a.route, a.recording_id, a.status)
            for a in reversed(app.state.parts.actions.page())
        ]

    return told


@pytest.fixture
def key(app):
    text, made = minted(DEMO, OWNER, "", NOW, bytes(ENTROPY_BYTES))
    app.state.parts.api_keys.add(made)
    return {"Authorization": f"Bearer {text}"}, f"key:{made.id}"


def test_reads_of_content_are_kept_with_who_and_about_what(client, store, kept, key):
    headers, actor = key
    one = store.done("talk.wav").id
    for path in ("", "/transcript.txt", "/decisions.json", "/audio", "/history", "/corrections"):
        client.get(f"/v1/recordings/{one}{path}", headers=headers)

    base = "/v1/recordings/{recording_id}"
    assert kept() == [
        (DEMO, actor, "GET", f"{base}{path}", one, 200)
        for path in (
            *("", "/transcript.{format}", "/decisions.json", "/audio", "/history"),
            "/corrections",
        )
    ]


def test_a_search_is_kept_without_its_words(client, store, kept, key, settings):
    headers, actor = key
    store.done("talk.wav")

    client.get("/v1/search", params={"q": "canaryword"}, headers=headers)

    assert kept() == [(DEMO, actor, "GET", "/v1/search", None, 200)]
    with closing(sqlite3.connect(settings.home / STORE)) as db:
        assert "canaryword" not in str(db.execute("SELECT * FROM actions").fetchall())


def test_changes_are_kept_and_how_they_ended(client, store, kept):
    dead = store.dead("broken.wav").id
    client.post(f"/v1/dead-letters/{dead}/replay")
    client.post(f"/v1/dead-letters/{dead}/replay")

    route = "/v1/dead-letters/{recording_id}/replay"
    assert kept() == [(DEMO, "api", "POST", route, dead, status) for status in (200, 409)]


def test_the_page_is_a_reader_too(client, store, kept):
    one = store.done("talk.wav").id
    client.get(f"/recordings/{one}")
    client.get(f"/fragments/recordings/{one}")

    assert [(actor, about) for _, actor, _, _, about, _ in kept()] == [("page", one)] * 2


def test_whoever_sent_an_upload_is_kept_with_its_tenant(client, kept):
    made = client.post("/v1/uploads", json={"name": "canary.wav", "size": 3}).json()
    client.put(made["url"], content=b"abc", headers=made["headers"])

    assert kept() == [
        (EVERYBODY, "api", "POST", "/v1/uploads", None, 201),
        (DEMO, "permit", "PUT", "/v1/uploads/{tenant}/{key}", None, 200),
    ]


def test_lists_and_our_own_machinery_are_not_kept(client, store, kept):
    store.done("talk.wav")
    for path in ("/", "/v1/recordings", "/v1/audit", "/healthz", "/static/app.css"):
        assert client.get(path).status_code == 200

    assert kept() == []


def test_nobody_who_was_not_let_in_fills_the_log(client, kept):
    wrong = {"Authorization": f"Bearer ew_{'x' * 60}"}
    client.get("/v1/search", params={"q": "a"}, headers=wrong)
    client.get("/nowhere")

    assert kept() == []


def test_a_foreign_recording_is_told_by_its_answer_alone(client, store, kept, key):
    other = store.done("talk.wav", tenant="other").id
    client.get(f"/v1/recordings/{other}", headers=key[0])

    assert kept() == [(DEMO, key[1], "GET", "/v1/recordings/{recording_id}", None, 404)]


def test_an_answer_ends_after_its_action_was_kept(app, client, store, kept):
    """Between two requests Cloud Run gives an instance no time for what is left to do."""
    one, seen = store.done("talk.wav").id, []

    async def watched(scope, receive, send):
        async def sent(message):
            if message["type"] == "http.response.body" and not message.get("more_body"):
                seen.append(len(kept()))
            await send(message)

        await app(scope, receive, sent)

    with TestClient(watched, base_url=str(client.base_url)) as outside:
        for path in ("", "/audio"):
            assert outside.get(f"/v1/recordings/{one}{path}").status_code == 200

    assert seen == [1, 2]


class Refusing:
    """A log that cannot be written."""

    def append(self, action):
        raise StoreUnavailable


def test_a_log_that_cannot_be_written_is_said_and_takes_no_answer_back(app, client, store, caplog):
    one = store.done("talk.wav").id
    app.state.parts = replace(app.state.parts, actions=Refusing())

    assert client.get(f"/v1/recordings/{one}").status_code == 200
    [said] = [r for r in caplog.records if hasattr(r, "unlogged")]
    assert (said.levelname, said.unlogged) == ("ERROR", "GET /v1/recordings/{recording_id}")


def test_what_is_plain_is_an_address_there_is():
    """Every other route is kept; a new one is from the beginning."""
    routes = {route.path for module in ROUTERS for route in module.router.routes}

    assert PLAIN - routes - {"/openapi.json"} == set()


# --- GET /v1/audit --------------------------------------------------------------------------------


def test_the_log_is_told_newest_first_with_the_last_seal(app, client, store, key):
    one = store.done("talk.wav").id
    for _ in range(3):
        client.get(f"/v1/recordings/{one}", headers=key[0])
    before = client.get("/v1/audit", headers=key[0]).json()
    wiring.sealing(app.state.parts).round(NOW)

    first = client.get("/v1/audit", params={"limit": 2}, headers=key[0]).json()
    second = client.get(
        "/v1/audit", params={"limit": 2, "before": first["next"]}, headers=key[0]
    ).json()

    told = first["actions"] + second["actions"]
    assert before["seal"] is None
    assert [a["at"] for a in told] == sorted((a["at"] for a in told), reverse=True)
    assert {(a["actor"], a["recording_id"]) for a in told} == {(key[1], one)}
    assert (len(told), second["next"]) == (3, None)
    seal = first["seal"]
    assert (seal["number"], seal["histories"], seal["actions"]) == (1, 1, 3)
    assert seal["key_id"] == app.state.parts.signer.key_id
    assert "salt" not in json.dumps(first)


def test_a_key_sees_its_own_tenants_log_alone(client, store, key):
    other = store.done("talk.wav", tenant="other").id
    client.get(f"/v1/recordings/{other}")

    own = client.get("/v1/audit", headers=key[0])
    foreign = client.get("/v1/audit", params={"tenant": "other"}, headers=key[0])
    everybody = client.get("/v1/audit").json()

    assert own.json()["actions"] == []
    assert foreign.status_code == 404
    assert [a["tenant"] for a in everybody["actions"]] == ["other"]
    assert everybody["seal"] is None


def test_a_changed_seal_is_not_told(app, client, store, settings):
    store.done("talk.wav")
    wiring.sealing(app.state.parts).round(NOW)
    place = settings.home / "audit/demo/0000000001.json"
    place.chmod(0o600)
    place.write_bytes(b"{}")

    assert client.get("/v1/audit", params={"tenant": DEMO}).json()["seal"] is None
