"""OpenAI's own Python client, unmodified, against a running gateway and service."""

import json
import subprocess
from math import exp

import numpy as np
import openai
import pytest
import srt
import webvtt
from openai import AsyncOpenAI, OpenAI

from shared.domain.api_keys import id_of
from tests.gateway.listening import MAX_BYTES, MAX_SECONDS, Listener
from tests.journeys.running import EARWITNESS
from tests.sounds import silence_wav, speech, tone_wav, wav

SAID = "The cat sat on the mat."
#: Two stretches of speech, too far apart to be one segment.
APART_S = 30.0


@pytest.fixture(scope="module")
def up(tmp_path_factory):
    home = tmp_path_factory.mktemp("openai") / "home"
    home.mkdir()
    running = Listener(home)
    try:
        yield running.start()
    finally:
        running.end()


@pytest.fixture
def client(up):
    """Whoever sits at the machine needs no key, but the client cannot be made without one."""
    with OpenAI(base_url=up.url, api_key="unused", max_retries=0) as made:
        yield made


@pytest.fixture
async def async_client(up):
    async with AsyncOpenAI(base_url=up.url, api_key="unused", max_retries=0) as made:
        yield made


@pytest.fixture(scope="module")
def sound():
    return speech(SAID)


@pytest.fixture
def hear(client, sound):
    def ask(content=None, model="echo", **wanted):
        file = ("said.wav", content or sound)
        return client.audio.transcriptions.create(file=file, model=model, **wanted)

    return ask


@pytest.fixture(scope="module")
def twice(sound):
    """Speech, half a minute of nothing, speech again."""
    samples = np.frombuffer(sound[44:], dtype="<i2") / 32768
    return wav(np.concatenate([samples, np.zeros(int(APART_S * 16_000)), samples]))


def test_json_is_the_default(hear):
    heard = hear()

    assert heard.text.startswith("echo ")
    assert heard.usage.type == "duration"
    assert heard.usage.seconds == pytest.approx(float(heard.text.split()[1]), abs=0.02)


async def test_the_async_client_hears_the_same(async_client, hear, sound):
    heard = await async_client.audio.transcriptions.create(file=("a.wav", sound), model="echo")

    assert heard.text == hear().text


@pytest.mark.parametrize("model", ["whisper-1", "gpt-4o-transcribe", "gpt-transcribe"])
def test_openais_models_mean_the_cascade_and_the_answer_says_who_answered(client, sound, model):
    answer = client.audio.transcriptions.with_raw_response.create(
        file=("said.wav", sound), model=model
    )

    assert answer.headers["x-earwitness-engine"] == "echo"
    assert answer.parse().text.startswith("echo ")


def test_text_is_plain(hear):
    assert hear(response_format="text") == f"{hear().text}\n"


def test_srt_is_read_by_srt(hear):
    cues = list(srt.parse(hear(response_format="srt")))

    assert " ".join(cue.content for cue in cues) == hear().text
    assert cues[0].end > cues[0].start


def test_vtt_is_read_by_webvtt(hear):
    captions = list(webvtt.from_string(hear(response_format="vtt")))

    assert " ".join(caption.text for caption in captions) == hear().text


@pytest.mark.parametrize(
    ("asked", "words", "segments"),
    [
        ({}, False, True),
        ({"timestamp_granularities": ["segment"]}, False, True),
        ({"timestamp_granularities": ["word"]}, True, False),
        ({"timestamp_granularities": ["word", "segment"]}, True, True),
    ],
)
def test_verbose_json_has_what_was_asked_for(hear, asked, words, segments):
    heard = hear(response_format="verbose_json", **asked)

    assert (heard.words is not None, heard.segments is not None) == (words, segments)
    assert heard.duration == pytest.approx(heard.usage.seconds)
    for word in heard.words or ():
        assert 0.0 <= word.start <= word.end <= heard.duration + 0.01
    for segment in heard.segments or ():
        assert (segment.text, segment.id) == (heard.text, 0)
        assert segment.avg_logprob is None  # echo is sure of nothing, and no figure is made up


