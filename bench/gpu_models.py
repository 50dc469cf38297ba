"""P6 and P7: Wav2Vec2-base and Qwen2-Audio on one GPU, beside transformers used plainly.

Random weights of the true sizes: the work is the same, the words are not, so nothing here says
how well anything is heard. Both sides get the same clips of 0.3 to 28 s in the same order and
have loaded their model before the clock starts. P6's peer is the automatic-speech-recognition
pipeline; P7's is `generate`, one clip a call. Both sides of P7 sample as many tokens as the
other (random weights never end a text, and a greedy one would run in circles, which ours stops).

Without a CUDA device nothing is measured and nothing claimed. `python -m bench.gpu_models
--tiny` runs all of it on the CPU with tiny models, to prove that it works; its figures mean
nothing. Run with the Python that has torch: `.venv-models/bin/python -m bench gpu`.
"""

import argparse
import importlib.util
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.measuring import Series, goal, interleaved
from gpu_service.engines.engine import Clip, Engine, Samples
from gpu_service.engines.registry import EngineSettings, build
from shared.domain.answers import Answer, Task
from shared.domain.sound import MAX_SEGMENT_S, SAMPLE_RATE

#: GOALS P6: against batch 1, against batches in arrival order, and the padding.
LEAST_GAIN, LEAST_ORDERED, MOST_PADDING = 3.0, 1.3, 0.10
#: GOALS P7.
LEAST_BATCHED = 2.0
#: Largest change of a log-probability between batch and single that is rounding (A5).
ROUNDING = {"float32": 1e-3, "bfloat16": 0.1}
#: Bytes copied to see what the memory moves a second; the bound of decoding.
COPIED = 1 << 30
PIPELINE, ARRIVAL, OURS, GENERATE = (
    "pipeline, batch 1",
    "pipeline, batches in arrival order",
    "earwitness",
    "generate, batch 1",
)


@dataclass(frozen=True, slots=True)
class Size:
    """How large the run is."""

    device: str
    dtype: str
    n_clips: int
    longest_s: float
    n_tokens: int
    batch: int  #: of the pipeline
    repeats: int
    wav2vec2: dict[str, Any]
    qwen_audio: dict[str, Any]
    qwen_text: dict[str, Any]


#: Shapes of facebook/wav2vec2-base-960h and Qwen/Qwen2-Audio-7B; what is not named is
#: transformers' default for the class, which is that model.
TRUE = Size(
    device="cuda",
    dtype="bfloat16",
    n_clips=64,
    longest_s=MAX_SEGMENT_S,
    n_tokens=128,
    batch=16,
    repeats=5,
    wav2vec2={"vocab_size": 32},
    qwen_audio={},
    qwen_text={
        "vocab_size": 156_032,
        "hidden_size": 4096,
        "intermediate_size": 11_008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "max_position_embeddings": 8192,
        "rope_theta": 10_000.0,
        "rms_norm_eps": 1e-5,
    },
)
TINY = Size(
    device="cpu",
    dtype="float32",
    n_clips=8,
    longest_s=3.0,
    n_tokens=8,
    batch=4,
    repeats=2,
    wav2vec2={
        "vocab_size": 32,
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 128,
        "conv_dim": [32] * 7,
        "num_conv_pos_embeddings": 16,
        "num_conv_pos_embedding_groups": 2,
    },
    qwen_audio={
        "d_model": 64,
        "encoder_layers": 2,
        "encoder_attention_heads": 2,
        "encoder_ffn_dim": 128,
    },
    qwen_text={
        "vocab_size": 512,
        "hidden_size": 128,
        "intermediate_size": 256,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
    },
)


def run() -> bool:
    """Both, on the GPU; True without one, with a line that says that nothing was measured."""
    why = _missing()
    if why:
        print(f"  not run: {why}; no figure of P6 or P7 is known from here")
        return True
    return measured(TRUE)


def _missing() -> str:
    if not importlib.util.find_spec("torch"):
        return "this Python has no torch"
    import torch

    return "" if torch.cuda.is_available() else "there is no CUDA device"


def measured(size: Size) -> bool:
    print(f"  on {_device(size)}, {size.dtype}, {size.n_clips} clips")
    sounds = clips(size)
    met = True
    for measure in (p6, p7):
        with tempfile.TemporaryDirectory() as name:
            met &= measure(size, sounds, Path(name))
    return met


def clips(size: Size) -> list[Samples]:
    """Noise of lengths spread evenly between 0.3 s and the longest, in random order."""
    rng = np.random.default_rng(6)
    seconds = np.linspace(0.3, size.longest_s, size.n_clips)
    rng.shuffle(seconds)
    return [(0.1 * rng.standard_normal(round(s * SAMPLE_RATE))).astype(np.float32) for s in seconds]


