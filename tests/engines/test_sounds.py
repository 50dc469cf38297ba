"""Speech, singing and music with times."""

from pathlib import Path

import numpy as np
import pytest

from gpu_service.engines.engine import Engine
from gpu_service.engines.registry import DEFAULTS, build
from gpu_service.engines.sounds import Probabilities, events
from shared.domain.answers import Task
from tests.engines.speech import NO_SPEECH, SENTENCES, clip, music, noise, said, silence


@pytest.fixture(scope="module")
def sounds(cache: Path) -> Engine:
    engine = build("sounds", DEFAULTS["sounds"], cache=cache)
    engine.load()
    engine.load()
    return engine


def test_speech_and_music_are_told_apart_in_time(sounds: Engine) -> None:
    talk = said(SENTENCES[0])
    turn = talk.size / 16_000 + 1.0
    sound = np.concatenate([talk, silence(1.0), music(8)])

    (answer,) = sounds.infer(Task.CLASSIFY, [clip(sound)])

    speech, played = answer.events
    assert (speech.label, played.label) == ("speech", "music")
    assert speech.start_s < 0.5
    assert speech.end_s == pytest.approx(turn - 1.0, abs=0.6)
    assert played.start_s == pytest.approx(turn, abs=0.6)
    assert played.end_s == pytest.approx(turn + 8, abs=0.2)
    assert all(e.confidence is not None and 0.5 < e.confidence <= 1 for e in answer.events)
    assert (answer.engine, answer.text, answer.calibrated) == ("sounds", "", False)


#: Steady tones are music to this model; see Sounds.
@pytest.mark.parametrize("name", [n for n in NO_SPEECH if "noise" in n or "silence" in n])
def test_nothing_is_heard_in_silence_and_noise(sounds: Engine, name: str) -> None:
    (answer,) = sounds.infer(Task.CLASSIFY, [clip(NO_SPEECH[name])])

    assert answer.events == ()


@pytest.mark.parametrize("size", [0, 1, 400, 3199, 3200, 3201], ids=str)
def test_clips_around_the_shortest_event_are_answered(sounds: Engine, size: int) -> None:
    (answer,) = sounds.infer(Task.CLASSIFY, [clip(noise(1)[:size])])

    assert answer.events == ()


def test_every_clip_is_answered_in_order(sounds: Engine) -> None:
    answers = sounds.infer(Task.CLASSIFY, [clip(silence(1)), clip(music(4)), clip(silence(1))])

    assert [[e.label for e in a.events] for a in answers] == [[], ["music"], []]


def test_after_unloading_it_answers_again(cache: Path) -> None:
    engine = build("sounds", DEFAULTS["sounds"], cache=cache)
    engine.infer(Task.CLASSIFY, [clip(silence(1))])
    engine.unload()

    (answer,) = engine.infer(Task.CLASSIFY, [clip(music(4))])

    assert [event.label for event in answer.events] == ["music"]


def test_sounds_does_not_transcribe(sounds: Engine) -> None:
    with pytest.raises(ValueError, match="sounds does not transcribe"):
        sounds.infer(Task.TRANSCRIBE, [clip(silence(1))])


def frames(*runs: tuple[float, int], column: int = 0) -> Probabilities:
    """Probabilities of one class: (value, frames of 10 ms) one after another."""
    made = np.zeros((sum(n for _, n in runs), 3), np.float32)
    made[:, column] = np.concatenate([np.full(n, value) for value, n in runs])
    return made


@pytest.mark.parametrize(
    ("runs", "column", "found"),
    [
        ([(0, 50), (0.9, 19), (0, 50)], 0, []),
        ([(0, 50), (0.9, 20), (0, 50)], 0, [(0.5, 0.7)]),
        ([(0, 50), (0.39, 99), (0, 50)], 0, []),
        ([(0.45, 99), (0, 50)], 2, []),
        ([(0, 50), (0.9, 98), (0, 50)], 2, []),
        ([(0, 50), (0.9, 100), (0, 50)], 2, [(0.5, 1.5)]),
        ([(0.9, 60), (0, 50), (0.9, 60)], 1, [(0, 1.715)]),
        ([(0.9, 60), (0, 51), (0.9, 60)], 1, []),
        ([(0.9, 60), (0, 51), (0.9, 60)], 0, [(0, 0.6), (1.11, 1.725)]),
    ],
    ids=[
        "short word",
        "word",
        "below",
        "below music",
        "short music",
        "music",
        "gap",
        "apart",
        "two",
    ],
)
def test_rules_at_both_sides_of_each_limit(
    runs: list[tuple[float, int]], column: int, found: list[tuple[float, float]]
) -> None:
    probabilities = frames(*runs, column=column)

    made = events(probabilities, len(probabilities) * 0.01 + 0.015)

    times = [time for event in made for time in (event.start_s, event.end_s)]
    assert times == pytest.approx([time for span in found for time in span], abs=1e-6)
