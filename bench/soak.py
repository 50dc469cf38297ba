"""P12 (short form): does memory grow with the jobs done? Slope of resident memory a process."""

import sys
from pathlib import Path

from bench.measuring import goal
from bench.running import drop, stack, until_done

JOBS, STEPS = 20_000, 10
#: Steps that count as warm-up: SQLite fills a page cache of 2 MB a connection and thread.
WARM_UP = 4
#: Bytes a page; Linux on x86-64 and arm64 servers.
PAGE = 4096


def family() -> dict[str, int]:
    """Resident bytes of the functions and the service that this bench started."""
    found = {}
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            words = _read(process / "cmdline").split(b"\0")
            if b"local.child" in words and b".bench-" in _read(process / "environ"):
                name = words[words.index(b"local.child") + 1].decode()
                found[name] = int(_read(process / "statm").split()[1]) * PAGE
    return found


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def slope_mb(points: list[tuple[int, int]]) -> float:
    """Least squares, in MB per 10,000 jobs."""
    n = len(points)
    mean_x, mean_y = sum(x for x, _ in points) / n, sum(y for _, y in points) / n
    over = sum((x - mean_x) * (y - mean_y) for x, y in points)
    return over / sum((x - mean_x) ** 2 for x, _ in points) * 10_000 / 1e6


def run(jobs: int = JOBS) -> bool:
    points: dict[str, list[tuple[int, int]]] = {}
    with stack() as parts:
        for step in range(STEPS + 1):
            until = jobs * (step + 1) // (STEPS + 1)
            for n in range(jobs * step // (STEPS + 1), until):
                drop(parts, n)
            until_done(parts, until)
            for name, resident in family().items():
                points.setdefault(name, []).append((until, resident))
    met = True
    for name, seen in points.items():
        after_warm_up = seen[WARM_UP:]
        print(f"  {name}: {', '.join(f'{y / 1e6:.1f}' for _, y in seen)} MB")
        met &= goal(f"{name}, MB per 10,000 jobs", slope_mb(after_warm_up), 1.0, at_most=True)
    return met


if __name__ == "__main__":
    sys.exit(0 if run() else 1)
