"""Engines that a vendor's setting makes: `openai` its key, `qwen` its endpoint."""

from collections.abc import Mapping
from typing import Any

from shared.errors import InvalidSettings
from shared.settings import Settings, seconds


def named(settings: Settings) -> Mapping[str, Mapping[str, Any]]:
    """The entries of EARWITNESS_ENGINES and those that follow from a vendor's settings.

    An entry of one's own under such a name wins. Keys stand in no entry: engines read theirs
    from the settings when they load, so that none is handed around.

    Raises:
        InvalidSettings: an engine of the kind `openai` is set and OPENAI_API_KEY is not.
    """
    found: dict[str, Mapping[str, Any]] = {}
    if settings.openai_api_key:
        found["openai"] = {"kind": "openai"}
    if settings.qwen_endpoint:
        found["qwen"] = {"kind": "qwen2_remote", "options": _qwen(settings)}
    found |= settings.engines
    keyless = [n for n, entry in found.items() if entry.get("kind") == "openai"]
    if keyless and not settings.openai_api_key:
        raise InvalidSettings(f"OPENAI_API_KEY is not set; {', '.join(keyless)} needs it.")
    return found


def _qwen(settings: Settings) -> dict[str, Any]:
    return {
        "endpoint": settings.qwen_endpoint,
        "model": settings.qwen_model_version,
        "calls": settings.qwen_batch_size,
        "timeout_s": seconds(settings.qwen_timeout),
        "retries": settings.qwen_max_retries,
    }
