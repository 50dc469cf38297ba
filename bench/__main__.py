"""Run the benches named on the command line, or all; exit 1 if a goal is missed."""

import importlib
import sys
import time

#: Name -> module, in the order of GOALS.md. Each has `run() -> bool`.
BENCHES = {
    "P1": "bench.store",
    "P2": "bench.wake",
    "P3": "bench.end_to_end",
    "handler": "bench.handler",
    "ticket": "bench.ticket",
    "P4": "bench.decode",
    "gpu": "bench.gpu_models",
    "P5": "bench.wav2vec2_cpu",
    "P8": "bench.imports",
    "P10": "bench.store_operations",
    "P11": "bench.retention",
    "erasures": "bench.erasures",
    "P12": "bench.soak",
    "P13": "bench.metrics",
    "P15": "bench.whisper_overhead",
    "batching": "bench.batching",
    "exports": "bench.exports",
    "archiving": "bench.archiving",
}


def main(names: list[str]) -> int:
    unknown = set(names) - set(BENCHES)
    if unknown:
        print(f"No bench is called {', '.join(sorted(unknown))}; there are {', '.join(BENCHES)}.")
        return 2
    met = True
    for name in names or BENCHES:
        begun = time.monotonic()
        module = importlib.import_module(BENCHES[name])
        print(f"{name}: {(module.__doc__ or '').splitlines()[0]}")
        met &= bool(module.run())
        print(f"  {time.monotonic() - begun:.0f} s\n")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
