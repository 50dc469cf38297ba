"""Whisper's real weights through transformers: the meaning comes out, not only shapes."""

import base64
import dataclasses
import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faster_whisper import WhisperModel

from gpu_service.engines import whisper, whisper_conversion, whisper_hf
from gpu_service.engines.engine import Clip, Engine, Samples
from gpu_service.engines.generation import OVERFLOWED
from gpu_service.engines.registry import EngineSettings, build
from gpu_service.features import projection
from gpu_service.hosting import frames
from gpu_service.weights import pinned
from shared.domain.answers import Answer, Task
from shared.domain.sound import SAMPLE_RATE
from shared.errors import WeightsRefused
from tests.engines.speech import (
    SENTENCES,
    VOICES,
    music,
    noise,
    normal,
    said,
    silence,
    tone,
    word_error_rate,
)

#: Four voices, each with a sentence of its own.
SPOKEN = list(zip(SENTENCES[:4], VOICES, strict=True))
TEXTS = [text for text, _ in SPOKEN]


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("weights")


@pytest.fixture(scope="session")
def converted(cache: Path) -> Path:
    return whisper_conversion.whisper_base(cache)


def made(cache: Path, **facts: Any) -> Engine:
    settings = EngineSettings(kind="whisper_hf", threads=1, **facts)
    return build("whisper_hf", settings, cache=cache)


@pytest.fixture(scope="session")
def engine(cache: Path, converted: Path) -> Engine:
    return made(cache)


def clip(samples: Samples, **facts: Any) -> Clip:
    return Clip(samples, "acme", **facts)


def transcribe(engine: Engine, *clips: Clip) -> list[Answer]:
    return engine.infer(Task.TRANSCRIBE, clips)


def embed(engine: Engine, *sounds: Samples) -> list[Answer]:
    return engine.infer(Task.EMBED, [clip(samples) for samples in sounds])


@pytest.fixture(scope="module")
def together(engine: Engine) -> list[Answer]:
    return transcribe(engine, *[clip(said(*spoken)) for spoken in SPOKEN])


def test_the_words_are_those_spoken(together: list[Answer]) -> None:
    rate = word_error_rate(TEXTS, [answer.text for answer in together])

    print(f"word error rate {rate:.3f}")
    assert rate <= 0.05
    assert {a.language for a in together} == {"en"}
    assert all(a.cautions == () and 0.5 < (a.confidence or 0) < 1 for a in together)


def test_the_words_are_those_of_faster_whisper(together: list[Answer], cache: Path) -> None:
    """The same weights in two libraries; float32 here, int8 there."""
    settings = EngineSettings(kind="whisper", threads=1)
    other = build("whisper", settings, cache=cache)

    theirs = [transcribe(other, clip(said(*spoken)))[0].text for spoken in SPOKEN]

    rate = word_error_rate(theirs, [answer.text for answer in together])
    print(f"difference to faster-whisper {rate:.3f}")
    assert rate <= 0.05


def test_encoder_states_are_those_of_ctranslate2(engine: Engine, cache: Path) -> None:
    """Number by number, float32 on both sides; so no tensor went to a wrong place."""
    import torch

    model = WhisperModel(str(pinned.whisper_base(cache)), compute_type="float32", cpu_threads=1)
    samples = said(*SPOKEN[0])
    features = model.feature_extractor(samples)[:, :-1]
    padded = np.pad(features, ((0, 0), (0, 3000 - features.shape[1])))
    theirs = np.asarray(model.encode(padded))[0]  # (1500, n_hidden)

    network = engine._ready.model.model.encoder  # type: ignore[attr-defined]
    with torch.inference_mode():
        ours = network(torch.from_numpy(padded)[None]).last_hidden_state[0].numpy()

    assert np.abs(ours - theirs).max() < 1e-3 * np.abs(theirs).max()


def test_batched_answers_equal_single_ones(engine: Engine, together: list[Answer]) -> None:
    for spoken, batched in zip(SPOKEN[:2], together, strict=False):
        (single,) = transcribe(engine, clip(said(*spoken)))

        assert single.text == batched.text
        assert single.signals == pytest.approx(batched.signals, abs=1e-3)


