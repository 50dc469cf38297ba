"""The real engine: a stream says the words that its file says."""

import tempfile

import numpy as np
import pytest

from shared.domain.answers import Task
from shared.domain.sound import Limits
from shared.domain.wishes import Wishes
from tests.engines.speech import normal, said, silence
from tests.sounds import wav
from tests.streaming.conftest import given
from tests.streaming.serving import Client, chunks, connected, pcm16, running

pytestmark = pytest.mark.whisper
SENTENCE = "The weather report promised heavy rain and strong winds along the coast."


async def test_ten_milliseconds_at_a_time_say_what_the_file_says(tmp_path):
    sound = np.concatenate([silence(1.0), said(SENTENCE), silence(1.0)])
    with running(given(tmp_path, cascade={"transcribe": ["whisper"], "classify": []})) as up:
        async with connected(up) as line:
            client = Client(line)
            await client.open(chunk_ms=10, language="en", interim=False)
            await client.send(chunks(pcm16(sound), 320))
            await client.end()
            await client.rest()
        as_file = heard(up.app.state.house, wav(sound))

    [final] = client.of("final")
    assert normal(final["text"]) == normal(as_file.text) == normal(SENTENCE)
    ours, theirs = ([w["start_s"] for w in final["words"]], [w.start_s for w in as_file.words])
    assert ours == pytest.approx(theirs, abs=0.15)


def heard(house, content):
    with tempfile.TemporaryFile() as file:
        file.write(content)
        opened = house.work.ears.open(
            file,
            tenant="demo",
            wishes=Wishes(language="en"),
            limits=Limits(60, 10**8),
            alive=lambda: None,
        )
        with opened as hearing:
            [answer] = hearing.ask("whisper", Task.TRANSCRIBE, hearing.survey.speech)
    return answer
