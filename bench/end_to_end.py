"""P3: from storage event to result with the echo engine, beside an empty function.

Either side is asked by AT_ONCE at a time (by one alone ours came to 0.108 instead of 0.112, in one
sitting of 12 turns).
The ratio is the median of ratios turn by turn, over more turns than elsewhere: either side's rate
differs by a third between two runs on a machine shared with others. On an ext4 without a
journal, run it five minutes after anything that deleted many files (docs/cursed.md).
"""

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

import urllib3
from functions_framework import create_app
from waitress.server import BaseWSGIServer, create_server

from bench.measuring import goal, interleaved
from bench.running import drop, stack, until_done
from shared import wiring

FILES, MANY, TURNS, AT_ONCE = 200, 20_000, 15, 8
EMPTY = """
import functions_framework
@functions_framework.cloud_event
def empty(event):
    pass
"""


def ours(parts: wiring.Parts, files: int, seen: list[int]) -> float:
    """Files a second: put with their events in one commit each, until all results are there."""
    before = seen[0]
    seen[0] += files
    begun = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(partial(drop, parts), range(before, before + files)))
    until_done(parts, seen[0])
    return files / (time.perf_counter() - begun)


def empty_handler(requests: int = 1_000) -> float:
    """Requests a second of a functions-framework handler that does nothing."""
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "main.py"
        source.write_text(EMPTY)
        server = create_server(
            create_app("empty", str(source), "cloudevent"),
            host="127.0.0.1",
            port=0,
            threads=AT_ONCE,
        )
        threading.Thread(target=_serve, args=(server,), daemon=True).start()
        http = urllib3.PoolManager(maxsize=AT_ONCE)
        url = f"http://127.0.0.1:{server.effective_port}/"
        headers = {"ce-id": "1", "ce-source": "s", "ce-type": "t", "ce-specversion": "1.0"}

        def post(_: int) -> None:
            http.request("POST", url, json={}, headers=headers)

        begun = time.perf_counter()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(post, range(requests)))
        server.close()
        return requests / (time.perf_counter() - begun)


def _serve(server: BaseWSGIServer) -> None:
    with suppress(OSError):  # it is closed while it waits
        server.run()


def run(many: int = MANY) -> bool:
    with stack() as parts:
        seen = [0]
        ours(parts, 20, seen)  # warm
        found = interleaved(
            {
                "ours, 200 files": lambda: ours(parts, FILES, seen),
                "empty functions-framework handler": empty_handler,
            },
            "a second",
            TURNS,
        )
        mine, empty = found.values()
        base = mine.median
        flood = ours(parts, many, seen)
    print(f"  {many:,} files at once: {flood:,.1f} files/s")
    return all(
        [
            goal("of an empty handler", mine.over(empty), 0.10),
            goal(f"seconds a file, {many:,} of {FILES}", base / flood, 1.2, at_most=True),
        ]
    )


if __name__ == "__main__":
    sys.exit(0 if run() else 1)
