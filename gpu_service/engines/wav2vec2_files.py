"""What lies in the folder of a Wav2Vec2 checkpoint, read and judged before it is used."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpu_service.ctc.vocabulary import Vocabulary
from gpu_service.engines.registry import EngineSettings
from gpu_service.engines.wav2vec2_network import Network
from gpu_service.engines.wav2vec2_options import Wav2Vec2Options
from gpu_service.weights import checkpoints
from shared.domain.sound import SAMPLE_RATE
from shared.errors import WeightsRefused

HEAD = "lm_head.weight"
#: Read in training only; facebook/wav2vec2-base-960h leaves it out.
TRAINING_ONLY = ("masked_spec_embed", "wav2vec2.masked_spec_embed")
REMEDY = 'Use one fine-tuned for CTC, or set the option `tasks` to ["embed"].'


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A folder that may be loaded, and what its JSON files say."""

    folder: Path
    config: Mapping[str, Any]
    hearing: Mapping[str, Any]  #: of the feature extractor
    speaks: bool  #: is to be loaded with its head

    @property
    def hidden_size(self) -> int:
        return int(self.config.get("hidden_size", 768))

    def sha256(self) -> str:
        """Over all its safetensors, by name."""
        digest = hashlib.sha256()
        for path in sorted(self.folder.glob(checkpoints.WEIGHTS)):
            with path.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        return digest.hexdigest()

    def network(self, settings: EngineSettings, options: Wav2Vec2Options) -> Network:
        """The model in memory.

        Raises:
            WeightsRefused: the files are not what the architecture needs.
        """
        # Read when torch is loaded. Threads that wait in a loop burn the cores of those they
        # wait for: a 5 s clip on two cores shared with others took 3.8 to 6.9 s and 1.5 to 1.9
        # CPU seconds; asleep 1.8 to 2.2 s and 0.67.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        import torch
        from transformers import Wav2Vec2ForCTC, Wav2Vec2Model

        if settings.threads is not None:
            torch.set_num_threads(settings.threads)
        model = checkpoints.loaded(
            Wav2Vec2ForCTC if self.speaks else Wav2Vec2Model,
            self.folder,
            settings,
            may_lack=TRAINING_ONLY,
            attn_implementation="sdpa",
            **options.parameters.model_dump(exclude_none=True),
        )
        network = Network(model, normalises=bool(self.hearing.get("do_normalize", True)))
        if options.quantization == "int8":
            network.quantize()
        return network

    def vocabulary(self, case: str) -> Vocabulary:
        """Its tokens.

        Raises:
            WeightsRefused: there is no tokenizer, or none with one list of single tokens.
        """
        from transformers import Wav2Vec2CTCTokenizer

        if not (self.folder / "vocab.json").is_file():
            raise WeightsRefused(
                f"The checkpoint {self.folder.name} has no tokenizer (vocab.json). {REMEDY}"
            )
        try:
            tokenizer = Wav2Vec2CTCTokenizer.from_pretrained(self.folder, local_files_only=True)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise WeightsRefused(
                f"The tokenizer of the checkpoint {self.folder.name} cannot be read: {error}"
            ) from error
        size = int(self.config.get("vocab_size", 32))
        return Vocabulary.of(
            {text: number for text, number in tokenizer.get_vocab().items() if number < size},
            blank=tokenizer.pad_token,
            delimiter=tokenizer.word_delimiter_token,
            silent=[
                t for t in (tokenizer.bos_token, tokenizer.eos_token, tokenizer.unk_token) if t
            ],
            case=case,
        )


def found(settings: EngineSettings, *, speaks: bool) -> Checkpoint:
    """The checkpoint of `settings`, fit for what it is to do.

    Raises:
        WeightsRefused: says why it is not, and what to do.
    """
    folder = checkpoints.located(settings)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    hearing = _hearing(folder)
    checkpoint = Checkpoint(folder, config, hearing, speaks)
    reason = _unfit(checkpoint)
    if reason:
        raise WeightsRefused(f"The checkpoint {folder.name} {reason}", file=folder.name)
    return checkpoint


def _unfit(checkpoint: Checkpoint) -> str | None:
    config, rate = checkpoint.config, checkpoint.hearing.get("sampling_rate", SAMPLE_RATE)
    if config.get("model_type") != "wav2vec2":
        return f"is a {config.get('model_type')}, not a wav2vec2. Choose the kind that fits it."
    if config.get("add_adapter") or config.get("adapter_attn_dim"):
        return "has adapters, which this kind does not load. Use one without."
    if rate != SAMPLE_RATE:
        return f"hears {rate} Hz; every engine here gets {SAMPLE_RATE}. Use another."
    if checkpoint.speaks and HEAD not in _weights(checkpoint.folder):
        return f"has no CTC head ({HEAD}). {REMEDY}"
    return None


def _hearing(folder: Path) -> Mapping[str, Any]:
    """The feature extractor's settings; older and newer transformers keep them apart."""
    for name, inside in (("preprocessor_config.json", None), ("processor_config.json", "feature")):
        path = folder / name
        if path.is_file():
            read: dict[str, Any] = json.loads(path.read_text("utf-8"))
            return read.get("feature_extractor", {}) if inside else read
    raise WeightsRefused(
        f"The checkpoint {folder.name} has no preprocessor_config.json, so nobody knows whether"
        " it wants its input normalised. Copy the one of its base model."
    )


def _weights(folder: Path) -> set[str]:
    """Names of all weights, from the headers alone.

    Source: the safetensors format, README: 8 bytes of little-endian length, then JSON.
    """
    names: set[str] = set()
    for path in folder.glob(checkpoints.WEIGHTS):
        with path.open("rb") as stream:
            size = int.from_bytes(stream.read(8), "little")
            head = stream.read(min(size, path.stat().st_size))
        try:
            names |= set(json.loads(head))
        except ValueError as error:
            raise WeightsRefused(f"{path.name} is not safetensors.", file=path.name) from error
    return names
