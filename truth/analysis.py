"""The committed answers -> figures. Seconds; no engine is asked and no sound is made."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from shared.adapters.file_calibrations import read as shipped
from shared.domain.confidence import Calibrations
from truth import answers, batches, cascades, coverage, listening, others, plan, trust, word_times
from truth.corpus import Part
from truth.fitting import FOLDER
from truth.listening import ENGINES
from truth.page import page

RESULTS = Path(__file__).parent / "results" / "truth.json"
#: What tests/attacks tried, written by it.
ATTACKS = Path(__file__).parent / "results" / "attacks.json"
PAGE = Path(__file__).parents[1] / "docs" / "truth.md"


def analysed() -> dict[str, Any]:
    """Everything the page tells. The same answers and calibrations always give the same.

    What was never measured here (word times, batches, attacks) is None, and the page is silent of
    it.

    Raises:
        FileNotFoundError: an engine has not answered a part yet.
        LookupError: an engine has no calibration.
    """
    known = Calibrations(shipped(FOLDER))
    abouts = {name: answers.read(listening.path(name, Part.TEST))[0] for name in ENGINES}
    return {
        "engines": {
            name: {**about.versions, "heard": about.date} for name, about in abouts.items()
        },
        "set": {part: _held(part) for part in Part},
        "coverage": coverage.measured(),
        "times": word_times.figures() if word_times.KEPT.exists() else None,
        "confidence": {name: trust.measured(name, known) for name in ENGINES},
        "cascade": cascades.measured(known),
        "silence": {name: others.measured(name) for name in ENGINES},
        "batches": batches.figures() if batches.KEPT.exists() else None,
        "attacks": json.loads(ATTACKS.read_text("utf-8")) if ATTACKS.exists() else None,
    }


def write(found: dict[str, Any]) -> None:
    """The figures, and the page that is made of them. Safe to repeat."""
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    PAGE.write_text(page(found), encoding="utf-8")


def _held(part: Part) -> dict[str, Any]:
    planned = plan.utterances(part)
    return {
        "segments": len(planned),
        "texts": len({one.text for one in planned}),
        "voices": len({(one.text.language, one.voice.id) for one in planned}),
        "languages": dict(Counter(one.text.language for one in planned)),
        "plan": plan.digest(part),
    }
