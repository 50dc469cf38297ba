"""An engine that loses words is caught by two detectors, and the next one is asked."""

import io
import json

import numpy as np
import pytest

from gpu_service.decoding.decoder import Decoder
from gpu_service.engines.registry import EngineSettings
from gpu_service.hearing.ears import LocalEars
from gpu_service.hosting.host import EngineHost
from gpu_service.serving.server import Server
from shared.domain.answers import Task
from shared.domain.lanes import Lane
from shared.flows.work import Settled
from tests.builders import placed, recording
from tests.engines.speech import SENTENCES, VOICES, said, silence
from tests.flows.test_work import work
from tests.sounds import wav

LANES = (Lane.HIGH, Lane.LOW)
LOSES = ("third_segments", "last_thirds", "word_times", "nothing")


@pytest.fixture(scope="module")
def nine_segments():
    """Nine sentences, each further from the next than a segment bridges."""
    rest = silence(3.0)
    spoken = zip(SENTENCES[:9], VOICES * 3, strict=False)
    return wav(np.concatenate([p for text, voice in spoken for p in (rest, said(text, voice))]))


@pytest.fixture
def ears(tmp_path):
    decoder = Decoder(processes=1)
    decoder.start()
    kinds = {
        loses: EngineSettings(kind="tests.engines.forgetful:Forgetful", options={"loses": loses})
        for loses in LOSES
    } | {"echo": EngineSettings(kind="echo")}
    servers = {name: Server(EngineHost(name, kind, cache=tmp_path)) for name, kind in kinds.items()}
    for server in servers.values():
        server.start()
    yield LocalEars(decoder, servers, tmp_path)
    for server in servers.values():
        server.stop()
    decoder.stop()


def heard(store, ears, sound, *engines):
    """The result of a whole ticket's work."""
    up = store.inlet.put(
        "uploads/acme/1.wav",
        io.BytesIO(sound),
        content_type="",
        metadata={},
        at=recording().updated_at,
    )
    store.recordings.create_or_get(recording(1, generation=up.generation), lambda _: placed())
    assert work(store, ears, cascade={Task.TRANSCRIBE: engines})(LANES) is Settled.DONE
    return json.loads(store.results.load(store.recordings.get("rec00001").result, "result.json"))


@pytest.mark.parametrize(
    ("loses", "caught"),
    [
        ("third_segments", [2, 5, 8]),
        ("last_thirds", list(range(9))),
        ("word_times", list(range(9))),
        ("nothing", []),
    ],
)
def test_what_an_engine_loses_the_next_one_is_asked_for(
    store,
    ears,
    nine_segments,
    loses,
    caught,
):
    result = heard(store, ears, nine_segments, loses, "echo")

    steps = [s for s in result["decisions"] if s["engine"] == loses]
    assert len(steps) == 9
    assert [s["segment"] for s in steps if s["reason"] == "coverage"] == caught
    assert [s["segment"] for s in result["decisions"] if s["engine"] == "echo"] == caught
    assert result["transcript"]["coverage"] >= 0.99
    assert result["review"] is False


def test_without_another_engine_it_is_said_and_a_person_looks(
    store,
    ears,
    nine_segments,
):
    result = heard(store, ears, nine_segments, "third_segments")

    assert result["review"] is True
    assert 0.6 < result["transcript"]["coverage"] < 0.9
    [told] = [w for w in result["warnings"] if w["code"] == "speech_unaccounted"]
    assert told["message"].count("-") == 3
