"""The quality of a recording, against its definitions and against pyloudnorm."""

import numpy as np
import pyloudnorm
import pytest

from gpu_service.hearing.quality import QualityMeter

RATE = 16_000
RANDOM = np.random.default_rng(11)


def measured(signal, block=RATE):
    meter = QualityMeter()
    for start in range(0, len(signal), block):
        meter.add(signal[start : start + block].astype("f4"))
    return meter.result()


def tone(amplitude, seconds, hz=997):
    return amplitude * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)


SIGNALS = {
    "tone": tone(0.5, 5),
    "quiet-tone": tone(0.001, 5),
    "noise": 0.1 * RANDOM.standard_normal(RATE * 7),
    "loud-then-quiet": np.concatenate([tone(0.8, 4), tone(0.01, 8)]),
    "speech-like": 0.3 * RANDOM.standard_normal(RATE * 9) * (np.arange(RATE * 9) // 8000 % 3 > 0),
    "half-a-second": tone(0.3, 0.5),
    "odd-length": tone(0.3, 3.0377),
}


@pytest.mark.parametrize("block", [RATE, 777], ids=["seconds", "odd-blocks"])
@pytest.mark.parametrize("signal", SIGNALS.values(), ids=SIGNALS)
def test_loudness_is_that_of_the_whole_signal(signal, block):
    whole = pyloudnorm.Meter(RATE).integrated_loudness(signal.clip(-1, 1))

    assert measured(signal.clip(-1, 1), block).loudness_lufs == pytest.approx(whole, abs=0.1)


def test_reference_tone_has_its_textbook_loudness():
    """BS.1770-4: a 997 Hz sine at 0 dBFS in one channel measures -3.01 LKFS."""
    assert measured(tone(1.0, 5)).loudness_lufs == pytest.approx(-3.01, abs=0.1)


@pytest.mark.parametrize(
    "signal", [np.zeros(0), np.zeros(RATE), tone(1e-5, 3), tone(0.5, 0.39)],
    ids=["nothing", "digital-silence", "below-the-gate", "shorter-than-a-block"],
)  # fmt: skip
def test_no_loudness_where_no_block_passes_the_gate(signal):
    assert measured(signal).loudness_lufs is None


def test_nothing_and_digital_silence_have_no_levels():
    nothing, silence = measured(np.zeros(0)), measured(np.zeros(RATE + 7))

    assert (nothing.peak_dbfs, nothing.noise_dbfs, nothing.silence_share) == (None, None, 0.0)
    assert (silence.peak_dbfs, silence.noise_dbfs, silence.silence_share) == (None, None, 1.0)
    assert nothing.clipped_share == silence.clipped_share == 0.0


def test_peak_is_the_highest_sample_of_any_block():
    signal = np.zeros(3 * RATE)
    signal[20_000] = -0.5

    assert measured(signal).peak_dbfs == pytest.approx(-6.02, abs=0.01)


@pytest.mark.parametrize(("sample", "share"), [(0.9989, 0.0), (0.9991, 0.25), (-1.0, 0.25)])
def test_samples_at_full_scale_are_clipped(sample, share):
    signal = np.tile([sample, 0.1, -0.1, 0.2], RATE // 4)

    assert measured(signal).clipped_share == pytest.approx(share)


@pytest.mark.parametrize(("dbfs", "share"), [(-60.1, 0.5), (-59.9, 0.0)])
def test_frames_below_60_dbfs_are_silent(dbfs, share):
    level = 10 ** (dbfs / 20)
    signal = np.concatenate([np.tile([level, -level], RATE), tone(0.1, 2)])

    assert measured(signal).silence_share == pytest.approx(share)


def test_noise_is_the_level_between_the_words():
    floor = 0.001 * RANDOM.standard_normal(RATE * 10)
    words = tone(0.3, 10) * (np.arange(RATE * 10) // RATE % 2)
    silence = np.zeros(RATE * 5)  # a muted line says nothing about the room

    noise = measured(np.concatenate([floor + words, silence])).noise_dbfs

    assert noise == pytest.approx(-60.0, abs=1.0)


@pytest.mark.parametrize("block", [1, 319, 320, 321, 16_000])
def test_blocks_of_any_size_measure_the_same(block):
    signal = SIGNALS["noise"][:5_000]

    assert measured(signal, block) == measured(signal, 5_000)


def test_result_may_be_asked_in_between():
    meter = QualityMeter()
    meter.add(SIGNALS["noise"][:10_001].astype("f4"))
    meter.result()
    meter.add(SIGNALS["noise"][10_001:].astype("f4"))

    assert meter.result() == measured(SIGNALS["noise"])


def test_memory_is_flat():
    meter = QualityMeter()
    second = SIGNALS["noise"][:RATE].astype("f4")
    for _ in range(600):
        meter.add(second)

    held = meter._rest.nbytes + meter._levels.nbytes + meter._loudness._rest.nbytes
    assert held < 32_000
    assert len(meter._loudness._hops) == 6_000
