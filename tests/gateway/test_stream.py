"""`WS /v1/audio/stream` and `/v1/analyses` through a running gateway to a running service."""

import json
import re
import threading
from contextlib import contextmanager
from pathlib import Path

import httpx
import msgspec
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from gateway.main import create_app, server
from shared.domain.api_keys import ENTROPY_BYTES, READER, WRITER, minted
from shared.domain.tenants import Tier
from tests.builders import NOW
from tests.engines.speech import said, silence
from tests.journeys.running import until
from tests.sounds import tone_wav
from tests.streaming.conftest import given
from tests.streaming.serving import Client, chunks, pcm16, running

TABLE = Path("docs/metrics.md")
SPOKEN = pcm16(np.concatenate([said("Good morning to you."), silence(1.5), said("Good night.")]))


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return given(tmp_path_factory.mktemp("home"), streams=4)


@pytest.fixture(scope="module")
def service(settings):
    with running(settings) as up:
        yield up


@contextmanager
def gateway(settings, service, **more):
    found = msgspec.structs.replace(settings, service_url=f"http://{service.address}", **more)
    serving = server(create_app(found), "127.0.0.1", 0)
    thread = threading.Thread(target=serving.run)
    thread.start()
    try:
        until(lambda: serving.started, patience_s=60)
        yield f"127.0.0.1:{serving.servers[0].sockets[0].getsockname()[1]}"
    finally:
        serving.should_exit = True
        thread.join(30)


@pytest.fixture(scope="module")
def address(settings, service):
    with gateway(settings, service) as found:
        yield found


def connected(address, **headers):
    url = f"ws://{address}/v1/audio/stream"
    return connect(url, ping_interval=None, additional_headers=headers)


async def heard(address, frames, headers=None, **config):
    async with connected(address, **headers or {}) as line:
        client = Client(line)
        await client.open(**config)
        await client.send(frames)
        await client.end()
        return client, await client.rest()


async def test_a_stream_goes_through_with_its_close_code(address):
    client, code = await heard(address, chunks(SPOKEN, 320), chunk_ms=10, interim=False)

    assert [r["type"] for r in client.replies] == ["ready", "final", "final", "done"]
    assert code == 1000


@pytest.mark.parametrize(
    ("first", "then", "closed", "code"),
    [
        ('{"sample_rate": 1}', None, 1008, "unusual_signal"),
        ("{}", b"\x00", 1007, "garbage_in_stream"),
        ("{}", "text", 1003, "unexpected_text"),
    ],
)
async def test_how_the_service_ends_it_is_passed_on(address, first, then, closed, code):
    async with connected(address) as line:
        client = Client(line)
        await line.send(first)
        if then is not None:
            await client.next()
            await line.send(then)
        ended = await client.rest()

    assert ended == closed
    assert client.replies[-1]["code"] == code == line.close_reason


async def test_a_client_that_comes_back_finds_its_stream(address):
    async with connected(address) as line:
        first = Client(line)
        ready = await first.open(interim=False)
        await first.send(chunks(SPOKEN, 3200)[:-2])
        await first.until("final")
        line.transport.abort()
    async with connected(address) as line:
        second = Client(line)
        again = await second.open(resume=ready["resume"])
        await second.send(chunks(SPOKEN[2 * again["sample"] :], 3200))
        await second.end()
        await second.rest()

    assert again["sample"] > 0
    assert [f["segment"] for f in second.of("final")] == [0, 1]


@pytest.mark.parametrize(
    "headers", [{"Origin": "http://evil.example"}, {"Host": "evil.example"}], ids=["origin", "host"]
)
async def test_another_site_may_not_open_a_stream(address, headers):
    with pytest.raises(InvalidStatus) as refused:
        await connected(address, **headers)

    assert refused.value.response.status_code == 403


