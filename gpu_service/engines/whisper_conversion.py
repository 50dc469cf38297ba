"""Whisper's real weights as transformers reads them, out of the package CTranslate2 reads.

pinned model.bin -> tensors -> other names -> safetensors, config, tokenizer -> digest -> rename

The weights are half floats in both, so nothing is lost; only names change.
"""

import json
import re
import shutil
import struct
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_service.weights import pinned
from shared.errors import WeightsRefused

#: sha256 of what the conversion of the pinned Whisper base must give, every time.
BASE_CONVERTED: Mapping[str, str] = {
    "model.safetensors": "2be218e4f1b5d055eee604bb1f92e17f5b36f316ff5366fb3db3a36c75258467",
    "config.json": "9364a6e6ad1a8f1f975493718ff8b16a3187c7a2676ea003cdd4d0bc0008185f",
    "generation_config.json": "05200579de41fcb47252b2835dc9eb46c6d370b4e706b580a7815737c5aa33f4",
    "preprocessor_config.json": "ef96f6ca1aee743cf4a5d2547539e2ef73d04a5f27558bb214081e829a8e67b9",
    "tokenizer.json": pinned.BASE_DIGESTS["tokenizer.json"],
    "tokenizer_config.json": "c1feefbd5b3d762e412d34c5a3c391c80850ea5dd62c6af9e23830cb035d54b8",
}
#: Types by the number that stands in the file (CTranslate2, `include/ctranslate2/types.h`).
TYPES = (np.float32, np.int8, np.int16, np.int32, np.float16)
#: Channels of a head in every published Whisper (paper, table 1: width / heads).
HEAD_SIZE = 64

Tensor = NDArray[Any]

#: CTranslate2's name of a part -> transformers', in the order their rows lie in the tensor.
PARTS: Mapping[str, tuple[str, ...]] = {
    "self_attention/layer_norm": ("self_attn_layer_norm",),
    "self_attention/linear_0": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "self_attention/linear_1": ("self_attn.out_proj",),
    "attention/layer_norm": ("encoder_attn_layer_norm",),
    "attention/linear_0": ("encoder_attn.q_proj",),
    "attention/linear_1": ("encoder_attn.k_proj", "encoder_attn.v_proj"),
    "attention/linear_2": ("encoder_attn.out_proj",),
    "ffn/layer_norm": ("final_layer_norm",),
    "ffn/linear_0": ("fc1",),
    "ffn/linear_1": ("fc2",),
    "layer_norm": ("layer_norm",),
    "conv1": ("conv1",),
    "conv2": ("conv2",),
    "position_encodings": ("embed_positions",),
    "embeddings": ("embed_tokens",),
}
KINDS = {"weight": "weight", "bias": "bias", "gamma": "weight", "beta": "bias"} | {
    "encodings": "weight"
}
_NAME = re.compile(r"(encoder|decoder)/(?:layer_(\d+)/)?(.+)/(\w+)")


