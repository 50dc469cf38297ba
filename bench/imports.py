"""P8: the functions as deployed: their import, and how soon the first event is settled."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.measuring import goal, interleaved
from tests.functions.deployment import Installed, clean, install

REPEATS = 11


def _fresh(installed: Installed, code: str) -> Callable[[], float]:
    """Milliseconds of a fresh interpreter in the archive's root, with a HOME never seen."""

    def case() -> float:
        with tempfile.TemporaryDirectory() as home:
            begun = time.perf_counter()
            subprocess.run(
                [installed.bin / "python", "-c", code],
                cwd=installed.root,
                env=clean(EARWITNESS_HOME=home),
                check=True,
            )
            return (time.perf_counter() - begun) * 1000

    return case


def imported(installed: Installed) -> bool:
    """The embedded archive beside the framework it needs in any case."""
    print("  import, embedded, from the unpacked archive:")
    found = interleaved(
        {
            "main": _fresh(installed, "import main"),
            "functions_framework alone": _fresh(installed, "import functions_framework"),
            "python alone": _fresh(installed, "pass"),
        },
        "ms",
        repeats=REPEATS,
    )
    ours, peer, _ = (s.median for s in found.values())
    return goal("of functions-framework alone", ours / peer, 1.5, at_most=True)


def run() -> bool:
    with tempfile.TemporaryDirectory() as folder:
        installed = install(Path(folder))
        for code in ("import main", "import functions_framework"):  # writes their bytecode
            _fresh(installed, code)()
        return imported(installed)


if __name__ == "__main__":
    sys.exit(0 if run() else 1)
