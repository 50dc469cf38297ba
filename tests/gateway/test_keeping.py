"""The page's part about keeping, and the page of one tenant, through ASGI."""

from datetime import timedelta
from html import unescape

import pytest

from gateway.tenants import MOST_ENDING
from shared.domain.api_keys import ENTROPY_BYTES, READER, minted
from shared.domain.recording import Hold
from shared.domain.states import State
from shared.domain.tenants import DEMO, OverQuotaPolicy, Tenant, Tier
from shared.domain.webhooks import Reply, delivery
from tests.builders import NOW, happening, webhook


@pytest.fixture
def send(app, client):
    """Sends a form as the page does, and follows no answer."""

    def sent(path, token=app.state.page_token, **fields):
        return client.post(
            path,
            data={"token": token, **fields},
            headers={"X-Earwitness-Token": ""},
            follow_redirects=False,
        )

    return sent


def test_the_page_says_how_long_and_why(client, store):
    known = store.done()

    page = client.get(f"/recordings/{known.id}").text

    assert known.kept_until.isoformat() in page
    assert "The tier enterprise keeps recordings for 365 days" in page
    assert "ends soon" not in page


def test_an_end_that_was_announced_is_marked(client, store):
    known = store.done(announced_at=NOW)

    page = client.get(f"/recordings/{known.id}").text

    assert "ends soon" in page
    assert "Its end was announced on 2026-03-01" in page


@pytest.mark.parametrize("made", ["done", "dead", "rejected", "received", "processing"])
def test_whatever_became_of_it_it_can_be_held_and_erased(client, store, made):
    page = client.get(f"/recordings/{getattr(store, made)().id}").text

    assert 'action="/recordings/' in page
    assert "/hold" in page
    assert "/erasure" in page


def test_extending_keeps_it_longer_and_leads_back(send, store):
    known = store.done()

    answer = send(f"/recordings/{known.id}/extension", until="2031-05-06")

    assert (answer.status_code, answer.headers["location"]) == (
        *(303,),
        f"/recordings/{known.id}#keeping",
    )
    assert store.known(known.id).kept_until.isoformat() == "2031-05-06T00:00:00+00:00"
    assert store.parts.recordings.history(known.id)[-1].actor == "page"


@pytest.mark.parametrize("until", ["", "soon", "2031-13-01"])
def test_a_day_that_is_none_is_refused(send, store, until):
    known = store.done()

    answer = send(f"/recordings/{known.id}/extension", until=until)

    assert answer.status_code == 400
    assert store.known(known.id) == known


def test_a_tier_that_cannot_extend_is_offered_nothing(client, store, send):
    store.parts.tenants.put(Tenant("acme", Tier.FREE, NOW))
    known = store.done(tenant="acme")

    page = client.get(f"/recordings/{known.id}").text

    assert "/extension" not in page
    answer = send(f"/recordings/{known.id}/extension", until="2031-05-06")
    assert answer.status_code == 422
    assert store.known(known.id) == known


def test_a_hold_is_shown_with_its_reason_and_released(client, send, store):
    known = store.done()

    answer = send(f"/recordings/{known.id}/hold", reason="a claim of the insurer")

    assert answer.headers["location"] == f"/recordings/{known.id}#keeping"
    held = store.known(known.id).hold
    assert isinstance(held, Hold)
    assert (held.reason, held.actor) == ("a claim of the insurer", "page")
    page = client.get(f"/recordings/{known.id}").text
    assert "by page: a claim of the insurer" in page
    assert "/release" in page

    assert send(f"/recordings/{known.id}/release").status_code == 303
    assert store.known(known.id).hold is None


def test_a_hold_needs_a_reason(send, store):
    known = store.done()

    assert send(f"/recordings/{known.id}/hold", reason=" ").status_code == 400
    assert store.known(known.id).hold is None


@pytest.mark.parametrize("typed", ["", "Talk.wav", "talk", "uploads/demo/talk.wav"])
def test_erasing_needs_the_name_as_it_is_shown(send, store, typed):
    known = store.done("talk.wav")

    answer = send(f"/recordings/{known.id}/erasure", typed=typed)

    assert answer.status_code == 400
    assert store.known(known.id) == known


@pytest.mark.parametrize("name", ["talk.wav", "a\u202eb <b>&amp;.wav", " .wav"])
def test_erasing_ends_with_a_receipt(client, send, store, name):
    known = store.done(name)
    page = client.get(f"/recordings/{known.id}").text

    answer = send(f"/recordings/{known.id}/erasure", typed=typed_from(page))

    assert answer.status_code == 303
    told = client.get(answer.headers["location"]).text
    assert "It is erased" in told
    receipt = client.get(answer.headers["location"] + "/receipt.json").json()
    assert receipt["recording_id"] == known.id
    assert receipt["signature"]["algorithm"] == "Ed25519"
    assert client.get(f"/recordings/{known.id}").status_code == 404
    assert store.known(known.id).state is State.ERASED


def typed_from(page):
    """What the page asks to be typed, as a browser shows it."""
    begin = page.index("Type its name to confirm: <bdi>") + len("Type its name to confirm: <bdi>")
    return unescape(page[begin : page.index("</bdi>", begin)])


