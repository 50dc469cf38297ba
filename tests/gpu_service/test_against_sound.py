"""An engine in a loop, heard through real ears: cut, said, and missing from the coverage."""

import tempfile
from pathlib import Path

import numpy as np
import pytest

from gpu_service.decoding.decoder import Decoder
from gpu_service.engines.engine import Capabilities
from gpu_service.engines.registry import EngineSettings
from gpu_service.hearing.against_sound import checked
from gpu_service.hearing.ears import LocalEars
from gpu_service.hosting.host import EngineHost
from gpu_service.serving.server import Server
from gpu_service.streaming.asking import heard
from shared.domain.answers import Answer, Task, Word
from shared.domain.coverage import covered
from shared.domain.repetition import REPETITION_CUT
from shared.domain.result import TranscriptSegment, TranscriptWord
from shared.domain.sound import SAMPLE_RATE, Limits
from shared.domain.subtitles import cues
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


def test_subtitles_stand_where_the_sound_is_not_where_the_engine_put_the_words():
    """An engine that stretches its words over a pause of three seconds, as attention does."""
    t = np.arange(6 * SAMPLE_RATE) / SAMPLE_RATE
    loud = ((t >= 0.5) & (t < 1.3)) | ((t >= 4.3) & (t < 5.2))
    sound = (0.3 * np.sin(2 * np.pi * 220 * t) * loud).astype(np.float32)
    told = (Word(0.0, 2.4, "Yes.", 0.9), Word(2.4, 5.0, "Certainly.", 0.9))
    answer = Answer("x", Task.TRANSCRIBE, "Yes. Certainly.", words=told)

    words = checked(answer, clip(sound), Capabilities(frozenset(), 28.0)).words
    first, second = cues([segment_of(words)])

    assert (first.start_s, second.start_s) == pytest.approx((0.5, 4.3), abs=0.02)
    assert first.end_s == pytest.approx(1.3333, abs=0.02)  # no longer than it takes to read
    assert second.end_s == pytest.approx(5.2, abs=0.02)


def segment_of(words):
    timed = tuple(
        TranscriptWord(start_s=w.start_s, end_s=w.end_s, text=w.text, confidence=None, source="x")
        for w in words
    )
    return TranscriptSegment(
        start_s=0.0,
        end_s=6.0,
        channel=None,
        language=None,
        text=" ".join(w.text for w in words),
        confidence=None,
        words=timed,
    )


def test_a_stream_is_cut_too(ears):
    answer, _ = heard(ears.servers, ["circler"], clip(said(TEXT)))

    assert answer.cautions == (REPETITION_CUT,)
