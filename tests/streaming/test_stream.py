"""`WS /v1/audio/stream` of a running service, met by the `websockets` client."""

import numpy as np
import pytest

from tests.engines.speech import said, silence
from tests.streaming.serving import Client, chunks, connected, pcm16

SENTENCE = "The library closes early today because of the public holiday."


def two_sentences():
    gap = silence(1.5)
    return np.concatenate([gap, said(SENTENCE), gap, said("Good morning to you."), gap])


async def test_each_sentence_becomes_a_final_with_its_times(service):
    async with connected(service.url) as line:
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
