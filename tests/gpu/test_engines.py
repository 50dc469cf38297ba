"""What was learned by heart comes back from the GPU, in float32 and in bfloat16."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gpu_service.engines import qwen2_audio
from gpu_service.engines.engine import Clip, Engine, Samples
from gpu_service.engines.registry import EngineSettings, build
from shared.domain.answers import Answer, Task
from tests.engines.speech import SENTENCES, VOICES, noise, said, word_error_rate
from tests.models import ast_checkpoint, qwen2_checkpoint
from tests.models.qwen2_checkpoint import CHANT, LABELS, SPOKEN, WHERE, WHO, sound

DTYPES = pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
#: Largest difference of a log-probability between batch and single; in bfloat16 a step of the
#: type is 2^-8 of a logit of about 10.
CLOSE = {"float32": 1e-3, "bfloat16": 0.1}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("weights")


@pytest.fixture(scope="module")
def qwen(weights: Path) -> Path:
    (weights / "qwen2").mkdir()
    return qwen2_checkpoint.taught(weights / "qwen2", qwen2_checkpoint.lessons())


@pytest.fixture(scope="module")
def ast(weights: Path) -> Path:
    return ast_checkpoint.taught(weights / "ast")


def engine(kind: str, dtype: str, cache: Path, **facts: Any) -> Engine:
    settings = EngineSettings(kind=kind, device="cuda", dtype=dtype, **facts)
    return build(kind, settings, cache=cache)


def ask(engine: Engine, task: Task, *sounds: Samples, **facts: Any) -> list[Answer]:
    return engine.infer(task, [Clip(samples, "acme", **facts) for samples in sounds])


@DTYPES
def test_qwen_gives_back_texts_labels_and_answers(qwen: Path, dtype: str) -> None:
    base = engine("qwen2_audio", dtype, qwen, checkpoint=str(qwen), options={"style": "base"})
    chats = engine("qwen2_audio", dtype, qwen, checkpoint=str(qwen))
    sounds = [sound(code) for code in SPOKEN]

    texts = ask(base, Task.TRANSCRIBE, *sounds)
    names = ask(base, Task.CLASSIFY, *sounds, labels=(*LABELS.values(), "a helicopter"))

    assert [(a.text, a.language) for a in texts] == [(t, code) for code, t in SPOKEN.items()]
    assert [a.events[0].label for a in names] == list(LABELS.values())
    assert ask(chats, Task.ANSWER, sound("es"), text=WHO)[0].text == "A man."
    assert ask(chats, Task.ANSWER, sound("es"), text=WHERE)[0].text == "In the kitchen."
    (chant,) = ask(base, Task.ANSWER, sound("es"), text=CHANT)
    assert (chant.text, chant.cautions) == ("go on", (qwen2_audio.REPETITION,))


@DTYPES
def test_qwen_answers_in_a_batch_as_alone(qwen: Path, dtype: str) -> None:
    base = engine("qwen2_audio", dtype, qwen, checkpoint=str(qwen), options={"style": "base"})
    sounds = [*(sound(code) for code in SPOKEN), noise(20), noise(0.3)]

    batched = ask(base, Task.DESCRIBE, *sounds)
    single = [ask(base, Task.DESCRIBE, samples)[0] for samples in sounds]

    largest = max(
        abs(one.signals["mean_logprob"] - other.signals["mean_logprob"])
        for one, other in zip(batched[:3], single[:3], strict=True)
    )
    print(f"{dtype}: largest change of a mean log-probability {largest:.2g}")
    assert largest <= CLOSE[dtype]
    assert [a.text for a in batched[:3]] == [a.text for a in single[:3]]


@DTYPES
def test_qwen_throws_the_same_dice_for_the_same_sound(qwen: Path, dtype: str) -> None:
    base = engine("qwen2_audio", dtype, qwen, checkpoint=str(qwen), options={"style": "base"})

    first, again = (ask(base, Task.DESCRIBE, sound("es"), temperature=2.0)[0] for _ in range(2))

    assert first.text == again.text


@DTYPES
def test_whisper_hears_the_words_and_embeds_as_on_the_cpu(weights: Path, dtype: str) -> None:
    pairs = list(zip(SENTENCES[:4], VOICES, strict=True))
    sounds = [said(*pair) for pair in pairs]
    there = engine("whisper_hf", dtype, weights)
    here = build("whisper_hf", EngineSettings(kind="whisper_hf"), cache=weights)

    texts = [a.text for a in ask(there, Task.TRANSCRIBE, *sounds)]
    (felt,), (known,) = (ask(one, Task.EMBED, sounds[0]) for one in (there, here))

    assert word_error_rate([text for text, _ in pairs], texts) <= 0.05
    assert felt.embedding is not None
    assert known.embedding is not None
    a, b = np.array(felt.embedding.vector), np.array(known.embedding.vector)
    assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) > 0.999


@DTYPES
def test_ast_hears_what_it_learned(ast: Path, dtype: str) -> None:
    clips, wanted = zip(*ast_checkpoint.sounds(), strict=True)
    there = engine("ast", dtype, ast, checkpoint=str(ast), options={"bar": 0.5})

    answers = ask(there, Task.CLASSIFY, *clips)

    for answer, truth in zip(answers, wanted, strict=True):
        names = {n for n, so in zip(ast_checkpoint.LABELS, truth, strict=True) if so}
        assert {event.label for event in answer.events} == names


def test_unloading_gives_the_memory_back(qwen: Path) -> None:
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    base = engine("qwen2_audio", "float32", qwen, checkpoint=str(qwen))
    ask(base, Task.DESCRIBE, sound("es"))
    assert torch.cuda.memory_allocated() > before

    base.unload()
    torch.cuda.synchronize()

    assert torch.cuda.memory_allocated() - before < 32 << 20  # cuBLAS keeps its workspace
