"""Calibrations from files: those that ship with Earwitness, then a folder of one's own."""

from collections.abc import Iterable
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from shared.domain.confidence import Calibration, Calibrations, apart, parsed
from shared.errors import InvalidCalibration

#: What a calibration's file is called at the end; anything else in the folder is left alone.
SUFFIX = ".json"


def shipped() -> Traversable:
    """The folder of those that come with Earwitness."""
    return files("shared") / "calibrations"


def calibrations(own: Path, theirs: Traversable | None = None) -> Calibrations:
    """All there are; a file in `own` wins over a shipped one (`theirs`) for the same engine.

    A folder that is not there holds none. Read once: a new file counts after the next start.

    Raises:
        InvalidCalibration: a file is damaged, or two of a folder are for the same. Each start
            fails so until somebody mends or removes it.
    """
    return Calibrations((*read(theirs or shipped()), *read(own)))


def read(folder: Traversable) -> tuple[Calibration, ...]:
    """The calibrations of one folder, by name of file."""
    if not folder.is_dir():
        return ()
    named = [(f.name, parsed(_bytes(f), f.name)) for f in _documents(folder.iterdir())]
    apart(named)
    return tuple(calibration for _, calibration in named)


def _documents(found: Iterable[Traversable]) -> list[Traversable]:
    kept = (f for f in found if f.name.endswith(SUFFIX) and not f.name.startswith("."))
    return sorted(kept, key=lambda f: f.name)


def _bytes(file: Traversable) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InvalidCalibration(
            f"{file.name} cannot be read ({error.strerror}). Make it readable, or remove it.",
            file=file.name,
        ) from error
