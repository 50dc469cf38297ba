"""Checkpoints that transformers can read: found, proven, and loaded without running their code."""

import json
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpu_service.engines.registry import EngineSettings
from gpu_service.weights import loading, pinned, streamed
from gpu_service.weights.loading import Part
from shared.errors import WeightsRefused

if TYPE_CHECKING:
    import torch

#: The one file format that cannot carry code.
WEIGHTS = "*.safetensors"
#: The one file of a checkpoint whose digest `sha256` is, where it is not cut into shards; of
#: shards it is the digest of the index, which names them.
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"


def located(settings: EngineSettings) -> Path:
    """The folder of the engine's checkpoint, proven to be one that may be loaded.

    Of one in a bucket (`gs://bucket/prefix`) it holds the small files, and of each weights file
    its header; the weights themselves come when they are loaded. See `streamed`.

    Raises:
        WeightsRefused: there is none, its digest is another, its weights are pickled, or it
            asks for code of its own.
    """
    if settings.checkpoint is None:
        raise WeightsRefused("This kind has no checkpoint of its own. Set `checkpoint`.")
    with loading.part(Part.LOCATE):
        folder = _folder(settings.checkpoint, settings)
        check(folder)
    if settings.sha256 and not streamed.is_streamed(folder):
        name = INDEX if (folder / INDEX).is_file() else SINGLE
        with loading.part(Part.VERIFY):
            pinned.verify(folder, {name: settings.sha256})
    return folder


def _folder(checkpoint: str, settings: EngineSettings) -> Path:
    if checkpoint.startswith(streamed.SCHEME):
        return streamed.located(checkpoint, settings.sha256)
    path = Path(checkpoint).expanduser()
    return path if path.is_dir() else pinned.snapshot(checkpoint, settings.revision)


def check(folder: Path) -> None:
    """Refuse a folder without a config or safetensors, or with remote code.

    Raises:
        WeightsRefused: says which, and what to do.
    """
    config = folder / "config.json"
    if not config.is_file():
        raise WeightsRefused(f"The checkpoint {folder.name} has no config.json.")
    if not any(folder.glob(WEIGHTS)):
        raise WeightsRefused(
            f"The checkpoint {folder.name} has no *.safetensors; pickled weights can run code"
            " and are never read. Convert it with save_pretrained first."
        )
    if "auto_map" in json.loads(config.read_text(encoding="utf-8")):
        raise WeightsRefused(
            f"The checkpoint {folder.name} asks for code of its own (auto_map), which is never"
            " run. Use one whose architecture transformers knows."
        )


def dtype_of(name: str) -> "torch.dtype":
    """float32, bfloat16 or float16; int8, the default of the other kinds, means float32 here."""
    import torch

    return {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(name, torch.float32)


def loaded(
    model_class: Any,
    folder: Path,
    settings: EngineSettings,
    *,
    may_lack: Collection[str] = (),
    **more: Any,
) -> Any:
    """A model of `model_class` in evaluation mode on the engine's device.

    Args:
        may_lack: weights inference never reads, which some checkpoints leave out.
        more: passed on to `from_pretrained`.

    Raises:
        WeightsRefused: the files are not what the architecture needs.
    """
    try:
        model, said = _read(model_class, folder, settings, more)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise WeightsRefused(
            f"The checkpoint {folder.name} cannot be loaded: {error}", file=folder.name
        ) from error
    _complete(folder, set(said["missing_keys"]) - set(may_lack))
    with loading.part(Part.TO_DEVICE):
        return model.eval().to(settings.device)


def _read(model_class: Any, folder: Path, settings: EngineSettings, more: dict[str, Any]) -> Any:
    """What `from_pretrained` gives: the model, and what it says of its weights."""
    if streamed.is_streamed(folder):
        with streamed.one_by_one():
            given = streamed.arguments(model_class, folder, settings.device, more)
            return model_class.from_pretrained(
                **given, dtype=dtype_of(settings.dtype), output_loading_info=True
            )
    return model_class.from_pretrained(
        folder,
        dtype=dtype_of(settings.dtype),
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
        output_loading_info=True,
        **more,
    )


def _complete(folder: Path, missing: Collection[str]) -> None:
    """transformers fills what a checkpoint lacks with random numbers, and only warns."""
    if missing:
        names = ", ".join(sorted(missing)[:3])
        raise WeightsRefused(
            f"The checkpoint {folder.name} lacks {len(missing)} weights ({names} ...), which"
            f" would be random. Use one that was made for this.",
            file=folder.name,
        )


def part(part_class: Any, folder: Path) -> Any:
    """A tokenizer, front end or processor of the checkpoint in `folder`.

    Raises:
        WeightsRefused: its files are missing or damaged.
    """
    try:
        return part_class.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsRefused(
            f"The {part_class.__name__} of {folder.name} cannot be loaded: {error}",
            file=folder.name,
        ) from error