def test_confidence_and_signals_are_the_tokens_own(together: list[Answer]) -> None:
    answer = together[0]
    found = [token.logprob for token in answer.tokens]

    assert normal("".join(token.text for token in answer.tokens)) == normal(answer.text)
    assert answer.confidence == pytest.approx(math.exp(np.mean(found)))
    assert frames.reply(frames.answered([answer])) == [answer]
    windows = [np.mean(found[i : i + 4]) for i in range(len(found) - 3)]
    assert answer.signals["min_window_logprob"] == pytest.approx(min(windows))
    assert answer.signals["no_speech_probability"] < 0.5
    assert answer.signals["min_word_logprob"] <= answer.signals["mean_logprob"]
    assert answer.signals["compression_ratio"] > 0


def test_earlier_text_decides_a_spelling(engine: Engine) -> None:
    plain = clip(said("Catherine called about the report."), language="en")
    told = dataclasses.replace(plain, prompt="A letter from Kathryn.")

    first, second = transcribe(engine, plain, told)

    assert "Kathryn" not in first.text
    assert "Kathryn" in second.text
    assert "prompt_cut" not in second.cautions


def test_a_prompt_of_which_only_the_end_is_read_is_said(engine: Engine) -> None:
    told = clip(said("Catherine called about the report."), language="en")
    told = dataclasses.replace(told, prompt="one two three four five six " * 50)

    (answer,) = transcribe(engine, told)

    assert "prompt_cut" in answer.cautions


def test_what_the_checkpoint_forbids_is_not_written(cache: Path, converted: Path) -> None:
    """Everything but one token forbidden at the beginning, and one word everywhere."""
    told = made(cache)
    told.load()
    ready = told._ready  # type: ignore[attr-defined]
    first, never = (ready.words.encode(w, add_special_tokens=False)[0] for w in (" So", " heavy"))
    others = tuple(set(range(ready.vocabulary.no_timestamps)) - {first})
    rules = dataclasses.replace(ready.vocabulary, forbidden=(never,), forbidden_first=others)
    told._loaded = dataclasses.replace(ready, vocabulary=rules)  # type: ignore[attr-defined]

    (answer,) = transcribe(told, clip(said(*SPOKEN[0]), language="en"))

    assert answer.text.startswith("So")
    assert "heavy" not in answer.text
    assert "promised" in answer.text


def test_a_language_the_model_lacks_is_said_and_detection_helps(engine: Engine) -> None:
    (answer,) = transcribe(engine, clip(said(*SPOKEN[0]), language="xx"))

    assert answer.language == "en"
    assert answer.cautions == (whisper.LANGUAGE_UNKNOWN,)
    assert answer.signals["language_probability"] > 0.9


@pytest.mark.parametrize("samples", [silence(0), silence(3), noise(3, peak=0.001), tone(3, 440)])
def test_where_nobody_speaks_there_are_no_words(engine: Engine, samples: Samples) -> None:
    (answer,) = transcribe(engine, clip(samples))

    assert (answer.text, answer.tokens, answer.confidence) == ("", (), None)


def test_what_runs_in_circles_is_stopped_and_said(engine: Engine) -> None:
    chant = np.concatenate([said("no no no")] * 30)[: 27 * SAMPLE_RATE]

    (answer,) = transcribe(engine, clip(chant, language="en"))

    assert whisper.REPETITION in answer.cautions
    assert len(answer.tokens) < 100


def test_embeddings_hold_the_frames_with_sound_and_no_padding(engine: Engine) -> None:
    samples = said(*SPOKEN[0])
    (answer,) = embed(engine, samples)

    assert answer.embedding is not None
    n_frames = math.ceil(samples.size / 320)
    kept = np.frombuffer(base64.b64decode(answer.embedding.frames), np.int8)
    assert kept.size == math.ceil(n_frames / 4) * answer.embedding.dims
    assert len(answer.embedding.vector) == 2 * 512
    assert answer.embedding.frames_per_s == 12.5
    assert frames.reply(frames.answered([answer])) == [answer]


