"""One Settings object; every field says what it does. Only wiring and the edges read it."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.errors import InvalidSettings


class Backend(StrEnum):
    EMBEDDED = "embedded"
    GCP = "gcp"


def default_home() -> Path:
    """`./.earwitness` in a checkout, else `~/.local/share/earwitness`."""
    if Path("pyproject.toml").exists() and Path("local/cli").exists():
        return Path(".earwitness").resolve()
    return Path("~/.local/share/earwitness").expanduser()


class Cascade(BaseSettings):
    """Engines per task, first choice first."""

    model_config = SettingsConfigDict(extra="forbid")

    transcribe: list[str] = Field(["whisper"], description="Engines that write down speech.")
    classify: list[str] = Field(["sounds"], description="Engines that name sounds; may be empty.")


class Settings(BaseSettings):
    """Read from EARWITNESS_* variables and a .env file; nested names with two underscores."""

    model_config = SettingsConfigDict(
        env_prefix="EARWITNESS_",
        env_nested_delimiter="__",
        env_file=".env",
        extra="ignore",
        frozen=True,
        validate_default=False,
    )

    home: Path = Field(
        default_factory=default_home,
        description="Folder of everything kept on one machine: store, uploads, results, keys.",
    )
    backend: Backend = Field(Backend.EMBEDDED, description="Where state lives: embedded or gcp.")
    cascade: Cascade = Field(
        default_factory=Cascade, description="Engines per task, first choice first."
    )
    engines: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="Engines by name: {kind, checkpoint, revision, device, dtype ...}; added to"
        " the built-in whisper, sounds and echo.",
    )
    slots: int = Field(
        8, ge=1, le=256, description="Jobs the GPU service works on at once; the rest waits."
    )
    decoders: int = Field(2, ge=1, le=32, description="Decoder processes kept warm.")
    lease_s: float = Field(
        60.0, gt=0, description="Seconds a worker may be silent before its job is taken back."
    )
    ticket_s: float = Field(
        480.0,
        gt=0,
        le=590,
        description="Seconds of work on one ticket; then checkpoint and hand over. Push answers"
        " within 600 s.",
    )
    retry_base_s: float = Field(
        2.0, ge=0, description="Seconds before the second attempt; each further wait is 4 times it."
    )
    allow_unsandboxed: bool = Field(
        False, description="Decode without a sandbox where none can be had. For trusted files only."
    )
    max_seconds: float | None = Field(
        None, gt=0, description="Longest recording for every tenant, whatever its tier says."
    )
    weights: Path | None = Field(
        None, description="Folder of assembled model weights; ~/.cache/earwitness/weights if unset."
    )
    worker: str = Field("", description="Name of this worker in leases; unique a process.")
    broker_url: str = Field("", description="Where messages are published on one machine.")
    service_url: str = Field("", description="Where the GPU service answers.")
    push_issuer: str = Field(
        "https://accounts.google.com", description="Who signs push tokens; local/ signs its own."
    )
    push_audience: str = Field("earwitness", description="The audience push tokens must carry.")
    push_email: str = Field("", description="The identity push tokens must carry.")
    push_subject: str = Field("", description="The subject (unique id) push tokens must carry.")
    push_keys: str = Field(
        "https://www.googleapis.com/oauth2/v3/certs",
        description="JSON Web Key Set that verifies push tokens: an https URL or a file.",
    )

    @model_validator(mode="after")
    def _says_where_state_lives(self) -> "Settings":
        """On Cloud Run an unset backend would silently write into the container's memory."""
        if "K_SERVICE" in os.environ and "backend" not in self.model_fields_set:
            raise ValueError(
                "backend: EARWITNESS_BACKEND is not set and this is Cloud Run; set it to gcp"
            )
        return self


def load(**given: Any) -> Settings:
    """Read the settings; `given` wins over variables and file.

    Raises:
        InvalidSettings: every wrong value is named, each with what to do.
    """
    try:
        return Settings(**{k: v for k, v in given.items() if v is not None})
    except ValidationError as error:
        lines = [_sentence(e) for e in error.errors()]
        raise InvalidSettings("The settings are wrong:\n" + "\n".join(lines)) from error


def _sentence(error: Any) -> str:
    where = "__".join(str(part).upper() for part in error["loc"])
    return f"  EARWITNESS_{where}: {error['msg']}" if where else f"  {error['msg']}"


def sources(settings: Settings) -> dict[str, str]:
    """Where each value comes from: environment, .env, default or given."""
    in_file = _names_in(Path(".env"))
    result = {}
    for name in type(settings).model_fields:
        key = f"EARWITNESS_{name}".upper()
        if any(k == key or k.startswith(f"{key}__") for k in map(str.upper, os.environ)):
            result[name] = "environment"
        elif any(k == key or k.startswith(f"{key}__") for k in in_file):
            result[name] = ".env"
        else:
            result[name] = "given" if name in settings.model_fields_set else "default"
    return result


def _names_in(file: Path) -> set[str]:
    if not file.is_file():
        return set()
    lines = file.read_text(encoding="utf-8").splitlines()
    return {line.split("=", 1)[0].strip().upper() for line in lines if "=" in line}