# -- P6 ------------------------------------------------------------------------------------------


def p6(size: Size, sounds: Sequence[Samples], folder: Path) -> bool:
    """Wav2Vec2-base; rates in seconds of sound a second."""
    saved_wav2vec2(size, folder)
    ours = engine("wav2vec2", size, folder, tasks=["transcribe"], layer=1)
    ask = partial(_asked, ours, Task.TRANSCRIBE)
    pipe = _pipeline(size, folder)
    fed = [{"raw": s, "sampling_rate": SAMPLE_RATE} for s in sounds]
    cases = {
        PIPELINE: lambda: [pipe(dict(one)) for one in fed],
        ARRIVAL: lambda: list(pipe([dict(one) for one in fed], batch_size=size.batch)),
        OURS: lambda: ask(sounds),
    }
    print("  P6, Wav2Vec2-base")
    rates = _rates(cases, sounds, size)
    met = goal("P6: ours / pipeline", _ratio(rates, PIPELINE), LEAST_GAIN)
    met &= goal("P6: ours / batches in arrival order", _ratio(rates, ARRIVAL), LEAST_ORDERED)
    met &= goal("P6: padding", _padding(ours, sounds), MOST_PADDING, at_most=True)
    return met & _invariant("P6", ask, sounds, size)


def saved_wav2vec2(size: Size, folder: Path) -> None:
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    from tests.models import checkpoints

    checkpoints.saved(Wav2Vec2ForCTC(Wav2Vec2Config(**size.wav2vec2)), folder)


def _pipeline(size: Size, folder: Path) -> Any:
    import torch
    from transformers import pipeline

    return pipeline(
        "automatic-speech-recognition",
        model=str(folder),
        device=size.device,
        dtype=getattr(torch, size.dtype),
    )


def _padding(ours: Engine, sounds: Sequence[Samples]) -> float:
    """Share of what the engine hears that is padding; from the batches it makes of the clips."""
    made = ours._batches(range(len(sounds)), sounds)  # type: ignore[attr-defined]
    paid = sum(len(chosen) * max(sounds[i].size for i in chosen) for chosen in made)
    return 1 - sum(s.size for s in sounds) / paid


# -- P7 ------------------------------------------------------------------------------------------


def p7(size: Size, sounds: Sequence[Samples], folder: Path) -> bool:
    """Qwen2-Audio; vLLM runs only where it is installed, which is said."""
    saved_qwen2(size, folder)
    ours = engine("qwen2_audio", size, folder, style="base", answer_tokens=size.n_tokens)
    ask = partial(_asked, ours, Task.DESCRIBE, temperature=1.0)
    ask(sounds[:1])
    cases = {
        GENERATE: lambda: [_generated(ours, s, size.n_tokens) for s in sounds],
        OURS: lambda: ask(sounds),
    }
    print(f"  P7, Qwen2-Audio, {size.n_tokens} tokens a clip")
    rates = _rates(cases, sounds, size)
    met = goal("P7: ours / generate at batch 1", _ratio(rates, GENERATE), LEAST_BATCHED)
    seconds = sum(s.size for s in sounds) / SAMPLE_RATE / rates[OURS].median
    print(f"  fraction of the roofline: {roofline_s(ours, sounds, size) / seconds:.2f}")
    if size.device != "cpu":
        import torch

        print(f"  peak memory {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")
    print("  vLLM: not run beside it; this bench has no server of it")
    return met & _invariant("P7", partial(_asked, ours, Task.DESCRIBE), sounds, size)


def saved_qwen2(size: Size, folder: Path) -> None:
    """Made on the device and in the type it is served in: 8 billion numbers of float32 would
    take 33 GB of memory first."""
    import torch
    from transformers import Qwen2AudioConfig, Qwen2AudioForConditionalGeneration

    from tests.models import qwen2_checkpoint

    reader = qwen2_checkpoint.processor()
    config = Qwen2AudioConfig(
        audio_token_index=reader.tokenizer.convert_tokens_to_ids("<|AUDIO|>"),
        audio_config=size.qwen_audio,
        text_config={"model_type": "qwen2", **size.qwen_text},
    )
    before = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, size.dtype))
    try:
        with torch.device(size.device):
            made = Qwen2AudioForConditionalGeneration(config)
    finally:
        torch.set_default_dtype(before)
    qwen2_checkpoint.saved(folder, made, reader)


