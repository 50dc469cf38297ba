"""`DELETE /v1/recordings/{id}` and `/v1/erasures/{id}`, through ASGI."""

import pytest

from local import receipts
from shared import wiring
from shared.domain.api_keys import ENTROPY_BYTES, OWNER, minted
from shared.domain.recording import Hold
from shared.domain.tenants import Tier
from tests.builders import NOW


def finished(app):
    parts = app.state.parts
    return wiring.erase(parts).resume(parts.now())


def test_from_the_answer_on_it_is_not_there(client, store):
    known = store.done("told.wav", [(1.0, "somebody laughed")])

    answer = client.delete(f"/v1/recordings/{known.id}")

    assert answer.status_code == 202
    assert answer.json() | {"id": "", "asked_at": ""} == {
        "id": "",
        "tenant": "demo",
        "recording_id": known.id,
        "cause": "request",
        "state": "running",
        "asked_at": "",
        "erased_at": None,
        "receipt": None,
    }
    for path in ("", "/history", "/transcript.txt", "/decisions.json", "/audio", "/corrections"):
        assert client.get(f"/v1/recordings/{known.id}{path}").status_code == 404
    assert client.get("/v1/recordings").json()["recordings"] == []
    assert client.get("/v1/search?q=laughed").json()["hits"] == []
    [listed] = client.get("/v1/recordings?state=erased").json()["recordings"]
    assert listed["recording"]["id"] == known.id


def test_once_it_is_done_there_is_a_receipt(app, client, store):
    asked = client.delete(f"/v1/recordings/{store.done().id}").json()

    assert finished(app) == 1

    told = client.get(f"/v1/erasures/{asked['id']}").json()
    assert told["state"] == "done"
    home = app.state.parts.settings.home
    assert receipts.verdict(told["receipt"], receipts.of_home(home)) is receipts.Verdict.OK


def test_asking_twice_is_asking_once(app, client, store):
    path = f"/v1/recordings/{store.done().id}"
    first = client.delete(path).json()
    finished(app)

    again = client.delete(path)

    assert (again.status_code, again.json()["id"]) == (202, first["id"])
    assert again.json()["state"] == "done"


def test_what_is_held_waits_and_is_still_there(app, client, store):
    known = store.done()
    app.state.parts.retention.hold(known.id, Hold("court", "cli", NOW))

    asked = client.delete(f"/v1/recordings/{known.id}").json()

    assert asked["state"] == "waiting"
    assert client.get(f"/v1/recordings/{known.id}").status_code == 200


def test_the_history_says_which_key_asked_and_another_tenant_learns_nothing(app, client, store):
    known = store.done()
    parts = app.state.parts
    parts.tenants.ensure("other", Tier.FREE, NOW)
    mine, key = minted("demo", OWNER, "", NOW, b"m" * ENTROPY_BYTES)
    theirs, foreign = minted("other", OWNER, "", NOW, b"o" * ENTROPY_BYTES)
    for one in (key, foreign):
        parts.api_keys.add(one)

    def ask(method, path, text):
        return client.request(method, path, headers={"Authorization": f"Bearer {text}"})

    refused = ask("DELETE", f"/v1/recordings/{known.id}", theirs)
    asked = ask("DELETE", f"/v1/recordings/{known.id}", mine)
    hidden = ask("GET", f"/v1/erasures/{asked.json()['id']}", theirs)

    assert (refused.status_code, asked.status_code, hidden.status_code) == (404, 202, 404)
    assert parts.recordings.history(known.id)[-1].actor == f"key:{key.id}"


@pytest.mark.parametrize("path", ["/v1/recordings/nothing", "/v1/erasures/nothing"])
def test_of_nothing_there_is_nothing(client, path):
    method = "GET" if "erasures" in path else "DELETE"

    assert client.request(method, path).status_code == 404
