"""Which Python an engine's process runs under: ours, or the one that has torch."""

import sys
from importlib.util import find_spec
from pathlib import Path

from gpu_service.engines.registry import EngineSettings, kind_of
from shared.errors import LibraryMissing

#: Where `make env-models` puts the Python that has torch.
BESIDE = Path(__file__).parents[2] / ".venv-models/bin/python"


def needs_torch(settings: EngineSettings) -> bool:
    """Whether the kind says that its models run on torch.

    Raises:
        InvalidSettings: there is no such kind.
    """
    return bool(getattr(kind_of(settings), "needs_torch", False))


def python_of(settings: EngineSettings, models_python: Path | None) -> Path:
    """The Python for a process of this engine.

    Ours where it will do; `models_python` is the setting of that name.

    Raises:
        LibraryMissing: the kind needs torch and no Python here is known to have it.
        InvalidSettings: there is no such kind.
    """
    ours = Path(sys.executable)
    if not needs_torch(settings) or find_spec("torch") is not None:
        return ours
    chosen = models_python or BESIDE
    if not chosen.is_file():
        raise LibraryMissing(kind=settings.kind)
    return chosen
