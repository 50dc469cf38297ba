"""Sound that its sender waits for counts against the tenant's day, as uploads do."""

from itertools import count

import httpx
import openai
import pytest

from shared.domain.tenants import Tenant, Tier
from tests.builders import NOW
from tests.gpu_service.test_word_times import SOUND
from tests.sounds import tone_wav
from tests.streaming.conftest import given
from tests.streaming.serving import running, vouched

LIMIT_S = 10.0
#: Seconds until the next 00:00 UTC, at most.
DAY_S = 86_400


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with running(given(tmp_path_factory.mktemp("home"))) as up:
        yield up


@pytest.fixture
def parts(service):
    return service.app.state.house.parts


@pytest.fixture
def acme(parts):
    """Has nothing used of its ten seconds today; another for each test, as no day begins anew."""
    tenant = f"acme-{next(NUMBERS)}"
    parts.tenants.put(Tenant(tenant, Tier.FREE, NOW, (("seconds_a_day", LIMIT_S),)))
    return tenant


NUMBERS = count(1)


@pytest.fixture
def used(service, parts):
    def told(tenant):
        service.app.state.house.allowance.report()
        return parts.quotas.day(tenant, parts.now())

    return told


@pytest.fixture
def hear(service, acme):
    headers = vouched(service.app.state.house.settings, acme)

    def ask(*sounds, path="audio/transcriptions", **wanted):
        return httpx.post(
            f"http://{service.address}/v1/{path}",
            files=[("file", ("a.wav", sound)) for sound in sounds],
            data=wanted or {"model": "echo"},
            headers=headers,
            timeout=60,
        )

    return ask


def test_its_seconds_are_counted_and_no_file(acme, hear, used):
    assert hear(tone_wav(4.0)).status_code == 200

    assert (used(acme).used_s, used(acme).files) == (pytest.approx(4.0, abs=0.01), 0)


@pytest.mark.parametrize("stream", ["false", "true"])
def test_over_the_days_seconds_it_is_refused_with_the_time_to_come_back(acme, hear, used, stream):
    assert hear(tone_wav(10.0)).status_code == 200

    answer = hear(tone_wav(0.5), model="echo", stream=stream)

    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["type"]) == (
        429,
        "over_quota",
        "rate_limit_error",
    )
    assert "00:00 UTC" in error["message"]
    assert 0 < int(answer.headers["retry-after"]) <= DAY_S
    assert used(acme).used_s == pytest.approx(10.0, abs=0.01)


def test_openais_client_takes_it_for_a_rate_limit(acme, hear, service):
    hear(tone_wav(10.0))
    headers = vouched(service.app.state.house.settings, acme)
    named = {"x-earwitness-tenant": acme}
    key = headers["authorization"].removeprefix("Bearer ")
    with (
        openai.OpenAI(
            base_url=f"http://{service.address}/v1",
            api_key=key,
            default_headers=named,
            max_retries=0,
        ) as client,
        pytest.raises(openai.RateLimitError) as refused,
    ):
        client.audio.transcriptions.create(file=("a.wav", SOUND), model="echo")

    assert refused.value.code == "over_quota"


def test_nobody_hears_what_is_over_quota(acme, hear, service):
    figures = service.app.state.house.servers["echo"].figures
    hear(tone_wav(10.0))
    before = figures.clips

    hear(SOUND)

    assert figures.clips == before


def test_each_file_of_an_analysis_counts_once(acme, hear, used):
    answer = hear(tone_wav(6.0), tone_wav(6.0), path="analyses", operations="transcribe")

    failed = [entry.get("error") for entry in answer.json()["data"] if entry.get("error")]
    assert used(acme).used_s == pytest.approx(6.0, abs=0.01)
    assert [error["code"] for error in failed] == ["over_quota"]


def test_what_cannot_be_heard_counts_nothing(acme, hear, used):
    assert hear(b"no sound").status_code == 400

    assert used(acme).used_s == 0.0


def test_an_unlimited_tenant_is_counted_and_never_refused(service, used):
    headers = vouched(service.app.state.house.settings, "demo")
    url, before = f"http://{service.address}/v1/audio/transcriptions", used("demo").used_s

    file = {"file": ("a.wav", tone_wav(2.0))}
    answer = httpx.post(url, files=file, data={"model": "echo"}, headers=headers, timeout=60)

    assert answer.status_code == 200
    assert used("demo").used_s - before == pytest.approx(2.0, abs=0.01)
