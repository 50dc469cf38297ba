"""`POST /v1/analyses` of a running app: several files, several operations, each by itself."""

from contextlib import asynccontextmanager

import httpx
import pytest

from gpu_service.main import create_app
from shared.domain.answers import Task
from shared.domain.confidence import written
from tests.flows.sure import figures, sure_of
from tests.sounds import silence_wav, speech, tone_wav
from tests.streaming.conftest import given
from tests.streaming.serving import vouched

SPEECH = speech("Good morning to you, this is a test of several operations on one recording.")
LONG = tone_wav(8.0)
CASCADE = {"transcribe": ["echo"], "classify": ["echo"], "describe": ["oracle"]}


ORACLE = {"checkpoint": "oracle/1"}


def oracle(**options):
    return {"kind": "tests.gpu_service.oracle:Oracle", "options": options}


@asynccontextmanager
async def serving(home, engine=None, cascade=None, **more):
    settings = given(
        home,
        cascade=CASCADE | {"answer": ["oracle"]} | (cascade or {}),
        engines={"oracle": engine or oracle()},
        **more,
    )
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        headers = vouched(settings)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://service", headers=headers, timeout=60
        ) as client:
            client.house = app.state.house
            yield client


async def analysed(client, *sounds, **fields):
    files = [("file", (f"{n}.wav", sound)) for n, sound in enumerate(sounds)]
    return await client.post("/v1/analyses", files=files, data=fields)


async def test_one_file_is_asked_all_four_operations(tmp_path):
    async with serving(tmp_path) as client:
        answer = await analysed(
            client,
            LONG,
            operations="transcribe, classify,describe,answer",
            question="Who speaks?",
        )

    body = answer.json()
    [one] = body["data"]
    assert answer.status_code == 200 and one["error"] is None
    assert one["audio"] == {"container": "wav", "codec": "pcm_s16le", "duration_s": 8.0}
    assert list(one["results"]) == ["transcribe", "classify", "describe", "answer"]
    assert one["results"]["answer"]["text"] == "Who speaks? 8.0"
    assert one["results"]["describe"]["text"] == "somebody speaks 8.0"
    assert (body["object"], body["accept_at"]) == ("list", 0.85)
    assert body["versions"]["oracle"] == "checkpoint=oracle/1 heard=against_sound/1"


@pytest.mark.parametrize(("confidence", "accepted"), [(0.8501, True), (0.8499, False)])
async def test_accepted_is_said_where_confidence_is_calibrated(tmp_path, confidence, accepted):
    """The seeds' 0.85."""
    (tmp_path / "calibrations").mkdir()
    known = written(sure_of(ORACLE, Task.DESCRIBE))
    (tmp_path / "calibrations" / "oracle.json").write_bytes(known)
    async with serving(tmp_path, oracle(signals=figures(confidence))) as client:
        answer = await analysed(client, LONG, operations="describe")

    said = answer.json()["data"][0]["results"]["describe"]
    assert (round(said["confidence"], 4), said["accepted"]) == (confidence, accepted)
    assert said["segments"][0]["accepted"] is accepted


async def test_a_raw_score_is_no_confidence_and_meets_no_bar(tmp_path):
    async with serving(tmp_path) as client:
        answer = await analysed(client, LONG, operations="describe")

    said, accepted = answer.json()["data"][0]["results"]["describe"], None
    assert (said["confidence"], said["calibrated"], said["accepted"]) == (None, False, None)
    assert said["segments"][0]["accepted"] is accepted


async def test_each_file_of_a_batch_is_answered_or_fails_apart(tmp_path):
    async with serving(tmp_path) as client:
        answer = await analysed(
            client, SPEECH, b"no sound at all", silence_wav(6.0), operations="transcribe"
        )

    first, second, third = answer.json()["data"]
    assert answer.status_code == 200
    assert first["results"]["transcribe"]["text"].startswith("echo")
    assert second["error"]["code"] == "not_audio" and second["results"] == {}
    assert (second["error"]["retry_count"], second["error"]["recoverable"]) == (0, False)
    assert third["results"]["transcribe"]["text"] == ""
    assert [f["file"] for f in (first, second, third)] == ["0.wav", "1.wav", "2.wav"]


