"""Frames of any legal kind become the samples the decoder would give for the same file."""

import tempfile

import numpy as np
import pytest
import soundfile

from gpu_service.decoding.decoder import Decoder
from gpu_service.streaming.protocol import Config, Encoding
from gpu_service.streaming.samples import Intake
from shared.domain.sound import Limits
from shared.errors import GarbageInStream
from tests.engines.speech import said, tone
from tests.streaming.serving import chunks, pcm16

#: The decoder mixes 16-bit sound in 16 bit, a stream in float: one step of the former apart.
STEP = 1 / 32768


@pytest.fixture(scope="module")
def decoder():
    made = Decoder(processes=1)
    made.start()
    yield made
    made.stop()


def decoded(decoder, samples, rate):
    with tempfile.TemporaryFile() as file:
        soundfile.write(file, samples, rate, "PCM_16", format="WAV")
        with decoder.open(file, tenant="t", limits=Limits(60, 10**8)) as decoding:
            return np.concatenate([block[0] for block in decoding])


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000, 96_000])
def test_a_stream_sounds_as_its_file_would(decoder, rate):
    samples = np.stack([tone(1.0, 440), tone(1.0, 700)], axis=1)
    frames = chunks(pcm16(samples), rate // 100 * 4)
    intake = Intake(Config(sample_rate=rate, channels=2, chunk_ms=10))

    streamed = np.concatenate([*map(intake.take, frames), intake.rest()])

    as_file = np.frombuffer(pcm16(samples), "<i2").reshape(-1, 2)
    expected = decoded(decoder, as_file, rate)
    assert abs(streamed.size - expected.size) <= 1
    n = min(streamed.size, expected.size)
    np.testing.assert_allclose(streamed[:n], expected[:n], atol=STEP)
    assert intake.received == 16_000


def test_overlap_is_skipped_also_in_a_short_last_chunk():
    config = Config(chunk_ms=100, overlap_ms=25)
    sound = pcm16(said("Hello."))
    frames = [sound[at : at + 3200] for at in range(0, len(sound) - 800, 2400)]
    intake = Intake(config)

    heard = np.concatenate([intake.take(f) for f in frames])

    np.testing.assert_array_equal(heard, np.frombuffer(sound, "<i2") / np.float32(32768))
    assert not intake.mismatched


def test_a_frame_shorter_than_the_overlap_is_none():
    intake = Intake(Config(overlap_ms=25))
    intake.take(bytes(3200))

    with pytest.raises(GarbageInStream):
        intake.take(bytes(798))


def test_what_is_beyond_full_scale_is_clipped():
    frame = np.array([3.0, -3.0, 0.5, 1e38], "<f4").tobytes()

    heard = Intake(Config(encoding=Encoding.FLOAT32)).take(frame)

    np.testing.assert_array_equal(heard, np.array([1.0, -1.0, 0.5, 1.0], np.float32))


def test_a_refused_frame_leaves_nothing_behind():
    intake = Intake(Config(encoding=Encoding.FLOAT32))

    with pytest.raises(GarbageInStream):
        intake.take(np.array([0.1, np.nan], "<f4").tobytes())

    assert intake.received == 0
