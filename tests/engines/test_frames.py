"""What goes over the pipe comes out the same."""

import json

import numpy as np
import pytest

from gpu_service.hosting import frames
from shared.domain.answers import Answer, SoundEvent, Task, Word
from shared.errors import DiskFull, EngineUnavailable, WeightsRefused
from tests.engines.speech import clip, noise, silence


def test_clips_survive_the_pipe() -> None:
    clips = [
        clip(noise(0.1), "a", "en"),
        clip(silence(0), "b", speech=()),
        clip(noise(0.2, seed=8), "c", speech=((0.0, 0.05), (0.1, 0.2))),
    ]

    task, got = frames.requested(*frames.request(Task.CLASSIFY, clips))

    assert task is Task.CLASSIFY
    assert [(c.tenant, c.language) for c in got] == [("a", "en"), ("b", None), ("c", None)]
    assert [c.speech for c in got] == [None, (), ((0.0, 0.05), (0.1, 0.2))]
    for before, after in zip(clips, got, strict=True):
        assert after.samples.dtype == np.float32
        np.testing.assert_array_equal(before.samples, after.samples)


def test_answers_survive_the_pipe() -> None:
    full = Answer(
        "w",
        Task.TRANSCRIBE,
        text="hé",
        language="fr",
        confidence=0.5,
        words=(Word(0.0, 1.0, "hé", None),),
        events=(SoundEvent("music", 0.0, 2.0, 0.25),),
        seconds=1.5,
        cautions=("language_guessed",),
    )

    assert frames.reply(frames.answered([full, Answer("w", Task.CLASSIFY)])) == [
        full,
        Answer("w", Task.CLASSIFY),
    ]


def test_an_error_of_ours_is_raised_as_itself_with_its_context() -> None:
    with pytest.raises(WeightsRefused, match="gone") as refusal:
        frames.reply(frames.failed(WeightsRefused("gone", file="model.bin")))
    assert refusal.value.context == {"file": "model.bin"}

    with pytest.raises(DiskFull, match="The disk is full"):
        frames.reply(frames.failed(DiskFull()))


def test_an_error_this_version_does_not_know_is_still_one_of_the_engine() -> None:
    said = {"error": {"code": "from_the_future", "message": "new", "context": {}}}

    with pytest.raises(EngineUnavailable, match="new"):
        frames.reply(json.dumps(said).encode())
