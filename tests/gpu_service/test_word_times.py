"""Words in time over the audio API: a service with an aligner, asked as the gateway asks."""

import json

import httpx
import pytest

from tests.sounds import speech
from tests.streaming.conftest import given
from tests.streaming.serving import running, vouched

SOUND = speech("Good morning to you all.")
#: Places words evenly, and knows Spanish only.
ALIGNER = {"kind": "tests.gpu_service.reciter:Reciter"}
CASCADE = {"transcribe": ["mute_about_time"], "classify": [], "align": ["reciter"]}
#: Says a text and no times.
ORACLE = {"kind": "tests.gpu_service.oracle:Oracle"}


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    engines = {"reciter": ALIGNER, "mute_about_time": ORACLE}
    with running(given(home, cascade=CASCADE, engines=engines)) as up:
        yield up


@pytest.fixture
def hear(service):
    def ask(**wanted):
        return httpx.post(
            f"http://{service.address}/v1/audio/transcriptions",
            files={"file": ("a.wav", SOUND)},
            data={"model": "whisper-1", **wanted},
            headers=vouched(service.app.state.house.settings),
            timeout=60,
        )

    return ask


@pytest.fixture
def placed(service):
    """How many clips the aligner was given so far."""
    return lambda: service.app.state.house.servers["reciter"].figures.clips


def test_words_without_times_get_them(hear):
    wanted = {"response_format": "verbose_json", "timestamp_granularities[]": "word"}

    heard = hear(language="es", **wanted).json()

    assert [w["word"] for w in heard["words"]] == heard["text"].split()
    starts = [w["start"] for w in heard["words"]]
    assert len(starts) == 3
    assert starts == sorted(set(starts))
    assert "warnings" not in heard


def test_words_of_a_language_nobody_places_have_none(hear):
    wanted = {"response_format": "verbose_json", "timestamp_granularities[]": "word"}

    assert hear(language="en", **wanted).json()["words"] == []


def test_streamed_segments_are_placed_too(hear, placed):
    before = placed()

    body = hear(language="es", response_format="diarized_json", stream="true").text

    events = [json.loads(line[6:]) for line in body.splitlines() if line.startswith("data: ")]
    [segment] = [e for e in events if e["type"] == "transcript.text.segment"]
    assert placed() - before == 1
    whole = hear(language="es", response_format="diarized_json").json()
    assert (segment["start"], segment["end"]) == (
        whole["segments"][0]["start"],
        whole["segments"][0]["end"],
    )
    assert events[-1]["text"] == segment["text"]


@pytest.mark.parametrize(("format", "more"), [("json", 0), ("text", 0), ("srt", 1), ("vtt", 1)])
def test_nobody_places_words_whose_times_are_not_told(hear, placed, format, more):
    before = placed()

    assert hear(language="es", response_format=format).status_code == 200

    assert placed() - before == more