def _generated(ours: Any, samples: Samples, n_tokens: int) -> Any:
    """What the model's page shows: processor, `generate`, decode; with the same loaded model."""
    import torch

    inputs = ours._inputs([Clip(samples, "bench")], ["Generate the caption in English:"]).tensors
    with torch.inference_mode():
        made = ours._model.generate(
            **inputs,
            do_sample=True,
            temperature=1.0,
            top_k=0,
            max_new_tokens=n_tokens,
            min_new_tokens=n_tokens,
        )
    return ours._processor.batch_decode(made[:, inputs["input_ids"].shape[1] :])


def roofline_s(ours: Any, sounds: Sequence[Samples], size: Size) -> float:
    """Least seconds for decoding alone: each step reads every weight of the language model once.

    The bandwidth is what a large copy reaches here, not what a data sheet says. Prefill and
    encoder are left out, so the fraction is a lower bound of how busy the memory was.
    """
    from gpu_service.engines.qwen2_audio import together

    n_batches = len(
        together([Clip(s, "bench") for s in sounds], range(len(sounds)), _batch_seconds(ours))
    )
    parts = (ours._model.model.language_model, ours._model.lm_head)
    n_bytes = sum(p.numel() * p.element_size() for part in parts for p in part.parameters())
    return n_batches * size.n_tokens * n_bytes / _bandwidth(size)


def _batch_seconds(ours: Any) -> float:
    return float(ours._options.batch_seconds)


def _bandwidth(size: Size) -> float:
    """Bytes read a second, from copies (each reads and writes)."""
    import torch

    n_bytes = COPIED if size.device != "cpu" else COPIED // 64
    source = torch.zeros(n_bytes, dtype=torch.uint8, device=size.device)
    target = torch.empty_like(source)
    taken = []
    for _ in range(5):
        _settled(size)
        began = time.perf_counter()
        target.copy_(source)
        _settled(size)
        taken.append(time.perf_counter() - began)
    return 2 * n_bytes / min(taken)


# -- both ----------------------------------------------------------------------------------------


def engine(kind: str, size: Size, folder: Path, **options: Any) -> Engine:
    settings = EngineSettings(
        kind=kind, checkpoint=str(folder), device=size.device, dtype=size.dtype, options=options
    )
    made = build(kind, settings, cache=folder)
    made.load()
    return made


def _asked(
    ours: Engine, task: Task, sounds: Sequence[Samples], temperature: float = 0.0
) -> list[Answer]:
    spoken = ((0.0, 0.1),)  # noise, and voice activity is not what is measured
    return ours.infer(
        task, [Clip(s, "bench", speech=spoken, temperature=temperature) for s in sounds]
    )


def _rates(
    cases: dict[str, Callable[[], Any]], sounds: Sequence[Samples], size: Size
) -> dict[str, Series]:
    seconds = sum(s.size for s in sounds) / SAMPLE_RATE

    def rate(case: Callable[[], Any]) -> float:
        _settled(size)
        began = time.perf_counter()
        case()
        _settled(size)
        return seconds / (time.perf_counter() - began)

    for case in cases.values():
        case()  # kernels are chosen, memory is had
    return interleaved(
        {name: partial(rate, case) for name, case in cases.items()}, "s/s", size.repeats
    )


def _ratio(rates: dict[str, Series], peer: str) -> float:
    return rates[OURS].median / rates[peer].median


def _invariant(
    name: str,
    ask: Callable[[Sequence[Samples]], list[Answer]],
    sounds: Sequence[Samples],
    size: Size,
) -> bool:
    """A5: the largest change of a mean log-probability between one batch and each clip alone."""
    batched = ask(sounds)
    single = [ask([samples])[0] for samples in sounds]
    pairs = [
        (a.signals["mean_logprob"], b.signals["mean_logprob"])
        for a, b in zip(batched, single, strict=True)
        if {"mean_logprob"} <= a.signals.keys() & b.signals.keys()
    ]
    same = sum(a.text == b.text for a, b in zip(batched, single, strict=True)) / len(single)
    print(f"  {name}: texts identical in batch and alone: {same:.1%}, {len(pairs)} compared")
    largest = max((abs(a - b) for a, b in pairs), default=0.0)
    return goal(f"{name}: change in batch", largest, ROUNDING[size.dtype], at_most=True)


def _settled(size: Size) -> None:
    if size.device != "cpu":
        import torch

        torch.cuda.synchronize()


def _device(size: Size) -> str:
    if size.device == "cpu":
        return "the CPU (tiny sizes: the figures mean nothing)"
    import torch

    return f"{torch.cuda.get_device_name()}, torch {torch.__version__}"


if __name__ == "__main__":
    reader = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    reader.add_argument("--tiny", action="store_true", help="on the CPU, to prove that it works")
    if reader.parse_args().tiny:
        measured(TINY)
    else:
        run()
