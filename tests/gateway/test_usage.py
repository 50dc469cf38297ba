"""`/v1/usage`: what is used of a day's limits; and over one, which it was and what follows."""

import io
from contextlib import suppress
from datetime import datetime, timedelta

import pytest

from shared.domain.names import recording_id
from shared.domain.quotas import next_midnight
from shared.domain.states import State
from shared.domain.tenants import OverQuotaPolicy, Tenant, Tier
from shared.errors import BrokerUnavailable
from shared.wiring import allowance_of, intake
from tests.builders import NOW
from tests.gateway.testimony import tone


@pytest.fixture
def parts(app):
    return app.state.parts


def given(parts, over_quota=OverQuotaPolicy.DEFER, **rules):
    made = Tenant("acme", Tier.FREE, NOW, tuple(rules.items()), over_quota=over_quota)
    parts.tenants.put(made)
    return made


def uploaded(parts, number):
    name = f"uploads/acme/{number}.wav"
    content = io.BytesIO(tone(2.0))
    at = parts.now()
    upload = parts.inlet.put(name, content, content_type="audio/wav", metadata={}, at=at)
    with suppress(BrokerUnavailable):  # recorded all the same
        intake(parts)(upload)
    return parts.recordings.get(recording_id(upload.bucket, upload.name, upload.generation))


def test_files_seconds_and_money_are_told_with_their_limits(client, parts):
    tenant = given(parts, seconds_a_day=1_000.0)
    process = allowance_of(parts)
    process.charge(tenant, 5.0)
    process.report()
    before = parts.now()

    told = client.get("/v1/usage?tenant=acme").json()

    assert told["files"] == {"used": 0, "limit": 50}
    assert told["seconds"] == {"used": 5.0, "reserved": 57.5, "stranded": 0.0, "limit": 1_000.0}
    assert told["usd"] == {
        "spent": 0.0,
        "reserved": 0.0,
        "stranded": 0.0,
        "limit": 0.0,
        "agreed": False,
    }
    assert (told["tenant"], told["tier"], told["over_quota"]) == ("acme", "free", "defer")
    assert next_midnight(before) <= parse(told["next_day_at"])
    assert parse(told["next_day_at"]) - before <= timedelta(days=1)


def parse(text):
    return datetime.fromisoformat(text)


def test_of_demo_for_whoever_sits_here_and_none_for_nobody(client):
    assert client.get("/v1/usage").json()["tenant"] == "demo"
    assert client.get("/v1/usage?tenant=nobody-here").status_code == 404


@pytest.mark.parametrize(
    ("over_quota", "state"),
    [(OverQuotaPolicy.DEFER, State.DEFERRED), (OverQuotaPolicy.REFUSE, State.REJECTED)],
)
@pytest.mark.parametrize(
    ("rule", "allowed", "said"),
    [
        ("files_a_day", 1, "Of the tenant's 1 files a day 1 are used."),
        ("seconds_a_day", 3.0, "The sound has 2.0 s; of the tenant's 3 s a day 1.0 s are left."),
    ],
)
def test_recording_history_and_page_say_which_limit_and_what_follows(
    client, parts, over_quota, state, rule, allowed, said
):
    given(parts, over_quota, **{rule: allowed})
    first, late = uploaded(parts, 1), uploaded(parts, 2)

    told = client.get(f"/v1/recordings?tenant=acme&state={state}").json()["recordings"][0]
    history = client.get(f"/v1/recordings/{late.id}/history").json()["history"][-1]
    page = client.get(f"/recordings/{late.id}").text

    assert (first.state, late.state) == (State.RECEIVED, state)
    assert told["error"]["code"] == "over_quota"
    assert told["error"]["message"].startswith(said)
    assert (told["deferred_until"] is not None) is (state is State.DEFERRED)
    assert said in (history["error"] or {"message": history["reason"]})["message"]
    assert said.replace("'", "&#39;") in page
    assert ("Upload it again then" in page) is (state is State.REJECTED)


def test_a_refused_upload_makes_no_job_and_counts_nothing(parts):
    given(parts, OverQuotaPolicy.REFUSE, files_a_day=1)
    uploaded(parts, 1)

    again = [uploaded(parts, 2).state, uploaded(parts, 3).state]

    assert again == [State.REJECTED] * 2
    assert parts.quotas.day("acme", parts.now()).files == 1
    assert sum(parts.jobs.waiting(parts.now()).values()) == 1
