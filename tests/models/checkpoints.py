"""Small checkpoints of true architectures, made here: random ones, and ones that learned."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from transformers import (
    Wav2Vec2Config,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForCTC,
    Wav2Vec2Processor,
)

from gpu_service.engines.engine import Samples

Norm = Literal["group", "layer"]
#: The 32 tokens of facebook/wav2vec2-base-960h, in its order.
LETTERS = ("<pad>", "<s>", "</s>", "<unk>", "|", *"ETAONIHSRDLUMWCFGYPBVK'XJQZ")
TINY: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 128,
    "conv_dim": [32] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}
#: What tells the two published families apart: base-960h, and large-960h-lv60 and XLSR.
KIND: dict[Norm, dict[str, Any]] = {
    "group": {"feat_extract_norm": "group", "do_stable_layer_norm": False, "conv_bias": False},
    "layer": {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True},
}


def ctc_model(norm: Norm, seed: int = 0, **shape: Any) -> Wav2Vec2ForCTC:
    """A model with random weights; `shape` replaces parts of the tiny one."""
    torch.manual_seed(seed)
    config = Wav2Vec2Config(
        vocab_size=len(LETTERS), ctc_loss_reduction="mean", **{**TINY, **KIND[norm], **shape}
    )
    return Wav2Vec2ForCTC(config).eval()


def saved(model: Any, folder: Path, *, tokenizer: bool = True) -> Path:
    """A checkpoint as `save_pretrained` leaves it, safetensors and all."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    norm = model.config.feat_extract_norm
    hearing = Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=norm == "layer")
    if not tokenizer:
        hearing.save_pretrained(folder)
        return folder
    Wav2Vec2Processor(feature_extractor=hearing, tokenizer=letters(folder)).save_pretrained(folder)
    return folder


def letters(folder: Path) -> Wav2Vec2CTCTokenizer:
    path = folder / "vocab.json"
    path.write_text(json.dumps({token: i for i, token in enumerate(LETTERS)}))
    return Wav2Vec2CTCTokenizer(
        str(path), pad_token="<pad>", unk_token="<unk>", word_delimiter_token="|"
    )


def taught(
    model: Wav2Vec2ForCTC, clips: Sequence[Samples], texts: Sequence[str], steps: int = 400
) -> Wav2Vec2ForCTC:
    """Train until every clip gives its text by greedy CTC; fails if `steps` do not do.

    Clips go one by one, unpadded, through transformers' own forward pass: what the engine is
    then tested against owes nothing to ours.
    """
    ids = [[LETTERS.index(c) for c in text.upper().replace(" ", "|")] for text in texts]
    waves = [torch.from_numpy(_levelled(clip))[None] for clip in clips]
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(steps):
        said = [
            model(wave, labels=torch.tensor([labels]))
            for wave, labels in zip(waves, ids, strict=True)
        ]
        loss = sum(one.loss for one in said)
        # Well learned, not just learned: bfloat16 and int8 must find the same letters.
        if loss.item() < 0.05 * len(texts) and [_best_path(one.logits[0]) for one in said] == ids:
            return model
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    raise AssertionError(f"not learned: loss {loss.item():.2f} after {steps} steps")


def _best_path(logits: torch.Tensor) -> list[int]:
    """Greedy CTC in one line: repeats merged, then blanks (0) dropped."""
    return [int(t) for t in torch.unique_consecutive(logits.argmax(-1)) if t]


def _levelled(samples: Samples) -> Samples:
    exact = samples.astype(np.float64)
    return ((exact - exact.mean()) / np.sqrt(exact.var() + 1e-7)).astype(np.float32)