def test_an_erasure_under_hold_waits_and_says_so(client, send, store):
    known = store.done("talk.wav")
    send(f"/recordings/{known.id}/hold", reason="a claim")

    answer = send(f"/recordings/{known.id}/erasure", typed="talk.wav")

    told = client.get(answer.headers["location"]).text
    assert "It is held" in told
    assert client.get(answer.headers["location"] + "/receipt.json").status_code == 404
    assert store.known(known.id).state is State.DONE


@pytest.mark.parametrize("act", ["extension", "hold", "release", "erasure"])
def test_a_form_without_the_pages_token_changes_nothing(send, store, act):
    known = store.done("talk.wav")

    answer = send(
        *(f"/recordings/{known.id}/{act}", "stolen"),
        until="2031-05-06",
        reason="x",
        typed="talk.wav",
    )

    assert answer.status_code == 403
    assert store.known(known.id) == known


def hooked(parts):
    made = webhook(tenant=DEMO)
    parts.webhooks.add(made)
    return made


def attempted(parts, hook, status):
    """One delivery whose first attempt was answered so; its event."""
    made = delivery(hook, happening(tenant=DEMO), NOW, 60.0)
    parts.deliveries.enqueue(made)
    parts.deliveries.record(made, Reply(status), NOW, 0.0)
    return made.event_id


class TestTheTenantsPage:
    def test_nothing_is_said_of_nobody(self, client):
        assert client.get("/tenants/nobody").status_code == 404
        assert client.get("/tenants/No").status_code == 422

    def test_what_was_used_of_how_much(self, client, store):
        store.parts.tenants.put(Tenant("acme", Tier.FREE, NOW))

        page = client.get("/tenants/acme").text

        assert "0 of 50" in page
        assert "0:00 of 5:00:00" in page
        assert "What comes over a limit waits for it." in page

    def test_no_limit_is_said_and_so_is_refusal(self, client, store):
        refusing = Tenant("acme", Tier.ENTERPRISE, NOW, over_quota=OverQuotaPolicy.REFUSE)
        store.parts.tenants.put(refusing)

        page = client.get("/tenants/acme").text

        assert page.count("no limit") == 2
        assert "What comes over a limit is refused." in page

    def test_what_ends_within_thirty_days_the_soonest_first(self, app, client, store):
        now = app.state.parts.now()
        names = {"later.wav": 31, "second.wav": 29, "first.wav": 3}
        for name, days in names.items():
            store.done(name, kept_until=now + timedelta(days=days))

        page = client.get(f"/tenants/{DEMO}").text

        assert 0 < page.index("first.wav") < page.index("second.wav")
        assert "later.wav" not in page

    def test_more_than_fit_are_said(self, app, client, store):
        soon = app.state.parts.now() + timedelta(days=2)
        for n in range(MOST_ENDING + 1):
            store.received(f"{n}.wav", kept_until=soon)

        assert f"the first {MOST_ENDING}; there are more" in client.get(f"/tenants/{DEMO}").text

    def test_keys_with_what_they_may_and_never_more_than_their_id(self, client, store):
        text, key = minted(DEMO, READER, "<b>ours</b>", NOW, bytes(range(ENTROPY_BYTES)))
        store.parts.api_keys.add(key)

        page = client.get(f"/tenants/{DEMO}").text

        assert key.id in page
        assert "recordings:read" in page
        assert "&lt;b&gt;ours" in page
        assert text not in page
        assert key.digest not in page

    def test_a_key_that_was_revoked_is_marked(self, client, store):
        _, key = minted(DEMO, READER, "", NOW, bytes(ENTROPY_BYTES))
        store.parts.api_keys.add(key)
        store.parts.api_keys.revoke(key.id, NOW)

        assert "revoked" in client.get(f"/tenants/{DEMO}").text

    def test_webhooks_with_their_deliveries_and_no_secret(self, client, store):
        hook = hooked(store.parts)
        attempted(store.parts, hook, status=500)

        page = client.get(f"/tenants/{DEMO}").text

        assert hook.url in page
        assert hook.secret not in page
        assert "recording.done" in page
        assert "500" in page

    def test_a_delivery_that_failed_is_sent_again(self, client, send, store):
        hook = hooked(store.parts)
        event = attempted(store.parts, hook, status=410)
        assert f"/{event}/replay" in client.get(f"/tenants/{DEMO}").text

        answer = send(f"/tenants/{DEMO}/deliveries/{hook.id}/{event}/replay")

        assert answer.headers["location"] == f"/tenants/{DEMO}#webhooks"
        assert store.parts.deliveries.get(hook.id, event).state == "waiting"

    def test_another_tenants_delivery_is_not_there(self, send, store):
        store.parts.tenants.put(Tenant("acme", Tier.FREE, NOW))
        hook = hooked(store.parts)
        event = attempted(store.parts, hook, status=410)

        answer = send(f"/tenants/acme/deliveries/{hook.id}/{event}/replay")

        assert answer.status_code == 404
        assert store.parts.deliveries.get(hook.id, event).state == "failed"
