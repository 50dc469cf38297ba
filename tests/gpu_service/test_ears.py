"""Ears of one process: real decoder, real voice activity, the echo engine in its child."""

import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gpu_service.decoding.decoder import Decoder
from gpu_service.engines.engine import Capabilities
from gpu_service.engines.registry import EngineSettings, parse
from gpu_service.hearing import pcm
from gpu_service.hearing.ears import LocalEars, inside, unheeded
from gpu_service.hearing.pcm import Pcm
from gpu_service.hearing.segmentation import OVERLAP_S
from gpu_service.hosting.host import EngineHost
from gpu_service.serving.server import Server
from shared.domain.answers import Answer, Task
from shared.domain.sound import Limits, Segment
from shared.domain.wishes import Wishes
from shared.errors import AudioTooLong, EngineUnavailable, NotAudio
from tests.sounds import silence_wav, speech, stereo_wav, tone_wav

LIMITS = Limits(max_seconds=300, max_bytes=10**8)


@pytest.fixture(scope="module")
def ears(tmp_path_factory):
    decoder = Decoder(processes=1)
    decoder.start()
    host = EngineHost("echo", parse({})["echo"], cache=Path("unused"))
    server = Server(host)
    server.start()
    yield LocalEars(decoder, {"echo": server}, tmp_path_factory.mktemp("spool"))
    server.stop()
    decoder.stop()


def opened(ears, content, wishes=None, limits=LIMITS, alive=lambda: None):
    return ears.open(
        on_disk(content), tenant="demo", wishes=wishes or Wishes(), limits=limits, alive=alive
    )


def on_disk(content):
    """An open regular file, as a store gives it."""
    file = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the test
    file.write(content)
    file.seek(0)
    return file


def test_a_survey_tells_what_it_is_how_good_and_where_speech_is(ears):
    with opened(ears, speech("Hello there, this is a test.")) as hearing:
        survey = hearing.survey

    assert (survey.facts.container, survey.facts.codec) == ("wav", "pcm_s16le")
    assert survey.facts.duration_s == pytest.approx(2.0, abs=0.8)
    assert survey.quality.peak_dbfs < 0
    assert len(survey.speech) == 1
    assert survey.windows[-1].end_s == pytest.approx(survey.facts.duration_s)


def test_silence_has_no_speech_but_windows(ears):
    with opened(ears, silence_wav(30.0)) as hearing:
        assert hearing.survey.speech == ()
        assert len(hearing.survey.windows) == 2


def test_answers_come_back_in_the_recordings_time(ears):
    later = Segment(0, 2.0, 5.0)

    with opened(ears, tone_wav(6.0)) as hearing:
        [answer] = hearing.ask("echo", Task.TRANSCRIBE, [later])

    assert answer.words[0].start_s >= 2.0
    assert answer.words[-1].end_s <= 5.0 + 1e-6


@pytest.mark.parametrize(
    ("wishes", "cautions"),
    [
        (Wishes(), ()),
        (Wishes(prompt="Kathryn", temperature=0.1), ("prompt_ignored", "temperature_ignored")),
    ],
)
def test_an_engine_that_ignores_a_wish_says_so(ears, wishes, cautions):
    with opened(ears, tone_wav(2.0), wishes) as hearing:
        [transcribed] = hearing.ask("echo", Task.TRANSCRIBE, [Segment(0, 0.0, 2.0)])
        [named] = hearing.ask("echo", Task.CLASSIFY, [Segment(0, 0.0, 2.0)])

    assert transcribed.cautions == cautions
    assert named.cautions == ()


def test_what_an_engine_heeds_is_not_cautioned():
    able = Capabilities(frozenset({Task.TRANSCRIBE}), 28.0, heeds=frozenset({"temperature"}))
    said = Answer("e", Task.TRANSCRIBE, cautions=("language_guessed",))

    found = unheeded(said, able, Wishes(prompt="Kathryn", temperature=0.1))

    assert found.cautions == ("language_guessed", "prompt_ignored")


@pytest.fixture
def aligning(ears, tmp_path):
    settings = EngineSettings(kind="tests.gpu_service.reciter:Reciter")
    server = Server(EngineHost("reciter", settings, cache=tmp_path))
    server.start()
    yield replace(ears, servers={**ears.servers, "reciter": server})
    server.stop()


def test_a_text_reaches_the_aligner_and_returns_in_the_recordings_time(aligning):
    apart = [Segment(0, 1.0, 2.0), Segment(1, 4.0, 6.0)]
    said = [
        Answer("e", Task.TRANSCRIBE, "hola", language="es"),
        Answer("e", Task.TRANSCRIBE, "¿qué tal?"),
    ]

    with opened(aligning, tone_wav(6.0), Wishes(language="fr")) as hearing:
        first, second = hearing.ask("reciter", Task.ALIGN, apart, said)

    assert [(w.start_s, w.end_s, w.text) for w in first.words] == [(1.0, 2.0, "hola")]
    assert [(w.start_s, w.text) for w in second.words] == [(4.0, "¿qué"), (5.0, "tal?")]
    assert (first.language, second.language) == ("es", "fr")


@pytest.mark.parametrize(
    ("engine", "end_s", "language", "wished", "suits"),
    [
        ("reciter", 10.0, "es", None, True),
        ("reciter", 10.001, "es", None, False),
        ("reciter", 10.0, "en", "es", False),
        ("reciter", 10.0, None, "es", True),
        ("reciter", 10.0, None, None, False),
        ("echo", 28.0, None, None, True),
        ("oracle", 1.0, "es", None, False),
    ],
)
def test_an_engine_suits_by_language_and_length(aligning, engine, end_s, language, wished, suits):
    with opened(aligning, tone_wav(1.0), Wishes(language=wished)) as hearing:
        assert hearing.suits(engine, Segment(0, 0.0, end_s), language) is suits