def test_diarized_json_has_one_speaker_and_says_so(hear):
    heard = hear(response_format="diarized_json", chunking_strategy="auto")

    assert {segment.speaker for segment in heard.segments} == {"A"}
    assert [w["code"] for w in heard.warnings] == ["one_speaker"]


def test_a_stream_tells_each_segment_and_then_all(hear, twice):
    *deltas, done = hear(twice, stream=True)

    assert len(deltas) == 2
    assert {event.type for event in deltas} == {"transcript.text.delta"}
    assert done.type == "transcript.text.done"
    assert "".join(event.delta for event in deltas) == done.text
    assert done.text.count("echo") == 2
    assert done.usage.seconds > APART_S


async def test_a_stream_of_speakers_has_segments(async_client, twice):
    stream = await async_client.audio.transcriptions.create(
        file=("a.wav", twice), model="echo", stream=True, response_format="diarized_json"
    )

    segments = [e async for e in stream if e.type == "transcript.text.segment"]

    assert [(s.id, s.speaker) for s in segments] == [("seg_0", "A"), ("seg_1", "A")]
    assert segments[1].start > APART_S > segments[0].end


def test_probabilities_nobody_has_are_not_made_up(client, sound):
    answer = client.audio.transcriptions.with_raw_response.create(
        file=("said.wav", sound), model="echo", include=["logprobs"]
    )

    assert answer.parse().logprobs is None
    assert answer.headers["x-earwitness-logprobs"] == "none"
    assert answer.headers["x-earwitness-warnings"] == "logprobs_unknown"


@pytest.mark.whisper
def test_whisper_gives_words_times_and_probabilities(client, sound):
    answer = client.audio.transcriptions.with_raw_response.create(
        file=("said.wav", sound), model="whisper", include=["logprobs"], language="en"
    )
    verbose = client.audio.transcriptions.create(
        file=("said.wav", sound),
        model="whisper",
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
    )

    heard = answer.parse()
    assert answer.headers["x-earwitness-logprobs"] == "words"
    assert "on the mat" in heard.text.lower()
    assert "".join(entry.token for entry in heard.logprobs) == heard.text
    assert all(0.0 < exp(entry.logprob) <= 1.0 for entry in heard.logprobs)
    assert bytes(int(b) for b in heard.logprobs[0].bytes).decode() == heard.logprobs[0].token
    assert [language.code for language in heard.languages] == ["en"]
    assert verbose.language == "en"
    assert [w.word for w in verbose.words] == verbose.text.split()
    starts = [w.start for w in verbose.words]
    assert starts == sorted(starts)
    assert verbose.segments[0].avg_logprob < 0.0


def test_what_an_engine_ignores_is_said(hear):
    heard = hear(prompt="Kathryn", temperature=0.5)

    assert [w["code"] for w in heard.warnings] == ["prompt_ignored", "temperature_ignored"]


@pytest.mark.whisper
def test_a_prompt_says_how_names_are_written(client):
    file = ("said.wav", speech("Please ask Catherine to call Sean back before noon."))

    heard = client.audio.transcriptions.create(
        file=file, model="whisper", language="en", prompt="A note for Cathryn and Shaun."
    )

    assert heard.text.startswith("Please ask Cathryn to call Shaun back")
    assert "prompt_ignored" not in [w["code"] for w in getattr(heard, "warnings", ())]


@pytest.mark.parametrize("format", ["json", "verbose_json", "diarized_json"])
def test_silence_is_an_empty_transcript(hear, format):
    heard = hear(silence_wav(2.0), response_format=format)

    assert heard.text == ""
    assert heard.usage.seconds == pytest.approx(2.0, abs=0.01)


def test_silence_streams_its_end(hear):
    [done] = hear(silence_wav(2.0), stream=True)

    assert (done.type, done.text) == ("transcript.text.done", "")


def test_models_are_the_engines(client):
    found = {model.id: model for model in client.models.list()}

    assert {"echo", "whisper", "sounds"} <= set(found)
    assert {model.owned_by for model in found.values()} == {"earwitness"}
    assert "transcribe" in found["whisper"].tasks
    assert client.models.retrieve("echo").aliases == found["echo"].aliases
    assert client.models.retrieve("whisper-1").id == "echo"


