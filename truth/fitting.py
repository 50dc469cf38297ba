"""The calibrations that ship: fitted on train and calibration, measured on test."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import shared
from local.calibration.fitting import About, Example, Parted, fit
from shared.domain.confidence import Calibration, written
from truth import answers, listening
from truth.corpus import LANGUAGES, Part
from truth.labelled import examples
from truth.listening import ENGINES, ENGLISH_ONLY

FOLDER = Path(shared.__file__).parent / "calibrations"
#: The engine that is asked before, where a cascade has two: the later one knows whether it
#: agrees. Its calibration learns from its answers with and without that.
BEFORE = {"whisper-base": "whisper-tiny.en"}
DATA = (
    "flite and espeak-ng in English, Spanish and French under noise, reverberation, clipping,"
    " codecs, band limits and speed (truth/)"
)


def fit_all() -> list[Path]:
    """Fit every engine and write its files. The same answers always give the same files."""
    return [_put(name, model) for name in ENGINES for model in fitted(name)]


def fitted(engine: str) -> Iterator[Calibration]:
    """One file a language of the set, and for an engine of many languages one for any other."""
    if engine in ENGLISH_ONLY:
        yield _fitted(engine, "en")
        return
    yield from (_fitted(engine, language) for language in (*LANGUAGES, None))


def _fitted(engine: str, language: str | None) -> Calibration:
    about, _ = answers.read(listening.path(engine, Part.TRAIN))
    day = datetime.fromisoformat(about.date).replace(tzinfo=UTC)
    parts = (_examples(engine, part, language) for part in Part)
    return fit(Parted(*parts), About(about.versions, language, DATA, day))


def _examples(engine: str, part: Part, language: str | None) -> list[Example]:
    known = examples(engine, part)
    # Test is what an engine alone is worth; beside another one is the cascade's matter.
    if part is not Part.TEST and engine in BEFORE:
        known += examples(engine, part, BEFORE[engine])
    return [one for one in known if language in (None, one.language)]


def _put(engine: str, model: Calibration) -> Path:
    path = FOLDER / f"{engine}.{model.task}.{model.language or 'any'}.json"
    path.write_bytes(written(model))
    return path
