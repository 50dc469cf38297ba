"""Speech is found while the sound streams past, and nothing else is."""

from itertools import pairwise

import numpy as np
import pytest
from faster_whisper.vad import get_speech_timestamps, get_vad_model
from hypothesis import given
from hypothesis import strategies as st

from gpu_service.engines.engine import Samples
from gpu_service.hearing.voice_activity import RULES, WINDOW_S, Rules, VoiceActivity, spans
from tests.engines.speech import NO_SPEECH, SENTENCES, VOICES, noise, said, silence

RATE = 16_000


def listened(samples: Samples, blocks: int | None = None) -> VoiceActivity:
    voice = VoiceActivity()
    size = blocks or max(samples.size, 1)
    for at in range(0, samples.size, size):
        voice.add(samples[at : at + size])
    return voice


@pytest.fixture(scope="module")
def talk() -> Samples:
    """Two sentences with 1.5 s of silence before, between and after."""
    rest = silence(1.5)
    return np.concatenate([rest, said(SENTENCES[0]), rest, said(SENTENCES[1], "rms"), rest])


@pytest.mark.parametrize("block", [1, 64, 511, 512, 513, 48_000], ids=str)
def test_the_size_of_the_blocks_changes_nothing(talk: Samples, block: int) -> None:
    short = talk[: 4 * RATE] if block < 64 else talk

    assert listened(short, block).result() == listened(short).result()


def test_probabilities_are_those_of_the_whole_sound_at_once(talk: Samples) -> None:
    padded = np.pad(talk, (0, 512 - talk.size % 512))
    expected = get_vad_model()(padded).ravel()

    voice = listened(talk, 5_000)
    voice.result()

    # faster-whisper blanks the last 64 samples before it pads, so the last window differs.
    found = voice.probabilities()
    assert found.size == expected.size
    np.testing.assert_allclose(found[:-1], expected[:-1], atol=0.5 / 255 + 1e-5)


def test_spans_are_those_of_silero_with_the_same_rules(talk: Samples) -> None:
    pad_ms, silence_ms = round(RULES.pad_s * 1000), round(RULES.min_silence_s * 1000)
    expected = get_speech_timestamps(talk, speech_pad_ms=pad_ms, min_silence_duration_ms=silence_ms)

    found = listened(talk).result()

    for (start, end), span in zip(found, expected, strict=True):
        assert start == pytest.approx(span["start"] / RATE, abs=WINDOW_S)
        assert end == pytest.approx(span["end"] / RATE, abs=WINDOW_S)


def test_both_sentences_are_found_and_the_silence_is_not(talk: Samples) -> None:
    found = listened(talk).result()

    heard = sum(end - start for start, end in found)
    sentences = (talk.size / RATE) - 4.5
    assert sentences - 0.8 <= heard <= sentences + 2 * len(found) * RULES.pad_s
    assert found[0][0] == pytest.approx(1.5, abs=0.4)


@pytest.mark.parametrize("voice", VOICES)
@pytest.mark.parametrize("word", ["yes", "no", "stop", "go", "help"])
def test_a_single_word_is_heard_however_short_the_recording(word: str, voice: str) -> None:
    whole = said(word, voice)
    loud = np.flatnonzero(np.abs(whole) > 0.01)
    bare = whole[loud[0] : loud[-1]]

    for sound in (whole, bare, np.concatenate([silence(1), bare, silence(1)])):
        assert len(listened(sound).result()) == 1


#: Music may pass: it is the engine that finds no words in it (tests/engines/test_whisper.py).
@pytest.mark.parametrize("name", [name for name in NO_SPEECH if "music" not in name])
def test_no_speech_is_found_where_there_is_none(name: str) -> None:
    assert listened(NO_SPEECH[name]).result() == []


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513])
def test_almost_nothing_is_no_speech(size: int) -> None:
    assert listened(noise(1)[:size]).result() == []


def test_asking_twice_gives_the_same(talk: Samples) -> None:
    voice = listened(talk)

    assert voice.result() == voice.result()


def test_the_quietest_moment_between_two_sentences_is_the_pause() -> None:
    first, second = said(SENTENCES[0]), said(SENTENCES[1])
    voice = listened(np.concatenate([first, silence(0.5), second]))
    pause = first.size / RATE

    moment = voice.quietest(1.0, pause + 2.0)

    assert pause - 0.3 <= moment <= pause + 0.8


@pytest.mark.parametrize(
    ("start_s", "end_s"), [(0.0, 0.001), (1.0, 1.0), (50.0, 60.0)], ids=["tiny", "none", "past all"]
)
def test_the_quietest_moment_lies_inside_what_was_asked(
    talk: Samples, start_s: float, end_s: float
) -> None:
    assert start_s <= listened(talk).quietest(start_s, end_s) <= end_s


P = Rules(pad_s=0.0)


@pytest.mark.parametrize(
    ("windows", "count"),
    [
        ([0.49] * 20, 0),
        ([0.5], 0),
        ([0.5, 0.5], 1),
        ([0.9, 0.4, 0.9], 1),
        ([0.9] * 2 + [0.34] * 9 + [0.9] * 2, 1),
        ([0.9] * 2 + [0.34] * 10 + [0.9] * 2, 2),
        ([0.9] * 2 + [0.35] * 40 + [0.9] * 2, 1),
        ([], 0),
    ],
    ids=["below", "click", "two", "two apart", "dip", "pause", "held", "nothing"],
)
def test_rules_at_both_sides_of_each_limit(windows: list[float], count: int) -> None:
    """10 windows of 32 ms are the first pause of at least 0.3 s."""
    assert len(spans(windows, len(windows) * WINDOW_S, P)) == count


def test_neighbours_share_the_silence_when_their_padding_would_meet() -> None:
    windows = [0.9] * 10 + [0.0] * 12 + [0.9] * 10

    (_, first_end), (second_start, _) = spans(windows, 32 * WINDOW_S)

    assert first_end == second_start == pytest.approx(16 * WINDOW_S)


@given(st.lists(st.sampled_from([0.0, 0.34, 0.36, 0.49, 0.51, 0.9]), max_size=200))
def test_spans_are_sorted_apart_inside_and_hold_all_sure_speech(windows: list[float]) -> None:
    duration_s = max(0.0, len(windows) * WINDOW_S - 0.01)

    found = spans(windows, duration_s)

    assert all(0 <= start < end <= duration_s for start, end in found)
    assert all(a[1] <= b[0] for a, b in pairwise(found))
    sure = [i for i, p in enumerate(windows[:-1]) if p >= 0.5 and windows[i + 1] >= 0.5]
    for i in sure:
        middle = min((i + 0.5) * WINDOW_S, duration_s)
        assert any(start <= middle <= end for start, end in found)
