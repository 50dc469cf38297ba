"""What is heard: containers, codecs, rates, widths, channels; names never matter."""

import io

import av
import numpy as np
import pytest

from shared.domain.sound import Limits
from tests.decoding.conftest import LIMITS, on_disk
from tests.decoding.media import AMPLITUDE, TONES, Media, chunk, level, loudest_hz, tones, wav

HEARD = {
    "wav-u8": (Media("wav", "pcm_u8"), "wav", "pcm_u8"),
    "wav-16": (Media("wav", "pcm_s16le"), "wav", "pcm_s16le"),
    "wav-24-extensible": (Media("wav", "pcm_s24le", rate=44_100), "wav", "pcm_s24le"),
    "wav-32": (Media("wav", "pcm_s32le"), "wav", "pcm_s32le"),
    "wav-float32": (Media("wav", "pcm_f32le"), "wav", "pcm_f32le"),
    "wav-float64": (Media("wav", "pcm_f64le"), "wav", "pcm_f64le"),
    "wav-mulaw": (Media("wav", "pcm_mulaw", rate=8_000), "wav", "pcm_mulaw"),
    "wav-alaw": (Media("wav", "pcm_alaw", rate=8_000), "wav", "pcm_alaw"),
    "wav-rf64": (Media("wav", "pcm_s16le", options=(("rf64", "always"),)), "wav", "pcm_s16le"),
    "flac": (Media("flac", "flac", rate=44_100), "flac", "flac"),
    "mp3": (Media("mp3", "libmp3lame", rate=44_100), "mp3", "mp3"),
    "mp3-mpeg2": (Media("mp3", "libmp3lame", rate=16_000), "mp3", "mp3"),
    "mp3-mpeg2.5": (Media("mp3", "libmp3lame", rate=8_000), "mp3", "mp3"),
    "mp2": (Media("mp2", "mp2", rate=48_000), "mp3", "mp2"),
    "ogg-vorbis": (Media("ogg", "vorbis", 44_100, 2), "ogg", "vorbis"),
    "ogg-opus": (Media("ogg", "libopus", rate=48_000), "ogg", "opus"),
    "ogg-flac": (Media("ogg", "flac", rate=16_000), "ogg", "flac"),
    "m4a-aac": (Media("ipod", "aac", rate=44_100), "mp4", "aac"),
    "m4a-alac": (Media("ipod", "alac", rate=44_100), "mp4", "alac"),
    "adts-aac": (Media("adts", "aac", rate=44_100), "aac", "aac"),
    "webm-opus": (Media("webm", "libopus", rate=48_000), "webm", "opus"),
    "webm-vorbis": (Media("webm", "vorbis", 44_100, 2), "webm", "vorbis"),
    "aiff": (Media("aiff", "pcm_s16be", rate=44_100), "aiff", "pcm_s16be"),
    "aifc-float": (Media("aiff", "pcm_f32be"), "aiff", "pcm_f32be"),
    "mp4-video": (Media("mp4", "aac", rate=44_100, video=True), "mp4", "aac"),
    "mov-video": (Media("mov", "pcm_s16le", rate=44_100, video=True), "mov", "pcm_s16le"),
    "mkv-video": (Media("matroska", "ac3", rate=48_000, video=True), "matroska", "ac3"),
}


@pytest.mark.parametrize(("media", "container", "codec"), HEARD.values(), ids=HEARD)
def test_heard_whole_and_at_its_pitch(hear, media, container, codec):
    samples, decoding = hear(media.data())

    assert samples.dtype == np.float32
    assert samples.shape[0] == 1
    assert decoding.duration_s == pytest.approx(2.0, abs=0.08)  # codecs pad to whole frames
    assert decoding.duration_s == samples.shape[1] / 16_000
    assert loudest_hz(samples[0]) == pytest.approx(TONES[0], abs=2)
    assert level(samples[0, 4000:-4000], TONES[0]) == pytest.approx(
        AMPLITUDE / media.channels, rel=0.06
    )
    assert (decoding.facts.container, decoding.facts.codec) == (container, codec)
    assert decoding.facts.sample_rate_hz == media.rate
    assert not decoding.cautions


SIGNALS = {
    f"{name}-{channels}ch-{rate}": (muxer, codec, rate, channels)
    for name, muxer, codec, rates in (
        ("wav16", "wav", "pcm_s16le", (4_000, 8_000, 44_100, 96_000, 384_000)),
        ("wav24", "wav", "pcm_s24le", (8_000, 96_000)),
        ("flac24", "flac", "flac", (8_000, 96_000)),
        ("opus", "ogg", "libopus", (8_000, 48_000)),
        ("aac", "ipod", "aac", (8_000, 96_000)),
    )
    for rate in rates
    for channels in (1, 2, 6)
}


@pytest.mark.parametrize(("muxer", "codec", "rate", "channels"), SIGNALS.values(), ids=SIGNALS)
def test_mix_is_the_mean_of_the_channels(hear, muxer, codec, rate, channels):
    options = (("sample_fmt", "s32"),) if codec == "flac" else ()
    media = Media(muxer, codec, rate, channels, seconds=1.0, options=options)
    heard_channels = range(channels)
    if channels == 6 and codec in {"libopus", "aac"}:
        heard_channels = range(3)  # lossy codecs cut the LFE and reorder what they keep

    samples, decoding = hear(media.data())

    assert decoding.facts.channels == channels
    middle = samples[0, 3200:-3200]
    for n in heard_channels:
        assert level(middle, TONES[n]) == pytest.approx(AMPLITUDE / channels, rel=0.1)


