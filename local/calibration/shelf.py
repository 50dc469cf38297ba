"""The folder of calibrations of one's own, and the reports in it."""

from pathlib import Path

from local.whole_files import write_whole
from shared.adapters.file_calibrations import SUFFIX
from shared.domain.confidence import Calibration, parsed, written
from shared.errors import InvalidCalibration
from shared.settings import Settings
from shared.wiring import CALIBRATIONS

#: Below the folder that is read at each start, so that no report is taken for a calibration.
REPORTS = "reports"


def folder(settings: Settings) -> Path:
    return settings.calibrations or settings.home / CALIBRATIONS


def stem(engine: str, model: Calibration) -> str:
    """What a file and its report are called."""
    return f"{engine}.{model.task}.{model.language or 'any'}"


def put(model: Calibration, engine: str, into: Path) -> Path:
    """Write the file, in place of the one for the same engine, task and language if there is one.

    Safe to repeat: a file is there whole or not at all.
    """
    into.mkdir(parents=True, exist_ok=True)
    path = _same(model, into) or into / f"{stem(engine, model)}{SUFFIX}"
    write_whole(path, written(model))
    return path


def _same(model: Calibration, into: Path) -> Path | None:
    for path in sorted(into.glob(f"*{SUFFIX}")):
        try:
            known = parsed(path.read_bytes(), path.name)
        except InvalidCalibration:
            continue  # it is named at the next start
        if known.scope == model.scope:
            return path
    return None