async def test_too_short_to_describe_is_still_transcribed(tmp_path):
    async with serving(tmp_path) as client:
        short = await analysed(client, tone_wav(4.9), operations="describe,transcribe")
        fits = await analysed(client, tone_wav(5.0), operations="describe")

    results = short.json()["data"][0]["results"]
    assert results["transcribe"]["error"] is None
    assert results["describe"]["error"]["code"] == "audio_too_short"
    assert fits.json()["data"][0]["results"]["describe"]["error"] is None


async def test_the_lengths_of_an_operation_are_a_setting(tmp_path):
    async with serving(tmp_path, analysis_seconds={"describe": [0.0, 7.0]}) as client:
        answer = await analysed(client, LONG, tone_wav(1.0), operations="describe")

    first, second = (one["results"]["describe"]["error"] for one in answer.json()["data"])
    assert (first["code"], second) == ("audio_too_long", None)


async def test_an_operation_that_fails_leaves_the_others_standing(tmp_path):
    async with serving(tmp_path, oracle(silent=True)) as client:
        answer = await analysed(client, LONG, operations=["describe", "classify"])

    results = answer.json()["data"][0]["results"]
    error = results["describe"]["error"]
    assert results["classify"]["error"] is None
    assert error["code"] == "engine_unavailable"
    assert (error["retry_count"], error["recoverable"]) == (1, True)
    assert set(error) == {"message", "type", "param", "code", "retry_count", "recoverable"}


async def test_an_operation_without_an_engine_names_the_setting(tmp_path):
    async with serving(tmp_path, cascade={"describe": []}) as client:
        answer = await analysed(client, LONG, operations="describe,transcribe")

    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (
        *(422, "no_engine_set"),
        "operations",
    )
    assert "EARWITNESS_CASCADE__DESCRIBE" in error["message"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "operations"),
        ({"operations": "sing"}, "operations"),
        ({"operations": "answer"}, "question"),
        ({"operations": "answer", "question": "  "}, "question"),
        ({"operations": "classify", "question": "Why?"}, "question"),
        ({"operations": "answer", "question": "x" * 4001}, "question"),
        ({"operations": "transcribe", "language": "English"}, "language"),
        ({"operations": "transcribe", "mood": "good"}, "mood"),
    ],
)
async def test_a_request_that_is_wrong_says_where(tmp_path, fields, param):
    async with serving(tmp_path) as client:
        answer = await analysed(client, LONG, **fields)

    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, "invalid_request", param)


async def test_one_file_that_cannot_be_heard_is_an_error_of_the_request(tmp_path):
    async with serving(tmp_path) as client:
        answer = await analysed(client, b"nothing", operations="transcribe")

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "not_audio"


async def test_more_files_or_bytes_than_are_taken_are_refused_at_once(tmp_path):
    async with serving(tmp_path, analysis_files=2, api_max_bytes=100_000) as client:
        many = await analysed(client, b"a", b"b", b"c", operations="transcribe")
        large = await analysed(client, LONG, operations="transcribe")
        none = await client.post("/v1/analyses", json={})

    assert (many.status_code, many.json()["error"]["code"]) == (400, "invalid_request")
    assert (large.status_code, large.json()["error"]["code"]) == (413, "body_too_large")
    assert none.status_code == 415


async def test_a_language_the_engine_does_not_know_is_refused(tmp_path):
    spanish = oracle(languages=["es"])
    async with serving(tmp_path, spanish, {"transcribe": ["oracle"]}) as client:
        refused = await analysed(client, LONG, operations="transcribe", language="en")
        known = await analysed(client, LONG, operations="transcribe", language="es")

    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "language")
    assert known.status_code == 200


async def test_only_the_gateway_may_ask(tmp_path):
    async with serving(tmp_path) as client:
        client.headers["authorization"] = "Bearer x"
        answer = await analysed(client, LONG, operations="transcribe")

    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forged_ticket")


async def test_what_was_asked_stands_in_the_metrics(tmp_path):
    async with serving(tmp_path) as client:
        await analysed(client, LONG, operations="describe")
        told = (await client.get("/metrics")).text

    assert 'earwitness_decisions_total{engine="oracle",task="describe",verdict="accept"} 1' in told
    assert 'earwitness_http_requests_total{route="analyses",status="2xx"} 1' in told