def whisper_base(cache: Path) -> Path:
    """The folder of the converted Whisper base under `cache`, made and proven on first use.

    Safe to repeat and safe for several processes at once: the folder appears by one rename.

    Raises:
        WeightsRefused: the pinned weights cannot be had, or gave other bytes than pinned.
    """
    folder = cache / f"whisper-base-{pinned.BASE_REVISION[:8]}-transformers"
    if folder.is_dir():
        pinned.verified_once(folder, BASE_CONVERTED)
        return folder
    made = Path(tempfile.mkdtemp(dir=cache, prefix=f".{folder.name}."))
    try:
        convert(pinned.whisper_base(cache), made)
        pinned.verified_once(made, BASE_CONVERTED)
        _appear(made, folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return folder


def convert(source: Path, target: Path) -> None:
    """Write into `target` what transformers needs of the CTranslate2 Whisper in `source`.

    Raises:
        WeightsRefused: the file is damaged, or holds a part that is not known.
    """
    from safetensors.numpy import save_file

    tensors = renamed(read(source / "model.bin"))
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    vocabulary = _vocabulary(source / "tokenizer.json")
    shutil.copyfile(source / "tokenizer.json", target / "tokenizer.json")
    told = json.loads((source / "config.json").read_text(encoding="utf-8"))
    _write(target / "config.json", config(tensors, vocabulary))
    _write(target / "generation_config.json", generation(told, vocabulary))
    _write(target / "preprocessor_config.json", front_end(tensors))
    _write(target / "tokenizer_config.json", {"tokenizer_class": "WhisperTokenizer"})


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a CTranslate2 model file, by name.

    Layout: version, specification, revision, count; for each variable its name, rank, sizes,
    type and bytes; then aliases. Little-endian. Source: CTranslate2, `python/ctranslate2/
    specs/model_spec.py`, `_serialize`.

    Raises:
        WeightsRefused: the file ends early or goes on where it should not.
    """
    try:
        return dict(_variables(_Reader(memoryview(path.read_bytes()))))
    except (struct.error, ValueError, IndexError, UnicodeDecodeError) as error:
        raise WeightsRefused(f"{path.name} is no CTranslate2 model.", file=path.name) from error


class _Reader:
    def __init__(self, data: memoryview) -> None:
        self._data, self._at = data, 0

    def number(self, kind: str) -> int:
        found: int = struct.unpack_from(f"<{kind}", self._data, self._at)[0]
        self._at += struct.calcsize(kind)
        return found

    def bytes(self, size: int) -> memoryview:
        part = self._data[self._at : self._at + size]
        if len(part) != size:
            raise ValueError("cut short")
        self._at += size
        return part

    def text(self) -> str:
        return bytes(self.bytes(self.number("H"))).rstrip(b"\0").decode()

    @property
    def at_end(self) -> bool:
        return self._at == len(self._data)


def _variables(file: _Reader) -> Iterator[tuple[str, Tensor]]:
    file.number("I"), file.text(), file.number("I")
    for _ in range(file.number("I")):
        name = file.text()
        shape = [file.number("I") for _ in range(file.number("B"))]
        kind = TYPES[file.number("B")]
        yield name, np.frombuffer(file.bytes(file.number("I")), kind).reshape(shape)
    for _ in range(file.number("I")):
        file.text(), file.text()
    if not file.at_end:
        raise ValueError("goes on after its end")


def renamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same numbers under transformers' names, fused projections taken apart.

    Raises:
        WeightsRefused: a tensor has no known place.
    """
    made: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if tensor.ndim:  # single numbers are settings of CTranslate2's own
            made |= _placed(name, tensor)
    return made


def _placed(name: str, tensor: Tensor) -> dict[str, Tensor]:
    found = _NAME.fullmatch(name)
    if found is None or found[3] not in PARTS or found[4] not in KINDS:
        raise WeightsRefused(f"The tensor {name} has no known place in Whisper.", tensor=name)
    side, layer, part, kind = found.groups()
    inside = f"layers.{layer}." if layer else ""
    names = [f"model.{side}.{inside}{n}.{KINDS[kind]}" for n in PARTS[part]]
    parts = zip(names, np.split(tensor, len(names)), strict=True)
    # Whisper's keys have no bias; the fused tensor holds zeros in their place.
    return {n: np.ascontiguousarray(t) for n, t in parts if not n.endswith("k_proj.bias")}


def config(tensors: Mapping[str, Tensor], vocabulary: Mapping[str, int]) -> dict[str, Any]:
    """`config.json`: what the shapes say."""
    width, n_mels, _ = tensors["model.encoder.conv1.weight"].shape
    n_layers = {side: _count(tensors, side) for side in ("encoder", "decoder")}
    hidden = tensors["model.encoder.layers.0.fc1.bias"].size
    both = {
        f"{side}_{name}": value
        for side in n_layers
        for name, value in (
            ("layers", n_layers[side]),
            ("attention_heads", width // HEAD_SIZE),
            ("ffn_dim", hidden),
        )
    }
    end = vocabulary["<|endoftext|>"]
    return {
        "architectures": ["WhisperForConditionalGeneration"],
        "model_type": "whisper",
        "d_model": width,
        "num_mel_bins": n_mels,
        "vocab_size": len(tensors["model.decoder.embed_tokens.weight"]),
        "max_source_positions": len(tensors["model.encoder.embed_positions.weight"]),
        "max_target_positions": len(tensors["model.decoder.embed_positions.weight"]),
        "decoder_start_token_id": vocabulary["<|startoftranscript|>"],
        **dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), end),
        "tie_word_embeddings": True,
        **both,
    }


def generation(told: Mapping[str, Any], vocabulary: Mapping[str, int]) -> dict[str, Any]:
    """`generation_config.json`: what CTranslate2's config says, under transformers' names."""
    languages = {text: i for text, i in vocabulary.items() if i in set(told["lang_ids"])}
    tasks = {task: vocabulary[f"<|{task}|>"] for task in ("transcribe", "translate")}
    end = vocabulary["<|endoftext|>"]
    return {
        **dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), end),
        "decoder_start_token_id": vocabulary["<|startoftranscript|>"],
        "prev_sot_token_id": vocabulary["<|startofprev|>"],
        "no_timestamps_token_id": vocabulary["<|notimestamps|>"],
        "suppress_tokens": told["suppress_ids"],
        "begin_suppress_tokens": told["suppress_ids_begin"],
        "alignment_heads": told["alignment_heads"],
        "is_multilingual": bool(languages),
        "lang_to_id": dict(sorted(languages.items())),
        "task_to_id": tasks,
    }


def front_end(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """`preprocessor_config.json`: Whisper's log-mel spectrogram (paper, section 2.2)."""
    return {
        "feature_extractor_type": "WhisperFeatureExtractor",
        "feature_size": tensors["model.encoder.conv1.weight"].shape[1],
        "sampling_rate": 16_000,
        "hop_length": 160,
        "n_fft": 400,
        "chunk_length": 30,
    }


def _count(tensors: Mapping[str, Tensor], side: str) -> int:
    return sum(name.endswith("fc1.bias") and f".{side}." in name for name in tensors)


def _vocabulary(path: Path) -> dict[str, int]:
    """The control tokens; `path` is in the format of the tokenizers library."""
    added = json.loads(path.read_text(encoding="utf-8"))["added_tokens"]
    return {token["content"]: token["id"] for token in added}


def _write(path: Path, told: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(told, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _appear(made: Path, folder: Path) -> None:
    try:
        made.rename(folder)
    except OSError:  # another process was first; the bytes are the same
        if not folder.is_dir():
            raise
