"""How long a recording is kept, through the API."""

from datetime import timedelta

import pytest

from shared.domain.states import State
from shared.domain.tenants import DEMO, Tenant, Tier
from tests.builders import NOW

DAY = timedelta(days=1)
REASON = {"reason": "a  lawsuit"}


@pytest.fixture
def known(store):
    return store.done().id


def path(known, rest):
    return f"/v1/recordings/{known}/{rest}"


def test_it_is_said_how_long_it_is_kept_and_why(client, store, known):
    told = client.get(path(known, "extension")).json()

    assert told["why"] == "The tier enterprise keeps recordings for 365 days."
    assert (told["hold"], told["announced_at"], told["extended_until"]) == (None, None, None)
    assert (told["may_extend"], told["latest_extension"]) == (True, None)


def test_an_extension_is_kept_and_asking_twice_is_asking_once(client, app, known):
    until = (NOW + 900 * DAY).isoformat()

    answers = [client.post(path(known, "extension"), json={"until": until}) for _ in range(2)]

    assert [a.status_code for a in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()
    stored = app.state.parts.recordings.get(known)
    assert stored.kept_until == stored.extended_until == NOW + 900 * DAY
    history = app.state.parts.recordings.history(known)
    assert [line.actor for line in history if line.reason.startswith("extended")] == ["api"]


def test_what_the_tier_refuses_is_refused_with_the_latest_day(client, app, known):
    app.state.parts.tenants.put(Tenant(DEMO, Tier.PRO, NOW))
    until = (NOW + 3_000 * DAY).isoformat()

    refused = client.post(path(known, "extension"), json={"until": until})

    assert refused.status_code == 422
    assert refused.json()["error"]["code"] == "extension_refused"
    assert "at the longest" in refused.json()["error"]["message"]


@pytest.mark.parametrize("until", ["2030-01-01", "2030-01-01T00:00:00", None])
def test_an_end_has_a_time_zone(client, known, until):
    assert client.post(path(known, "extension"), json={"until": until}).status_code == 422


def test_a_hold_says_why_and_who(client, app, known):
    told = client.put(path(known, "hold"), json=REASON).json()

    assert (told["hold"]["reason"], told["hold"]["actor"]) == ("a lawsuit", "api")
    assert app.state.parts.recordings.get(known).hold.reason == "a lawsuit"


def test_holding_twice_keeps_and_tells_the_first(client, known):
    first = client.put(path(known, "hold"), json=REASON).json()

    assert client.put(path(known, "hold"), json={"reason": "another"}).json() == first


def test_a_release_can_be_repeated(client, known):
    client.put(path(known, "hold"), json=REASON)

    released = [client.delete(path(known, "hold")).json()["hold"] for _ in range(2)]

    assert released == [None, None]


@pytest.mark.parametrize("reason", ["", "   ", "x" * 501])
def test_a_hold_needs_a_reason(client, app, known, reason):
    assert client.put(path(known, "hold"), json={"reason": reason}).status_code in (400, 422)
    assert app.state.parts.recordings.get(known).hold is None


def test_a_held_recording_is_not_erased_by_whoever_asks(client, app, known):
    client.put(path(known, "hold"), json=REASON)

    asked = client.delete(f"/v1/recordings/{known}")

    assert (asked.status_code, asked.json()["state"]) == (202, "waiting")
    assert app.state.parts.recordings.get(known).state is State.DONE


def test_nothing_is_kept_of_what_is_erased(client, known):
    client.delete(f"/v1/recordings/{known}")

    for answer in (
        client.get(path(known, "extension")),
        client.put(path(known, "hold"), json=REASON),
        client.delete(path(known, "hold")),
    ):
        assert answer.status_code == 404
