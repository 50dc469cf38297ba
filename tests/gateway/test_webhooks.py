"""Whom to tell: made, listed, given a new secret, removed; what it was told, and told again."""

from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest
from fastapi.testclient import TestClient
from standardwebhooks import Webhook as Verifier

from gateway.main import create_app
from shared.domain.webhooks import MOST_WEBHOOKS, Delivered, Reply, delivery
from tests.builders import NOW, happening, webhook
from tests.gateway.conftest import HOST

URL = "https://example.com/hooks"


@pytest.fixture
def parts(app):
    return app.state.parts


def make(client, **asked):
    answer = client.post("/v1/webhooks", json={"url": URL, **asked})
    assert answer.status_code == 201, answer.text
    return answer.json()


def laid(parts, hook, n=1, **changes):
    made = replace(delivery(hook, happening(n), NOW, 0.0), **changes)
    parts.deliveries.enqueue(made)
    return made


def at(hook, rest=""):
    return f"/v1/webhooks/{hook['id']}{rest}"


def test_a_webhook_is_listed_without_its_secret(client, parts):
    made = make(client, types=["recording.done", "recording.dead"])

    listed = client.get("/v1/webhooks").json()["webhooks"]

    kept = parts.webhooks.get(made["id"])
    assert Verifier(made["secret"]).sign("e", NOW, "b") == Verifier(kept.secret).sign("e", NOW, "b")
    assert listed == [{k: v for k, v in made.items() if k != "secret"}]
    assert (made["tenant"], made["types"]) == ("demo", ["recording.dead", "recording.done"])
    assert made["disabled_at"] is made["failing_since"] is None


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"url": "http://example.com/"}, 400),
        ({"url": "https://169.254.169.254/"}, 400),
        ({"url": "http://127.0.0.1:8000/"}, 400),
        ({"url": "https://user:word@example.com/"}, 400),
        ({"url": ""}, 422),
        ({"url": "https://example.com/" + "x" * 2_000}, 422),
        ({"types": ["done"]}, 400),
        ({"types": "recording.done"}, 422),
        ({"tenant": "nobody-here"}, 404),
        ({"secret": "whsec_mine"}, 422),
    ],
    ids=ascii,
)
def test_what_cannot_be_told_is_refused(client, parts, asked, status):
    answer = client.post("/v1/webhooks", json={"url": URL, **asked})

    assert answer.status_code == status, answer.text
    assert parts.webhooks.all() == []


def test_ones_own_machine_is_told_where_that_is_wished(settings):
    app = create_app(msgspec.structs.replace(settings, webhooks_private=True))
    with TestClient(app, base_url=f"http://{HOST}") as client:
        client.headers["X-Earwitness-Token"] = app.state.page_token
        make(client, url="http://127.0.0.1:8000/")


def test_a_tenant_has_so_many_and_no_more(client, parts):
    for n in range(MOST_WEBHOOKS):
        parts.webhooks.add(webhook(n, tenant="demo"))

    answer = client.post("/v1/webhooks", json={"url": URL})

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")
    client.delete(f"/v1/webhooks/{webhook(0).id}")
    make(client)


def test_a_new_secret_signs_beside_the_old_one(client, parts):
    made = make(client)

    turned = client.post(at(made, "/secret"), json={"overlap_hours": 2}).json()

    kept = parts.webhooks.get(made["id"])
    assert (kept.secret, kept.old_secret) == (turned["secret"], made["secret"])
    left = kept.old_until - parts.now()
    assert timedelta(hours=1, minutes=59) < left <= timedelta(hours=2)


def test_what_is_removed_is_told_nothing_and_forgotten(client, parts):
    made = make(client)
    laid(parts, parts.webhooks.get(made["id"]))

    gone = client.delete(at(made))

    assert (gone.status_code, gone.json()["id"]) == (200, made["id"])
    assert client.get("/v1/webhooks").json() == {"webhooks": []}
    assert parts.deliveries.page(tenant="demo") == []
    assert client.delete(at(made)).status_code == 404


def test_deliveries_tell_each_attempt(client, parts):
    hook = parts.webhooks.get(make(client)["id"])
    laid(parts, hook)
    [leased] = parts.deliveries.lease(NOW, 60.0)
    parts.deliveries.record(leased, Reply(503), NOW, 0.0)

    page = client.get(f"/v1/webhooks/{hook.id}/deliveries").json()

    [one] = page["deliveries"]
    assert page["next"] is None
    assert one["attempts"] == [{"at": "2026-03-01T12:00:00Z", "status": 503, "fault": None}]
    assert (one["state"], one["next_at"]) == ("waiting", "2026-03-01T12:00:05Z")
    assert one["event_id"] == happening().event_id
    assert "body" not in one


def test_deliveries_come_in_pages_and_by_state(client, parts):
    hook = parts.webhooks.get(make(client)["id"])
    for n in range(5):
        laid(parts, hook, n, made_at=NOW + timedelta(seconds=n))
    failed = laid(parts, hook, 9, state=Delivered.FAILED, next_at=None, settled_at=NOW)
    path, found, before = f"/v1/webhooks/{hook.id}/deliveries", [], ""

    while before is not None:
        page = client.get(
            path, params={"limit": 2, **({"before": before} if before else {})}
        ).json()
        found += [one["event_id"] for one in page["deliveries"]]
        before = page["next"]

    assert found == [happening(n).event_id for n in (4, 3, 2, 1, 9, 0)]
    of_state = client.get(path, params={"state": "failed"}).json()["deliveries"]
    assert [one["event_id"] for one in of_state] == [failed.event_id]
    assert client.get(path, params={"state": "odd"}).status_code == 422
    assert client.get(path, params={"before": "odd"}).status_code == 400


def test_a_delivery_is_replayed_with_its_id_and_body(client, parts):
    hook = parts.webhooks.get(make(client)["id"])
    made = laid(parts, hook, state=Delivered.FAILED, next_at=None, settled_at=NOW, tries=10)

    answer = client.post(f"/v1/webhooks/{hook.id}/deliveries/{made.event_id}/replay")

    assert (answer.status_code, answer.json()["state"]) == (200, "waiting")
    [due] = parts.deliveries.lease(parts.now(), 60.0)
    assert (due.event_id, due.body, due.tries) == (made.event_id, made.body, 0)


def test_nothing_is_replayed_to_one_that_is_disabled(client, parts):
    hook = parts.webhooks.get(make(client)["id"])
    made = laid(parts, hook, state=Delivered.FAILED, next_at=None, settled_at=NOW)
    parts.webhooks.disable(hook.id, NOW)

    answer = client.post(f"/v1/webhooks/{hook.id}/deliveries/{made.event_id}/replay")

    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "wrong_state")
    assert parts.deliveries.lease(parts.now(), 60.0) == []


def test_what_a_page_elsewhere_asks_for_is_refused(client, parts):
    """Whoever sits here shows the page's token; another site's form has none."""
    answer = client.post("/v1/webhooks", json={"url": URL}, headers={"X-Earwitness-Token": "x"})

    assert answer.status_code == 403
    assert parts.webhooks.all() == []
