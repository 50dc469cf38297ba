"""`WS /v1/audio/stream` of a running service, met by the `websockets` client."""

import contextlib
import json

import numpy as np
import pytest
import soxr
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gpu_service.stream import POLICY
from shared.domain.tenants import Tenant, Tier
from tests.engines.speech import said, silence
from tests.streaming.serving import Client, chunks, connected, pcm16, vouched

SENTENCE = "The library closes early today because of the public holiday."


def two_sentences():
    gap = silence(1.5)
    return np.concatenate([gap, said(SENTENCE), gap, said("Good morning to you."), gap])


async def test_each_sentence_becomes_a_final_with_its_times(service):
    async with connected(service) as line:
        client = Client(line)
        ready = await client.open(chunk_ms=10, interim=False)
        await client.send(chunks(pcm16(two_sentences()), 320))
        await client.end()
        code = await client.rest()

    first, second = client.of("final")
    assert (ready["type"], ready["engines"], code) == ("ready", ["echo"], 1000)
    assert client.replies[-1] == {"type": "done", "samples": two_sentences().size}
    length = said(SENTENCE).size / 16_000
    assert 1.0 <= first["start_s"] <= 1.6 and first["end_s"] == pytest.approx(1.5 + length, abs=0.4)
    assert (first["segment"], second["segment"]) == (0, 1)
    assert second["start_s"] > first["end_s"] + 0.5
    assert first["text"].startswith("echo") and first["words"][0]["start_s"] >= first["start_s"]


async def heard(up, frames, tenant="demo", **config):
    async with connected(up, tenant) as line:
        client = Client(line)
        await client.open(**config)
        with contextlib.suppress(ConnectionClosed):  # it may be told to end before
            await client.send(frames)
            await client.end()
        await client.rest()
    return client


async def test_the_size_of_chunks_changes_nothing(service):
    sound = pcm16(two_sentences())

    tiny = await heard(service, chunks(sound, 320), chunk_ms=10, interim=False)
    large = await heard(service, chunks(sound, 32_000), chunk_ms=1000, interim=False)

    assert [told(f) for f in tiny.of("final")] == [told(f) for f in large.of("final")]


def told(final):
    return {k: v for k, v in final.items() if k != "resume"}


async def test_float32_stereo_at_another_rate_is_heard_the_same(service):
    mono = two_sentences()
    stereo = np.repeat(soxr.resample(mono, 16_000, 44_100).astype("<f4"), 2).tobytes()

    plain = await heard(service, chunks(pcm16(mono), 3200), interim=False)
    other = await heard(
        service,
        chunks(stereo, 3528),
        sample_rate=44_100,
        encoding="float32",
        channels=2,
        chunk_ms=10,
        interim=False,
    )

    spans = [[(f["start_s"], f["end_s"]) for f in c.of("final")] for c in (plain, other)]
    assert np.array(spans[1]) == pytest.approx(np.array(spans[0]), abs=0.05)


async def test_chunks_that_overlap_are_heard_once(service):
    """The seeds' adapter: 1,600 samples a chunk, the last 400 again in the next."""
    sound = pcm16(two_sentences())
    overlapping = [sound[at : at + 3200] for at in range(0, len(sound) - 800, 2400)]

    plain = await heard(service, chunks(sound, 3200), interim=False)
    other = await heard(service, overlapping, chunk_ms=100, overlap_ms=25, interim=False)

    assert [told(f) for f in other.of("final")] == [told(f) for f in plain.of("final")]
    assert not other.of("warning")


async def test_an_overlap_that_is_none_is_warned_of_once(service):
    frames = chunks(pcm16(two_sentences()), 3200)

    client = await heard(service, frames, overlap_ms=25, interim=False)

    assert [w["code"] for w in client.of("warning")] == ["overlap_mismatch"]


async def test_partials_come_before_their_final_and_never_after(service):
    async with connected(service) as line:
        client = Client(line)
        await client.open(chunk_ms=10)
        speech = chunks(pcm16(np.concatenate([said(SENTENCE), silence(1.5)])), 320)
        for frame in speech:
            await client.line.send(frame)
            while len(client.of("partial")) < 1 and frame is speech[200]:
                await client.next()  # two seconds are spoken: one must come
        await client.end()
        await client.rest()

    kinds = [r["type"] for r in client.replies]
    assert kinds.index("final") > max(i for i, k in enumerate(kinds) if k == "partial")
    assert 1 <= len(client.of("partial")) <= said(SENTENCE).size / 16_000
    assert all(p["segment"] == 0 and p["text"] for p in client.of("partial"))


