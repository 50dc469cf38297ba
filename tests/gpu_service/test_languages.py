"""A recording in three languages: each segment has its own (real Whisper)."""

import tempfile

import numpy as np
import pytest

from gpu_service.decoding.decoder import Decoder
from gpu_service.engines.registry import EngineSettings
from gpu_service.hearing.ears import LocalEars
from gpu_service.hosting.host import EngineHost
from gpu_service.serving.server import Server
from shared.domain.answers import Task
from shared.domain.sound import Limits
from shared.domain.spoken import language, spoken
from shared.domain.wishes import Wishes
from shared.flows.ask import Ask
from tests.engines.speech import SENTENCES, pronounced, said, silence, slowly
from tests.sounds import wav

SPANISH = (
    "Mañana por la mañana viajaremos en tren hasta la ciudad de Sevilla."
    " Los niños salieron temprano de la escuela porque llovía mucho."
)
FRENCH = (
    "Nous partirons demain matin pour visiter la montagne avec nos amis."
    " Le boulanger ouvre sa boutique avant le lever du soleil."
)


@pytest.fixture
def ears(tmp_path):
    decoder = Decoder(processes=1)
    server = Server(EngineHost("whisper", EngineSettings(kind="whisper"), cache=tmp_path))
    decoder.start()
    server.start()
    yield LocalEars(decoder, {"whisper": server}, tmp_path)
    server.stop()
    decoder.stop()


@pytest.mark.whisper
def test_each_segment_has_its_own_language_and_the_recording_that_of_most(ears):
    rest = silence(2.6)
    parts = [
        said(" ".join(SENTENCES[:2])),
        pronounced(SPANISH, "es"),
        said(" ".join(SENTENCES[2:4]), "rms"),
        slowly(FRENCH, "fr-be+m4"),
    ]
    assert all(part.size > 6 * 16_000 for part in parts)
    with tempfile.TemporaryFile() as file:
        file.write(wav(np.concatenate([p for part in parts for p in (rest, part)])))
        file.seek(0)
        opened = ears.open(
            file, tenant="demo", wishes=Wishes(), limits=Limits(300, 10**8), alive=lambda: None
        )

        with opened as hearing:
            decided = Ask()(hearing, Task.TRANSCRIBE, hearing.survey.speech, ["whisper"])
            told = spoken(hearing.survey, decided)

    assert [d.answer.language for d in decided] == ["en", "es", "en", "fr"]
    assert language(told) == "en"
