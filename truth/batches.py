"""A5: an answer does not depend on what was heard beside it.

python -m truth.batches, in the environment with torch, asks Wav2Vec2 about clips alone and in
groups of mixed lengths, and keeps what it found; the figures come from what is kept.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from scipy.stats import binomtest

KEPT = Path(__file__).parent / "answers" / "batches.json"
#: Where the environment with torch is (`make env-models`).
MODELS = Path(".venv-models/bin/python")
#: GOALS A5: share of texts that must be the same, by type. In float32 a rounding is none.
LEAST_SAME = {"float32": 1.0, "bfloat16": 0.995}
CONFIDENCE_LEVEL = 0.95


def measure() -> None:
    """Ask in the environment with torch, and keep; nothing happens where there is none."""
    if MODELS.exists():
        subprocess.run([MODELS, "-m", "truth.batches"], check=True)
    else:
        print("A5 is not measured: make the environment with `make env-models`.", file=sys.stderr)


def figures() -> list[dict[str, Any]]:
    """By norm and type, with the interval by Clopper and Pearson (1934)."""
    kept = json.loads(KEPT.read_text(encoding="utf-8"))
    return [{**one, **_interval(one["same"], one["clips"])} for one in kept]


def _interval(same: int, clips: int) -> dict[str, float]:
    between = binomtest(same, clips).proportion_ci(CONFIDENCE_LEVEL, method="exact")
    return {"low": round(float(between.low), 3), "high": round(float(between.high), 3)}


def met(one: Mapping[str, Any]) -> bool:
    return bool(one["same"] / one["clips"] >= LEAST_SAME[one["dtype"]])


def main() -> int:
    invariance = import_module("bench.wav2vec2_cpu").invariance  # torch, and checkpoints of tests
    names = ("norm", "dtype", "clips", "change", "same")
    found = [dict(zip(names, row, strict=True)) for row in invariance()]
    for one in found:
        one["change"] = float(f"{one['change']:.2g}")
    KEPT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
