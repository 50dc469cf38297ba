"""P8 (import): the functions in a fresh interpreter, beside functions-framework alone."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.measuring import goal, interleaved

ROOT = Path(__file__).parents[1]


def _fresh(code: str) -> float:
    with tempfile.TemporaryDirectory() as home:
        env = os.environ | {"EARWITNESS_HOME": home}
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, check=True)
        return (time.perf_counter() - begun) * 1000


def run() -> bool:
    found = interleaved(
        {
            "functions.main": lambda: _fresh("import functions.main"),
            "functions_framework alone": lambda: _fresh("import functions_framework"),
            "python alone": lambda: _fresh("pass"),
        },
        "ms",
        repeats=11,
    )
    ours, peer, _ = (s.median for s in found.values())
    return goal("of functions-framework alone", ours / peer, 1.5, at_most=True)


if __name__ == "__main__":
    sys.exit(0 if run() else 1)
