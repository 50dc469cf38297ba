"""What a calibration is worth, for people: one JSON file and one picture."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from local.calibration.fitting import Example, confidences, rights
from local.calibration.measures import Bools, Floats, reliability, risk_coverage
from shared.domain.confidence import Calibration

#: Points of the risk-coverage curve that are kept; a line on a screen shows no more.
POINTS = 200


def report(model: Calibration, test: Sequence[Example]) -> dict[str, Any]:
    """The figures, the reliability diagram and the risk-coverage curve, as numbers."""
    confidence, right = confidences(model, test), rights(test)
    coverage, risk = risk_coverage(confidence, right)
    kept = np.unique(np.linspace(0, len(coverage) - 1, min(len(coverage), POINTS)).astype(int))
    return {
        "schema": "earwitness.calibration-report/v1",
        "calibration": model.digest,
        "fitted_for": dict(model.fitted_for),
        "task": model.task.value,
        "language": model.language,
        "label": model.label,
        "provenance": model.provenance.model_dump(mode="json"),
        "measured": model.measured.model_dump(mode="json") if model.measured else None,
        "weights": {f.name: f.coefficient for f in model.features},
        "reliability": [asdict(b) for b in reliability(confidence, right)],
        "risk_coverage": [
            {"coverage": float(c), "risk": float(r)}
            for c, r in zip(coverage[kept], risk[kept], strict=True)
        ],
    }


def write(model: Calibration, test: Sequence[Example], folder: Path, stem: str) -> list[Path]:
    """Write `stem`.report.json and, beside it, `stem`.report.png. Safe to repeat."""
    folder.mkdir(parents=True, exist_ok=True)
    document, picture = (folder / f"{stem}.report.{ending}" for ending in ("json", "png"))
    text = json.dumps(report(model, test), indent=1, ensure_ascii=False)
    document.write_text(text + "\n", encoding="utf-8")
    draw(confidences(model, test), rights(test), picture, _title(model))
    return [document, picture]


def _title(model: Calibration) -> str:
    engine = model.fitted_for.get("checkpoint", "engine")
    return f"{engine}, {model.language or 'any language'}: {model.label}"


def draw(confidence: Floats, right: Bools, to: Path, title: str) -> None:
    """Reliability diagram and risk-coverage curve, side by side, as PNG."""
    # Imported here: it takes half a second, and nothing but the picture needs it.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    left, second = figure.subplots(1, 2)
    _reliability(left, confidence, right)
    _risk(second, confidence, right)
    figure.savefig(to, dpi=110, metadata={"Software": "earwitness calibrate"})


def _reliability(axes: Any, confidence: Floats, right: Bools) -> None:
    bins = reliability(confidence, right)
    axes.plot([0, 1], [0, 1], "--", color="0.6", linewidth=1)
    axes.plot([b.confidence for b in bins], [b.right for b in bins], "o-", color="C0")
    axes.set(
        xlim=(0, 1),
        ylim=(0, 1),
        xlabel="confidence",
        ylabel="share that was right",
        title=f"{len(confidence)} segments in {len(bins)} bins of equal mass",
    )


def _risk(axes: Any, confidence: Floats, right: Bools) -> None:
    coverage, risk = risk_coverage(confidence, right)
    axes.plot(coverage, risk, color="C3")
    axes.axhline(float((~right).mean()), linestyle="--", color="0.6", linewidth=1)
    axes.set(
        xlim=(0, 1),
        ylim=(0, None),
        xlabel="share accepted, surest first",
        ylabel="share of those that is wrong",
        title="risk by coverage",
    )