def test_like_sounds_lie_near_each_other(engine: Engine) -> None:
    """Two sentences by two voices, against music."""
    sounds = [said(SENTENCES[0], "slt"), said(SENTENCES[5], "rms"), music(4)]
    vectors = [np.array(a.embedding.vector) for a in embed(engine, *sounds) if a.embedding]

    def near(i: int, j: int) -> float:
        a, b = vectors[i], vectors[j]
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    print([round(near(0, j), 3) for j in range(3)])
    assert near(0, 1) > max(near(0, 2), near(1, 2))


def test_a_fitted_projection_is_held_to_its_checkpoint(
    converted: Path, cache: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    frames = [rng.standard_normal((500, 512)).astype(np.float32)]
    told = whisper_hf.provenance(converted)
    assert told["checkpoint_sha256"] == whisper_conversion.BASE_CONVERTED["model.safetensors"]
    projection.save(projection.fitted(frames, told, dims=8), tmp_path / "right")
    projection.save(projection.fitted(frames, told | {"layer": 1}, dims=8), tmp_path / "wrong")

    fits = made(cache, options={"projection": str(tmp_path / "right")})
    (answer,) = embed(fits, noise(1))

    assert answer.embedding is not None
    assert answer.embedding.dims == 8
    assert fits.capabilities().versions["projection"] == projection.name_of(tmp_path / "right")
    with pytest.raises(WeightsRefused, match="another checkpoint or layer"):
        made(cache, options={"projection": str(tmp_path / "wrong")}).load()


def test_the_folder_of_the_conversion_is_a_checkpoint_like_any(
    converted: Path, cache: Path
) -> None:
    digest = whisper_conversion.BASE_CONVERTED["model.safetensors"]
    other = made(cache, checkpoint=str(converted), sha256=digest)

    (answer,) = transcribe(other, clip(said(*SPOKEN[1]), language="en"))

    assert word_error_rate([TEXTS[1]], [answer.text]) <= 0.1
    with pytest.raises(WeightsRefused):
        made(cache, checkpoint=str(converted), sha256="0" * 64).load()


def test_the_conversion_is_the_pinned_one_and_is_made_once(converted: Path, cache: Path) -> None:
    for name, digest in whisper_conversion.BASE_CONVERTED.items():
        assert hashlib.sha256((converted / name).read_bytes()).hexdigest() == digest

    before = (converted / "model.safetensors").stat().st_mtime_ns
    assert whisper_conversion.whisper_base(cache) == converted
    assert (converted / "model.safetensors").stat().st_mtime_ns == before
    assert not list(cache.glob(".whisper-base-*"))


@pytest.mark.parametrize("size", [0, 3, 40, 1_000])
def test_a_damaged_model_file_is_refused(tmp_path: Path, cache: Path, size: int) -> None:
    whole = (pinned.whisper_base(cache) / "model.bin").read_bytes()
    (tmp_path / "model.bin").write_bytes(whole[:size])

    with pytest.raises(WeightsRefused, match="no CTranslate2 model"):
        whisper_conversion.read(tmp_path / "model.bin")


def test_a_tensor_without_a_place_is_refused() -> None:
    with pytest.raises(WeightsRefused, match="no known place"):
        whisper_conversion.renamed({"decoder/layer_0/ffn/linear_2/weight": np.zeros((2, 2))})


def test_a_clip_over_28_s_is_the_callers_mistake(engine: Engine) -> None:
    with pytest.raises(ValueError, match="longer than 28"):
        embed(engine, np.zeros(28 * SAMPLE_RATE + 1, np.float32))


def test_after_unloading_it_loads_again(cache: Path, converted: Path) -> None:
    again = made(cache)
    again.load()
    again.load()
    again.unload()

    assert embed(again, silence(0.5), silence(0))[1].embedding is None


@pytest.mark.parametrize("task", [Task.TRANSCRIBE, Task.EMBED])
def test_a_model_that_gives_no_numbers_says_nothing(
    cache: Path, converted: Path, task: Task
) -> None:
    broken = made(cache)
    broken.load()
    norm = broken._ready.model.model.encoder.layer_norm  # type: ignore[attr-defined]
    norm.weight.data[0] = math.nan

    (answer,) = broken.infer(task, [clip(said("hello"))])

    assert (answer.text, answer.embedding, answer.cautions) == ("", None, (OVERFLOWED,))