async def test_a_broken_line_loses_no_final_and_repeats_none(service):
    sound = pcm16(two_sentences())
    async with connected(service) as line:
        first = Client(line)
        await first.open(chunk_ms=10, interim=False)
        await first.send(chunks(sound[: len(sound) * 7 // 10], 320))
        final = await first.until("final")
        line.transport.abort()

    async with connected(service) as line:
        second = Client(line)
        ready = await second.open(resume=final["resume"])
        await second.send(chunks(sound[2 * ready["sample"] :], 320))
        await second.end()
        await second.rest()

    whole = await heard(service, chunks(sound, 320), chunk_ms=10, interim=False)
    together = first.of("final") + second.of("final")
    assert [told(f) for f in together] == [told(f) for f in whole.of("final")]
    assert ready["type"] == "ready" and ready["sample"] > final["end_s"] * 16_000


async def test_finals_the_client_never_read_are_told_again(service):
    async with connected(service) as line:
        first = Client(line)
        ready = await first.open(interim=False)
        await first.send(chunks(pcm16(two_sentences()), 3200))
        await first.until("final")  # it came, and the client crashed before it was kept
        line.transport.abort()

    async with connected(service) as line:
        second = Client(line)
        again = await second.open(resume=ready["resume"])
        await second.send(chunks(pcm16(two_sentences())[2 * again["sample"] :], 3200))
        await second.end()
        await second.rest()

    assert [f["segment"] for f in second.of("final")] == [0, 1]


async def test_a_stream_that_is_gone_says_where_to_begin_again(service):
    sound = pcm16(two_sentences())
    async with connected(service) as line:
        first = Client(line)
        await first.open(interim=False)
        await first.send(chunks(sound[: len(sound) * 7 // 10], 3200))
        final = await first.until("final")
        line.transport.abort()
    body, _ = final["resume"].split(".")
    forged = f"{body}.{'A' * 22}"  # as an instance with another key would see it

    async with connected(service) as line:
        lost = Client(line)
        error = await lost.open(resume=forged)
        code = await lost.rest()
    begin = error["send_from_sample"]
    rest = chunks(sound[2 * begin :], 3200)
    anew = await heard(
        service, rest, start_sample=begin, start_segment=error["segment"], interim=False
    )

    assert (error["code"], error["recoverable"], code) == ("resume_lost", True, 1008)
    assert begin == int(final["end_s"] * 16_000)
    whole = await heard(service, chunks(sound, 3200), interim=False)
    [second] = anew.of("final")
    expected = whole.of("final")[1]
    assert second["segment"] == expected["segment"]
    assert second["start_s"] == pytest.approx(expected["start_s"], abs=0.1)


NAN = np.array([0.0, np.nan], "<f4").tobytes()


@pytest.mark.parametrize(
    ("config", "message", "code", "close"),
    [
        ({}, b"\x00\x01\x02", "garbage_in_stream", 1007),
        ({"encoding": "float32"}, NAN, "garbage_in_stream", 1007),
        ({"encoding": "float32"}, NAN[:4] + b"\x00\x00\x80\x7f", "garbage_in_stream", 1007),
        ({"chunk_ms": 10}, bytes(322), "garbage_in_stream", 1007),
        ({}, "hello", "unexpected_text", 1003),
        ({}, '{"type": "begin"}', "unexpected_text", 1003),
    ],
    ids=["odd", "nan", "infinity", "too long a chunk", "text", "other json"],
)
async def test_what_is_no_sound_is_said_and_the_stream_may_go_on(
    service, config, message, code, close
):
    async with connected(service) as line:
        client = Client(line)
        await client.open(interim=False, **config)
        await line.send(message)
        closed = await client.rest()
    async with connected(service) as line:
        ready = await Client(line).open(resume=client.of("error")[0]["resume"])

    [error] = client.of("error")
    assert (error["code"], error["retry_count"], error["recoverable"]) == (code, 0, True)
    assert closed == close
    assert (ready["type"], ready["sample"]) == ("ready", 0)


@pytest.mark.parametrize(
    ("first", "code"),
    [
        ('{"sample_rate": 3999}', "unusual_signal"),
        ('{"sample_rate": 384001}', "unusual_signal"),
        ('{"channels": 9}', "unusual_signal"),
        ('{"chunk_ms": 9}', "invalid_stream"),
        ('{"overlap_ms": 100}', "invalid_stream"),
        ('{"encoding": "mp3"}', "invalid_stream"),
        ('{"engine": "sounds"}', "invalid_stream"),
        ('{"engine": "oracle"}', "invalid_stream"),
        ('{"mood": "good"}', "invalid_stream"),
        ('{"resume": "nonsense"}', "invalid_stream"),
        ('{"resume": "bm9wZQ.bm9wZQ"}', "invalid_stream"),
        ("not json", "invalid_stream"),
        ("[]", "invalid_stream"),
        (b"\x00\x00", "invalid_stream"),
    ],
)
async def test_a_first_message_that_is_wrong_is_refused_by_name(service, first, code):
    async with connected(service) as line:
        client = Client(line)
        await line.send(first)
        closed = await client.rest()

    assert ([e["code"] for e in client.replies], closed) == ([code], 1008)
    assert service.streams.taken <= 1


async def test_one_stream_more_than_there_are_places_is_told_to_wait(service):
    async with contextlib.AsyncExitStack() as held:
        for _ in range(service.streams.places):
            await held.enter_async_context(connected(service))
        with pytest.raises(InvalidStatus) as refused:
            await held.enter_async_context(connected(service))

    assert refused.value.response.status_code == 429
    assert json.loads(refused.value.response.body)["error"]["code"] == "too_many_streams"
    assert "Retry-After" in refused.value.response.headers


async def test_silence_has_no_finals(service):
    client = await heard(service, chunks(pcm16(silence(3)), 3200))

    assert [r["type"] for r in client.replies] == ["ready", "done"]


async def test_nothing_at_all_is_a_stream_too(service):
    client = await heard(service, [])

    assert client.replies[-1] == {"type": "done", "samples": 0}


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 403, "forged_ticket"),
        ({"authorization": "Bearer x"}, 403, "forged_ticket"),
        ({"x-earwitness-tenant": "nobody"}, 400, "unknown_tenant"),
        ({"x-earwitness-tenant": "../x"}, 400, "invalid_request"),
    ],
)
async def test_only_the_gateway_may_open_a_stream_and_for_a_tenant(service, headers, status, code):
    if "authorization" not in headers and headers:
        headers = vouched(service.app.state.house.settings) | headers

    with pytest.raises(InvalidStatus) as refused:
        await connect(service.url, additional_headers=headers)

    assert refused.value.response.status_code == status
    assert json.loads(refused.value.response.body)["error"]["code"] == code


@pytest.fixture
def metered(service):
    """A tenant that may have ten seconds a day heard."""
    parts = service.app.state.house.parts
    tenant = f"metered-{parts.now().timestamp():.6f}".replace(".", "-")
    parts.tenants.put(Tenant(tenant, Tier.FREE, parts.now(), (("seconds_a_day", 10.0),)))
    return tenant


def used_s(service, tenant):
    service.app.state.house.allowance.report()
    parts = service.app.state.house.parts
    return parts.quotas.day(tenant, parts.now()).used_s


async def test_a_streams_seconds_count_against_its_tenants_day(service, metered):
    client = await heard(service, chunks(pcm16(silence(4)), 3200), tenant=metered)

    assert client.replies[-1]["type"] == "done"
    assert used_s(service, metered) == pytest.approx(4.0, abs=0.01)


async def test_over_the_day_a_stream_tells_what_it_heard_and_ends(service, metered):
    sound = np.concatenate([silence(1), said(SENTENCE), silence(1), silence(10)])
    client = await heard(service, chunks(pcm16(sound), 3200), tenant=metered)

    last = client.replies[-1]
    assert (last["type"], last["code"]) == ("closing", "over_quota")
    assert "00:00 UTC" in last["message"]
    assert len(client.of("final")) == 1
    assert client.line.close_code == POLICY
    assert used_s(service, metered) <= 10.0