async def test_with_keys_a_stream_needs_one_that_may_write(settings, service):
    with gateway(settings, service, keys_required=True) as address:
        parts = service.app.state.house.parts
        parts.tenants.ensure("acme", Tier.PRO, NOW)
        text, key = minted("acme", WRITER, "", NOW, bytes(ENTROPY_BYTES))
        only, looking = minted("acme", READER, "", NOW, bytes([1]) * ENTROPY_BYTES)
        parts.api_keys.add(key)
        parts.api_keys.add(looking)
        statuses = []
        for headers in (
            {},
            {"Authorization": "Bearer nonsense"},
            {"Authorization": f"Bearer {only}"},
        ):
            with pytest.raises(InvalidStatus) as refused:
                await connected(address, **headers)
            statuses.append(refused.value.response.status_code)
        client, _ = await heard(address, [], {"Authorization": f"Bearer {text}"})

    assert statuses == [401, 401, 403]
    assert client.replies[-1]["type"] == "done"


async def test_a_full_service_says_so_through_the_gateway(address, service, caplog):
    lines = [await connected(address) for _ in range(service.streams.places)]
    try:
        with pytest.raises(InvalidStatus) as refused:
            await connected(address)
    finally:
        for line in lines:
            await line.close()

    answer = refused.value.response
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "5")
    assert json.loads(answer.body)["error"]["code"] == "too_many_streams"
    assert [r.message for r in caplog.records if r.levelname == "ERROR"] == []


async def test_without_a_service_nothing_is_opened(settings, service):
    with gateway(settings, service) as address:
        pass
    gone = type("Gone", (), {"address": address})
    with gateway(settings, gone) as address, pytest.raises(InvalidStatus) as refused:
        await connected(address)

    assert refused.value.response.status_code == 502
    assert json.loads(refused.value.response.body)["error"]["code"] == "service_unreachable"


async def test_analyses_go_through(address):
    async with httpx.AsyncClient(base_url=f"http://{address}", timeout=60) as client:
        answer = await client.post(
            "/v1/analyses",
            files=[("file", ("a.wav", tone_wav(6.0))), ("file", ("b.wav", b"none"))],
            data={"operations": "transcribe"},
        )

    first, second = answer.json()["data"]
    assert (first["error"], second["error"]["code"]) == (None, "not_audio")


async def test_what_went_through_can_be_read_off_by_rooms(address):
    await heard(address, [])
    async with httpx.AsyncClient(base_url=f"http://{address}") as client:
        await client.get("/v1/recordings?limit=1")
        await client.get("/v1/recordings/nobody")
        await client.get("/v1/secret/../../etc")
        text = (await client.get("/metrics")).text

    told = {
        (s.name, *sorted(s.labels.values())): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }
    assert told["earwitness_gateway_requests_total", "2xx", "recordings"] >= 1
    assert told["earwitness_gateway_requests_total", "4xx", "recordings"] >= 1
    assert told["earwitness_gateway_streams_total", "1000"] >= 1
    assert "nobody" not in text and "secret" not in text


async def test_every_name_of_the_gateway_is_in_the_table(address):
    await heard(address, [])
    async with httpx.AsyncClient(base_url=f"http://{address}") as client:
        await client.get("/healthz")
        text = (await client.get("/metrics")).text

    told = {f"{f.name}|{f.type}" for f in text_string_to_metric_families(text)}
    rows = re.findall(r"^\| `([a-z_]+)` \| (\w+) \|", TABLE.read_text(), re.MULTILINE)
    table = {f"{name.removesuffix('_total')}|{kind}" for name, kind in rows}
    assert told <= table
    assert {row for row in table if row.startswith("earwitness_gateway_")} <= told


async def test_metrics_are_for_this_machine_alone(settings, service):
    found = msgspec.structs.replace(settings, service_url=f"http://{service.address}")
    transport = httpx.ASGITransport(create_app(found), client=("203.0.113.7", 1234))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
        answer = await client.get("/metrics")

    assert answer.status_code == 404
