"""An engine in a loop, heard through real ears: cut, said, and missing from the coverage."""

import tempfile
from pathlib import Path

import pytest

from gpu_service.decoding.decoder import Decoder
from gpu_service.engines.registry import EngineSettings
from gpu_service.hearing.ears import LocalEars
from gpu_service.hosting.host import EngineHost
from gpu_service.serving.server import Server
from gpu_service.streaming.asking import heard
from shared.domain.answers import Task
from shared.domain.coverage import covered
from shared.domain.repetition import REPETITION_CUT
from shared.domain.sound import Limits
from shared.domain.wishes import Wishes
from tests.engines.speech import clip, said
from tests.sounds import speech

TEXT = (
    "The weather report promised heavy rain along the coast, so the train was delayed because a"
    " tree had fallen across the tracks, and nobody remembered where the keys were kept."
)


@pytest.fixture(scope="module")
def ears(tmp_path_factory):
    decoder = Decoder(processes=1)
    decoder.start()
    settings = EngineSettings(kind="tests.engines.circler:Circler")
    server = Server(EngineHost("circler", settings, cache=Path("unused")))
    server.start()
    yield LocalEars(decoder, {"circler": server}, tmp_path_factory.mktemp("spool"))
    server.stop()
    decoder.stop()


def test_a_loop_is_cut_said_and_uncovered(ears):
    with tempfile.TemporaryFile() as sound:
        sound.write(speech(TEXT))
        sound.seek(0)
        limits = Limits(max_seconds=300, max_bytes=10**8)
        with ears.open(
            sound, tenant="demo", wishes=Wishes(), limits=limits, alive=lambda: None
        ) as hearing:
            [segment] = hearing.survey.speech
            [answer] = hearing.ask("circler", Task.TRANSCRIBE, [segment])
            share = covered(answer, segment, hearing.survey)

    assert answer.text == "Hello there. thank you all"
    assert answer.cautions == (REPETITION_CUT,)
    assert [word.text for word in answer.words] == answer.text.split()
    assert share < 0.5


def test_a_stream_is_cut_too(ears):
    answer, _ = heard(ears.servers, ["circler"], clip(said(TEXT)))

    assert answer.cautions == (REPETITION_CUT,)
