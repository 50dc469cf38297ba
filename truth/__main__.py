"""Listen to the set, fit the calibrations, write the figures and the page.

--replay asks no engine: the figures and the page come from the committed answers alone.
"""

import argparse
import sys

from truth import batches, coverage, word_times
from truth.analysis import PAGE, analysed, write
from truth.fitting import fit_all
from truth.listening import listen


def _listen_elsewhere() -> None:
    """What A1, A2 and A5 need beside the set, where nothing is kept of it."""
    known = coverage.measured()
    if missing := [n for n in coverage.LENGTHS_S if f"{n} s" not in known]:
        coverage.main(missing)
    if not word_times.KEPT.exists():
        word_times.measure()
    if not batches.KEPT.exists():
        batches.measure()


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="make truth", description=__doc__)
    parser.add_argument("--replay", action="store_true", help="ask no engine, fit nothing anew")
    if not parser.parse_args(arguments).replay:
        listen()
        _listen_elsewhere()
        for path in fit_all():
            print(f"fitted {path.name}")
    write(analysed())
    print(PAGE.read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