@pytest.mark.parametrize("channels", [1, 2, 3, 8])
def test_channels_stay_apart_when_asked(hear, channels):
    samples, decoding = hear(
        wav((tones(16_000, channels, 1.5).T * 32767).astype("<i2").tobytes(), channels=channels),
        separate=True,
    )

    assert samples.shape == (channels, 24_000)
    assert decoding.facts.channels == channels
    for n in range(channels):
        assert loudest_hz(samples[n]) == pytest.approx(TONES[n], abs=2)


def test_same_sound_on_both_sides_keeps_its_level_and_does_not_clip(hear):
    loud = np.repeat((np.sin(np.arange(32_000) / 5) * 32_000).astype("<i2"), 2)

    samples, _ = hear(wav(loud.tobytes(), channels=2))

    assert np.abs(samples).max() == pytest.approx(32_000 / 32_768, rel=0.01)


def test_values_beyond_full_scale_and_no_numbers_become_ordinary_samples(hear):
    wild = np.tile(np.array([np.nan, 5.0, -5.0, np.inf, -np.inf, 0.25], "<f4"), 4000)
    data = bytearray(wav(wild.tobytes(), bits=32))
    data[20:22] = b"\x03\x00"  # IEEE float

    samples, _ = hear(bytes(data))

    assert np.isfinite(samples).all()
    assert np.abs(samples).max() <= 1.0


def test_exact_samples_at_the_native_rate(hear):
    """16 kHz mono is not resampled: what was recorded is what an engine gets."""
    recorded = np.random.default_rng(7).integers(-32768, 32768, 40_001).astype("<i2")

    samples, _ = hear(wav(recorded.tobytes()))

    np.testing.assert_array_equal(samples[0], recorded.astype("f4") / 32768)


def test_blocks_are_at_most_a_second(decoder):
    with on_disk(Media("wav", "pcm_s16le", rate=44_100, seconds=3.3).data()) as sound:
        sound.seek(17)
        with decoder.open(sound, tenant="demo", limits=LIMITS) as decoding:
            facts_before = decoding.facts
            sizes = [block.shape[1] for block in decoding]

        assert sound.tell() == 17  # the caller's position is the caller's
    assert facts_before.duration_s == pytest.approx(3.3, abs=0.01)
    assert max(sizes) <= 16_000
    assert sum(sizes) == pytest.approx(3.3 * 16_000, abs=2)


def test_mp3_behind_a_large_picture_and_padding_is_found(hear):
    sound = Media("mp3", "libmp3lame", rate=44_100).data()
    tagless = sound[sound.index(b"\xff\xfb") :]
    size = 300_000
    tag = b"ID3\x04\x00\x00" + bytes(size >> s & 0x7F for s in (21, 14, 7, 0)) + bytes(size)

    for data in (tag + tagless, bytes(5_000) + tagless):
        samples, decoding = hear(data)

        assert decoding.facts.container == "mp3"
        assert loudest_hz(samples[0]) == pytest.approx(TONES[0], abs=2)


def test_other_audio_tracks_are_said(hear):
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as out:
        tracks = [out.add_stream("pcm_s16le", rate=16_000, layout="mono") for _ in range(2)]
        for track in tracks:
            for frame in Media("wav", "pcm_s16le", seconds=1.0)._frames("s16"):
                out.mux(track.encode(frame))
            out.mux(track.encode(None))

    _, decoding = hear(file.getvalue())

    assert [c.code for c in decoding.cautions] == ["other_tracks"]


def test_parameters_that_change_midway_are_followed(hear):
    """Two ADTS streams joined end to end, as recorders of broadcasts do."""
    first = Media("adts", "aac", rate=44_100, channels=2, seconds=1.0).data()
    second = Media("adts", "aac", rate=22_050, channels=1, seconds=1.0).data()

    for separate, n_channels in ((False, 1), (True, 2)):
        samples, decoding = hear(first + second, separate=separate)

        assert samples.shape[0] == n_channels
        assert decoding.duration_s == pytest.approx(2.0, abs=0.15)
        assert loudest_hz(samples[0, 20_000:30_000]) == pytest.approx(TONES[0], abs=4)


def test_track_that_starts_late_keeps_the_time_of_the_film(hear):
    """A player shows the sound 1.5 s after the film began; so must a transcript."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as out:
        sound = out.add_stream("pcm_s16le", rate=16_000, layout="mono")
        Media("matroska", "pcm_s16le")._film(out)
        for frame in Media("wav", "pcm_s16le", seconds=1.0)._frames("s16"):
            frame.pts += 24_000
            out.mux(sound.encode(frame))

    samples, decoding = hear(file.getvalue())

    assert samples.shape[1] == pytest.approx(40_000, abs=40)
    assert not samples[0, :23_900].any()
    assert loudest_hz(samples[0, 24_100:]) == pytest.approx(TONES[0], abs=2)
    assert not decoding.cautions


def test_time_stamps_beyond_reason_are_not_followed(hear):
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as out:
        sound = out.add_stream("pcm_s16le", rate=16_000, layout="mono")
        for n, frame in enumerate(Media("wav", "pcm_s16le", seconds=2.0)._frames("s16")):
            frame.pts += n * 16_000 * 700
            out.mux(sound.encode(frame))

    samples, decoding = hear(file.getvalue(), limits=Limits(3600.0, 10**9))

    assert samples.shape[1] == 32_000
    assert "gaps" in [c.code for c in decoding.cautions]


def test_unknown_chunks_before_the_data_are_passed_over(hear):
    data = wav(bytes(32_000))
    with_list = data[:36] + chunk(b"LIST", b"INFO" + bytes(100)) + data[36:]

    samples, _ = hear(with_list)

    assert samples.shape == (1, 16_000)
