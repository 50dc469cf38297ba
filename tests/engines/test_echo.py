"""The engine that only measures."""

from itertools import pairwise
from pathlib import Path

import pytest

from gpu_service.engines.registry import DEFAULTS, build
from shared.domain.answers import Task
from tests.engines.speech import clip, silence


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.1, "echo 0.10 s"),
        (3.0, "echo 3.00 s"),
        (3.2, "echo 3.20 s 4"),
        (6, "echo 6.00 s 4 5 6"),
    ],
)
def test_echo_says_the_length_and_no_word_is_longer_than_a_second(
    seconds: float, text: str, tmp_path: Path
) -> None:
    echo = build("echo", DEFAULTS["echo"], cache=tmp_path)
    echo.load()

    (answer,) = echo.infer(Task.TRANSCRIBE, [clip(silence(seconds), language="en")])

    assert answer.text == text
    assert (answer.confidence, answer.calibrated, answer.language) == (None, False, "en")
    assert " ".join(word.text for word in answer.words) == text
    assert answer.words[0].start_s == 0
    assert answer.words[-1].end_s == pytest.approx(seconds)
    assert all(a.end_s == pytest.approx(b.start_s) for a, b in pairwise(answer.words))
    assert all(word.end_s - word.start_s <= 1.0 + 1e-9 for word in answer.words)


def test_echo_hears_no_sounds_and_nothing_in_nothing(tmp_path: Path) -> None:
    echo = build("echo", DEFAULTS["echo"], cache=tmp_path)

    (sounds,) = echo.infer(Task.CLASSIFY, [clip(silence(3))])
    (empty,) = echo.infer(Task.TRANSCRIBE, [clip(silence(0))])

    assert (sounds.events, sounds.text, empty.text, empty.words) == ((), "", "", ())