WRONG = [
    ({"model": "sounds"}, "model"),
    ({"response_format": "yaml"}, "response_format"),
    ({"temperature": 1.5}, "temperature"),
    ({"language": "English"}, "language"),
    ({"timestamp_granularities": ["word"]}, "timestamp_granularities"),
    ({"response_format": "srt", "stream": True}, "stream"),
    ({"response_format": "text", "include": ["logprobs"]}, "include"),
    ({"chunking_strategy": "never"}, "chunking_strategy"),
    ({"prompt": "x" * 4_001}, "prompt"),
    ({"extra_body": {"colour": "red"}}, "colour"),
    ({"languages": ["en", "??"]}, "languages"),
    ({"languages": ["en"], "language": "es"}, "languages"),
    ({"content": b"no sound at all"}, "file"),
    ({"content": tone_wav(1.0)[:30]}, "file"),
]


@pytest.mark.parametrize(("wrong", "param"), WRONG, ids=[str(w)[:40] for w, _ in WRONG])
def test_what_is_wrong_is_a_bad_request_that_names_it(hear, wrong, param):
    with pytest.raises(openai.BadRequestError) as refused:
        hear(**wrong)

    assert refused.value.param == param
    assert refused.value.type == "invalid_request_error"
    assert refused.value.body["message"]


def test_an_empty_file_is_a_bad_request(client):
    with pytest.raises(openai.BadRequestError) as refused:
        client.audio.transcriptions.create(file=("a.wav", b""), model="echo")

    assert refused.value.code == "empty_audio"


def test_an_unknown_model_is_not_found(hear, client):
    with pytest.raises(openai.NotFoundError) as refused:
        hear(model="nobody")
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nobody")

    assert (refused.value.code, refused.value.param) == ("model_not_found", "model")


def test_too_long_is_refused_with_the_way_that_takes_it(hear):
    with pytest.raises(openai.APIStatusError) as refused:
        hear(tone_wav(MAX_SECONDS + 1, rate=8_000))

    assert (refused.value.status_code, refused.value.code) == (413, "audio_too_long")
    assert "POST /v1/uploads" in refused.value.message


@pytest.mark.parametrize("over", [1, 4 << 20])
def test_too_large_is_refused_with_the_way_that_takes_it(hear, over):
    """By the service just above its limit, by the gateway where the form is too large already."""
    with pytest.raises(openai.APIStatusError) as refused:
        hear(b"x" * (MAX_BYTES + over))

    assert refused.value.status_code == 413
    assert "POST /v1/uploads" in refused.value.message


@pytest.mark.filterwarnings("ignore:deprecated")
def test_nothing_translates_and_that_is_said(client, sound):
    with pytest.raises(openai.BadRequestError, match="No engine here translates"):
        client.audio.translations.create(file=("a.wav", sound), model="whisper-1")


def test_a_key_opens_until_it_is_revoked(up, sound):
    key = earwitness(up, "keys", "new", "--name", "test").strip()
    with OpenAI(base_url=up.url, api_key=key, max_retries=0) as holder:
        heard = holder.audio.transcriptions.create(file=("a.wav", sound), model="echo")
        earwitness(up, "keys", "revoke", id_of(key))
        with pytest.raises(openai.AuthenticationError) as refused:
            holder.audio.transcriptions.create(file=("a.wav", sound), model="echo")

    assert heard.text.startswith("echo ")
    assert refused.value.code == "invalid_api_key"


def test_a_wrong_key_is_not_taken_for_none(up):
    with (
        OpenAI(base_url=up.url, api_key="ew_wrong", max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError),
    ):
        stranger.models.list()


def test_a_key_that_may_look_may_not_have_heard(up, sound):
    key = json.loads(earwitness(up, "keys", "new", "--scope", "read", "--json"))["key"]
    with OpenAI(base_url=up.url, api_key=key, max_retries=0) as reader:
        assert list(reader.models.list())
        with pytest.raises(openai.PermissionDeniedError):
            reader.audio.transcriptions.create(file=("a.wav", sound), model="echo")


def earwitness(up, *words):
    done = subprocess.run(
        [EARWITNESS, *words], env=up.environment, capture_output=True, text=True, check=True
    )
    return done.stdout
