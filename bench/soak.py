"""P12 (short form): does memory grow with the jobs done? Slope of resident memory a process.

The slope is fitted after the warm-up. What fills up in it, once: SQLite's page cache of 2 MB a
connection and thread; the C library's arenas, until they hold the largest moment; CPython's table
of interned strings, which doubles near 5,500 jobs (2 MB; pathlib interns every part of a path)
and throws the dead ones away each time it is full.
"""

import os
import sys
from dataclasses import dataclass
from math import sqrt
from pathlib import Path

from bench.measuring import goal
from bench.running import drop, stack, until_done

JOBS, STEPS = 20_000, 20
#: Jobs before the fit begins; see above.
WARM_UP = 8_000
#: GOALS P12, MB per 10,000 jobs.
STEEPEST = 1.0
PAGE = os.sysconf("SC_PAGE_SIZE")

Point = tuple[int, int]  # jobs done, resident bytes


@dataclass(frozen=True, slots=True)
class Line:
    """Least squares through memory over jobs."""

    slope_mb: float  #: per 10,000 jobs
    error_mb: float  #: standard error of the slope, in the same unit
    scatter_mb: float  #: standard deviation of the points around the line


def run(jobs: int = JOBS) -> bool:
    seen = soaked(jobs, STEPS)
    met = True
    for name, points in sorted(seen.items()):
        print(f"  {name}: {', '.join(f'{y / 1e6:.1f}' for _, y in points)} MB")
        line = fitted([p for p in points if p[0] > WARM_UP])
        print(
            f"  {name}, fitted after {WARM_UP:,} of {jobs:,} jobs: {line.slope_mb:.2f}"
            f" +- {line.error_mb:.2f} MB per 10,000; points lie {line.scatter_mb:.2f} MB around it"
        )
        met &= goal(f"{name}, MB per 10,000 jobs", line.slope_mb, STEEPEST, at_most=True)
    print(f"  load {' '.join(f'{x:.2f}' for x in os.getloadavg())}")
    return met


def soaked(jobs: int, steps: int) -> dict[str, list[Point]]:
    """Memory of every process after each step of a stack that does `jobs` jobs."""
    seen: dict[str, list[Point]] = {}
    with stack() as parts:
        done = 0
        for step in range(1, steps + 1):
            until = jobs * step // steps
            for n in range(done, until):
                drop(parts, n)
            until_done(parts, until)
            done = until
            for name, resident in family().items():
                seen.setdefault(name, []).append((until, resident))
    return seen


def family() -> dict[str, int]:
    """Resident bytes of the functions and the service that this process started."""
    found = {}
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and _parent(process) == os.getpid():
            words = _read(process / "cmdline").split(b"\0")
            if b"local.child" in words:
                name = words[words.index(b"local.child") + 1].decode()
                found[name] = int(_read(process / "statm").split()[1]) * PAGE
    return found


def _parent(process: Path) -> int | None:
    """Source: proc_pid_stat(5), field 4; the name in field 2 may hold anything but ")"."""
    fields = _read(process / "stat").rpartition(b")")[2].split()
    return int(fields[1]) if fields else None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def fitted(points: list[Point]) -> Line:
    """The line through at least three points."""
    n = len(points)
    mean_x, mean_y = sum(x for x, _ in points) / n, sum(y for _, y in points) / n
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
    off = sum((y - mean_y - slope * (x - mean_x)) ** 2 for x, y in points)
    scatter = sqrt(off / (n - 2))
    return Line(slope * 1e4 / 1e6, scatter / sqrt(spread) * 1e4 / 1e6, scatter / 1e6)


if __name__ == "__main__":
    sys.exit(0 if run() else 1)