def test_channels_kept_apart_have_segments_of_their_own(ears):
    left, right = speech("Good morning."), silence_wav(2.0)

    with opened(ears, stereo_wav(left, right), Wishes(separate=True)) as hearing:
        apart = {s.channel for s in hearing.survey.speech}
        assert [s.index for s in hearing.survey.speech] == list(range(len(hearing.survey.speech)))
    with opened(ears, stereo_wav(left, right)) as hearing:
        mixed = {s.channel for s in hearing.survey.speech}

    assert (apart, mixed) == ({0}, {None})


def test_speech_without_pauses_is_shared_around_the_quietest_moment(ears):
    """Cut hard, a word would be torn in two: here it is whole in one of two segments."""
    breathless = " ".join(["the river runs down to the sea and back again"] * 16)

    with opened(ears, speech(breathless)) as hearing:
        first, second, *_ = hearing.survey.speech
        cut_s = (first.end_s + second.start_s) / 2
        samples = hearing.pcm.samples(Segment(0, cut_s - 0.01, cut_s + 0.01))
        all_of_it = hearing.pcm.samples(Segment(0, 0.0, hearing.survey.facts.duration_s))

    assert first.end_s - second.start_s == pytest.approx(OVERLAP_S)
    assert first.duration_s <= 28.0
    assert abs(samples).mean() < abs(all_of_it).mean()


def test_an_engine_there_is_not_is_said(ears):
    with opened(ears, tone_wav(1.0)) as hearing, pytest.raises(EngineUnavailable, match="oracle"):
        hearing.ask("oracle", Task.TRANSCRIBE, hearing.survey.windows)


@pytest.mark.parametrize(
    ("content", "limits", "refusal"),
    [
        (b"not a sound at all, not at all", LIMITS, NotAudio),
        (tone_wav(3.0), Limits(2.0, 10**8), AudioTooLong),
    ],
)
def test_what_cannot_be_heard_is_refused(ears, content, limits, refusal):
    with pytest.raises(refusal), opened(ears, content, limits=limits):
        pass


def test_alive_is_called_while_it_listens(ears):
    calls = []

    with opened(ears, tone_wav(120.0), alive=lambda: calls.append(1)) as hearing:
        hearing.ask("echo", Task.TRANSCRIBE, hearing.survey.windows[:1])

    assert calls


def test_versions_and_names(ears):
    assert ears.names() == ["echo"]
    assert set(ears.versions(["echo", "gone"])) == {"echo"}


def test_a_long_recording_is_spooled_to_disk_and_read_back_exactly(tmp_path, monkeypatch):
    monkeypatch.setattr(pcm, "KEEP_BYTES", 1_000)
    noise = np.random.default_rng(1).standard_normal((2, 16_000)).astype(np.float32)

    with Pcm(tmp_path) as kept:
        for start in range(0, 16_000, 1_000):
            kept.add(noise[:, start : start + 1_000])
        both = kept.samples(Segment(0, 0.25, 0.75))
        right = kept.samples(Segment(0, 0.0, 1.0, channel=1))

    np.testing.assert_array_equal(right, noise[1])
    np.testing.assert_allclose(both, noise[:, 4_000:12_000].mean(axis=0), atol=1e-6)
    assert list(tmp_path.iterdir()) == []


def test_threads_that_read_at_once_each_get_their_own_samples(tmp_path):
    """The tasks of a recording are asked in parallel, and a spool has one position."""
    ramp = np.arange(160_000, dtype=np.float32)[np.newaxis]

    def first_sample(n):
        return kept.samples(Segment(0, n / 16, n / 16 + 1 / 16))[0]

    with Pcm(tmp_path) as kept, ThreadPoolExecutor(8) as pool:
        kept.add(ramp)
        found = list(pool.map(first_sample, [*range(160)] * 20))

    assert found == [n * 1_000 for n in range(160)] * 20


@pytest.mark.parametrize(
    ("start_s", "end_s", "found"),
    [
        (0.0, 10.0, ((1.0, 2.0), (3.0, 4.0), (6.0, 9.0))),
        (2.0, 6.0, ((1.0, 2.0),)),
        (1.5, 7.0, ((0.0, 0.5), (1.5, 2.5), (4.5, 5.5))),
        (4.0, 6.0, ()),
    ],
    ids=["all", "touching", "cut on both sides", "between"],
)
def test_an_engine_is_told_where_in_its_segment_somebody_speaks(start_s, end_s, found):
    spans = [(1.0, 2.0), (3.0, 4.0), (6.0, 9.0)]

    assert inside(spans, Segment(0, start_s, end_s)) == found


def test_an_engine_hears_of_the_speech_of_its_channel_and_of_none_in_a_mix(ears):
    """A mix has no detector of its own: the engine looks itself."""
    voiced = (((0.0, 1.0),), ((1.0, 2.0),))
    both = stereo_wav(tone_wav(3.0), tone_wav(3.0))
    with opened(ears, both, Wishes(separate=True)) as hearing:
        told = replace(hearing, survey=replace(hearing.survey, voiced=voiced))

        clips = [told._clip(Segment(0, 0.0, 3.0, channel)) for channel in (None, 1)]

    assert [clip.speech for clip in clips] == [None, ((1.0, 2.0),)]
