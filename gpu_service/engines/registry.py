"""Engines by name: which kinds there are, and how one is built from settings."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import ClassVar, Protocol, cast

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from gpu_service.engines.engine import Engine
from shared.errors import InvalidSettings

#: kind -> where its class is. A new kind is one file and one line; it is imported when built,
#: so the libraries of an engine nobody asked for never load.
KINDS: dict[str, str] = {
    "whisper": "gpu_service.engines.whisper:Whisper",
    "sounds": "gpu_service.engines.sounds:Sounds",
    "echo": "gpu_service.engines.echo:Echo",
    "wav2vec2": "gpu_service.engines.wav2vec2:Wav2Vec2",
    "qwen2_audio": "gpu_service.engines.qwen2_audio:Qwen2Audio",
    "whisper_hf": "gpu_service.engines.whisper_hf:WhisperHf",
    "ast": "gpu_service.engines.ast:Ast",
    "qwen2_remote": "gpu_service.engines.qwen2_remote:Qwen2Remote",
    "openai": "gpu_service.engines.openai:OpenAi",
}

#: For kinds on torch that do not say otherwise; int8, the default of the others, is float32 there.
TORCH_DTYPES = frozenset({"float32", "bfloat16", "float16", "int8"})


class EngineSettings(BaseModel):
    """One entry of `EARWITNESS_ENGINES`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str = Field(description="A kind named in KINDS, or `module:Class` of your own engine.")
    checkpoint: str | None = Field(
        None, description="Folder, hub name or gs://bucket/prefix; None = the kind's own."
    )
    revision: str | None = Field(None, description="Commit of the hub repository.")
    sha256: str | None = Field(
        None, pattern="^[0-9a-f]{64}$", description="Digest the checkpoint's weights must have."
    )
    device: str = Field("cpu", pattern="^(cpu|cuda(:[0-9]+)?)$", description="cpu or cuda[:N].")
    dtype: str = Field("int8", description="Type the model computes in.")
    preload: bool = Field(False, description="Load at start, not at the first call.")
    warm_up: bool | None = Field(
        None, description="Hear a second after loading; None = where a first call costs more."
    )
    fallback: bool = Field(True, description="Load on the CPU where the GPU is absent or fails.")
    threads: int | None = Field(None, ge=1, le=256, description="CPU threads; None = all cores.")
    options: dict[str, JsonValue] = Field(
        default_factory=dict, description="What only this kind knows; checked by the kind."
    )


class Kind(Protocol):
    """What a class named in KINDS is: an engine built from its settings alone.

    It may also say `needs_torch = True`, and then runs under the Python that has torch (the
    service's own need not), and `dtypes`, a frozenset of the values `dtype` may have.
    """

    options: ClassVar[type[BaseModel]]

    def __call__(self, name: str, settings: EngineSettings, *, cache: Path) -> Engine: ...


class NoOptions(BaseModel):
    """For kinds that have none: any is a mistake."""

    model_config = ConfigDict(extra="forbid")


DEFAULTS: Mapping[str, EngineSettings] = {
    name: EngineSettings(kind=name) for name in ("whisper", "sounds", "echo")
}


def parse(raw: Mapping[str, Mapping[str, object]]) -> dict[str, EngineSettings]:
    """The built-in engines and those in `raw`, which may replace a built-in one.

    Raises:
        InvalidSettings: names every wrong entry at once.
    """
    found, problems = read(raw)
    if problems:
        raise InvalidSettings("; ".join(problems), problems=len(problems))
    return found


def read(
    raw: Mapping[str, Mapping[str, object]],
) -> tuple[dict[str, EngineSettings], list[str]]:
    """The engines whose entries are right, and a line for each mistake in the others."""
    found: dict[str, EngineSettings] = dict(DEFAULTS)
    problems: list[str] = []
    for name, entry in raw.items():
        try:
            settings = EngineSettings.model_validate(entry)
            mistakes = _mistakes(name, settings)
        except ValidationError as error:
            mistakes = _said(name, error)
        except InvalidSettings as error:
            mistakes = [f"engine {name}: {error}"]
        if mistakes:
            problems += mistakes
            found.pop(name, None)
        else:
            found[name] = settings
    return found, problems


def _mistakes(name: str, settings: EngineSettings) -> list[str]:
    """What is wrong with one entry whose fields are well formed."""
    kind = kind_of(settings)
    found = []
    try:
        kind.options.model_validate(settings.options)
    except ValidationError as error:
        found += _said(name, error)
    known = dtypes(kind)
    if known is not None and settings.dtype not in known:
        found.append(
            f"engine {name}: dtype: {settings.dtype!r} is not known to the kind"
            f" {settings.kind}; use one of {', '.join(sorted(known))}"
        )
    if why := _no_checkpoint(settings.checkpoint, kind):
        found.append(f"engine {name}: checkpoint: {why}")
    return found


def dtypes(kind: Kind) -> frozenset[str] | None:
    """The types the kind computes in; None = it does not say, or has none."""
    said = getattr(kind, "dtypes", None)
    return TORCH_DTYPES if said is None and getattr(kind, "needs_torch", False) else said


def _no_checkpoint(checkpoint: str | None, kind: Kind) -> str:
    """Why this names nothing that could be loaded; empty for a folder, bucket or hub name."""
    if checkpoint is None:
        return ""
    if checkpoint.startswith("gs://"):
        bucket, _, prefix = checkpoint.removeprefix("gs://").partition("/")
        if not getattr(kind, "needs_torch", False):
            return "only kinds on torch read from a bucket; name a folder"
        return "" if bucket and prefix.strip("/") else "write gs://BUCKET/PREFIX"
    is_path = checkpoint.startswith(("/", "./", "../", "~"))
    missing = is_path and not Path(checkpoint).expanduser().exists()
    return f"there is no {checkpoint}" if missing else ""


def build(name: str, settings: EngineSettings, *, cache: Path) -> Engine:
    """The engine, not loaded yet. `cache` is where it may keep files it makes.

    Raises:
        InvalidSettings: unknown kind, or options the kind does not know.
    """
    kind = kind_of(settings)
    try:
        kind.options.model_validate(settings.options)
    except ValidationError as error:
        raise InvalidSettings("; ".join(_said(name, error)), engine=name) from error
    return kind(name, settings, cache=cache)


def kind_of(settings: EngineSettings) -> Kind:
    """The class behind `settings.kind`.

    Raises:
        InvalidSettings: there is none.
    """
    path = settings.kind if ":" in settings.kind else KINDS.get(settings.kind, "")
    module, _, name = path.partition(":")
    if not name:
        raise InvalidSettings(
            f"the kind {settings.kind!r} is unknown; use one of {', '.join(KINDS)}",
            kind=settings.kind,
        )
    try:
        return cast(Kind, getattr(import_module(module), name))
    except (ModuleNotFoundError, AttributeError) as error:
        raise InvalidSettings(
            f"the kind {settings.kind!r} cannot be imported: {error}", kind=settings.kind
        ) from error


def _said(name: str, error: ValidationError) -> list[str]:
    return [
        f"engine {name}: {'.'.join(map(str, e['loc'])) or 'entry'}: {e['msg']}"
        for e in error.errors(include_url=False, include_input=False)
    ]
