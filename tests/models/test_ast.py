"""A small transformer that learned three sounds finds them, and where they are."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import ASTFeatureExtractor, ASTForAudioClassification

from gpu_service.engines import ast
from gpu_service.engines.engine import Clip, Engine, Samples
from gpu_service.engines.generation import OVERFLOWED
from gpu_service.engines.registry import EngineSettings, build
from gpu_service.hosting import frames
from shared.domain.answers import Answer, Task
from shared.domain.sound import SAMPLE_RATE
from shared.errors import InvalidSettings, WeightsRefused
from tests.engines.speech import music, noise, said, silence
from tests.models.ast_checkpoint import LABELS, SPEECH, WINDOW_S, sounds, taught


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return taught(tmp_path_factory.mktemp("ast"))


def engine(folder: Path, **options: Any) -> Engine:
    settings = EngineSettings(kind="ast", checkpoint=str(folder), threads=1, options=options)
    return build("sounds", settings, cache=folder)


def ask(engine: Engine, *clips: Samples, **facts: Any) -> list[Answer]:
    return engine.infer(Task.CLASSIFY, [Clip(samples, "acme", **facts) for samples in clips])


def labels(answer: Answer) -> list[str]:
    return [event.label for event in answer.events]


def test_what_was_learned_is_heard(folder: Path) -> None:
    clips, wanted = zip(*sounds(), strict=True)

    answers = ask(engine(folder, bar=0.5), *clips)

    for answer, truth in zip(answers, wanted, strict=True):
        assert set(labels(answer)) == {n for n, there in zip(LABELS, truth, strict=True) if there}
        assert {(e.start_s, e.end_s) for e in answer.events} <= {(0.0, WINDOW_S)}


def test_events_stand_where_the_sound_is(folder: Path) -> None:
    """Eight seconds of noise, then eight of music; windows of 2.56 s in steps of half of that."""
    (answer,) = ask(engine(folder, bar=0.5), np.concatenate([noise(8), music(8)]))

    found = {event.label: event for event in answer.events}
    assert found["noise"].start_s == 0.0
    assert found["noise"].end_s == pytest.approx(8, abs=WINDOW_S)
    assert found["music"].start_s == pytest.approx(8, abs=WINDOW_S)
    assert found["music"].end_s == pytest.approx(16)
    assert answer.confidence == max(event.confidence or 0 for event in answer.events)
    assert frames.reply(frames.answered([answer])) == [answer]


def test_a_bar_of_its_own_silences_a_label(folder: Path) -> None:
    both = sounds()[6][0]

    (open_,) = ask(engine(folder, bar=0.5), both)
    (barred,) = ask(engine(folder, bar=0.5, bars={"music": 1.0}), both)

    assert set(labels(open_)) == {"speech", "music"}
    assert labels(barred) == ["speech"]


def test_labels_of_the_caller_choose_among_the_checkpoints(folder: Path) -> None:
    (answer,) = ask(engine(folder, bar=0.0), sounds()[0][0], labels=("noise", "speech", "moon"))

    assert labels(answer) == ["speech", "noise"]
    assert answer.cautions == (ast.LABEL_UNKNOWN,)


def test_a_checkpoint_of_one_label_at_a_time_gives_shares(folder: Path) -> None:
    (answer,) = ask(engine(folder, bar=0.0, activation="softmax"), sounds()[0][0])

    assert labels(answer)[0] == "speech"
    assert sum(event.confidence or 0 for event in answer.events) == pytest.approx(1, abs=1e-5)


def test_a_model_that_gives_no_numbers_hears_nothing(folder: Path) -> None:
    broken = engine(folder, bar=0.0)
    broken.load()
    broken._loaded.model.classifier.dense.bias.data[0] = np.nan  # type: ignore[attr-defined]

    (answer,) = ask(broken, noise(1))

    assert (answer.events, answer.cautions) == ((), (OVERFLOWED,))


def test_batched_answers_equal_single_ones(folder: Path) -> None:
    clips = [said(SPEECH), music(8), noise(1), noise(0.01), silence(0)]
    small = engine(folder, bar=0.0, batch_windows=3)

    batched = ask(small, *clips)
    single = [ask(small, samples)[0] for samples in clips]

    for one, other in zip(batched, single, strict=True):
        assert labels(one) == labels(other)
        found, wanted = ([e.confidence for e in a.events] for a in (one, other))
        assert found == pytest.approx(wanted, abs=1e-5)
    assert batched[-1].events == ()


def test_wrong_settings_and_files_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="no label moon"):
        engine(folder, bars={"moon": 0.5}).load()

    ASTForAudioClassification.from_pretrained(folder).save_pretrained(tmp_path)
    ASTFeatureExtractor(num_mel_bins=64).save_pretrained(tmp_path)
    with pytest.raises(WeightsRefused, match="front end"):
        engine(tmp_path).load()


def test_more_than_a_segment_and_other_tasks_are_the_callers_mistake(folder: Path) -> None:
    made = engine(folder)

    with pytest.raises(ValueError, match="longer than 28"):
        ask(made, np.zeros(28 * SAMPLE_RATE + 1, np.float32))
    with pytest.raises(ValueError, match="does not describe"):
        made.infer(Task.DESCRIBE, [])


@given(st.integers(0, 40_000), st.integers(2_000, 20_000))
def test_windows_cover_every_sample_and_end_with_the_clip(size: int, window: int) -> None:
    samples = np.arange(size, dtype=np.float32)

    cuts = ast.windows(samples, window)

    covered = np.zeros(size, bool)
    for start, cut in cuts:
        kept = cut[: size - start]
        assert np.array_equal(kept, samples[start : start + kept.size])
        assert cut.size <= max(window, ast.SHORTEST_CLIP)
        covered[start : start + kept.size] = True
    assert covered.all()
