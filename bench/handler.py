"""Functions as served: events a second into `on_audio_uploaded`, beside an empty handler.

Both behind waitress with eight threads, in the framework's own app, asked by eight clients
in the same process. Ours reads the header, commits recording, job and ticket, publishes the
ticket to a broker that only takes it, and forgets it.
"""

import logging
import os
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import urllib3
from functions_framework import create_app
from waitress.server import create_server

from bench.measuring import interleaved
from bench.running import drop
from local.cloud_events import storage_finalized
from shared import wiring
from tests.broker import RecordingBroker

EVENTS, CLIENTS = 300, 8
EMPTY = """
import functions_framework
@functions_framework.cloud_event
def empty(event):
    pass
"""
Request = tuple[dict[str, str], bytes]


@contextmanager
def served(entry_point: str, source: Path) -> Iterator[str]:
    app = create_app(entry_point, str(source), "cloudevent")
    server = create_server(app, host="127.0.0.1", port=0, threads=CLIENTS)
    threading.Thread(target=server.run, daemon=True).start()  # ends with the bench
    yield f"http://127.0.0.1:{server.effective_port}/"


def rate(url: str, requests: Sequence[Request]) -> float:
    http = urllib3.PoolManager(maxsize=CLIENTS)

    def post(request: Request) -> None:
        headers, body = request
        answer = http.request("POST", url, body=body, headers=headers)
        if answer.status != 200:
            raise RuntimeError(f"the handler answered {answer.status}")

    begun = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(post, requests))
    return len(requests) / (time.perf_counter() - begun)


def fresh_events(parts: wiring.Parts) -> list[Request]:
    """The events of uploads nobody has heard of yet."""
    known = {e.id for e in parts.uploads.events(1 << 20)}  # type: ignore[attr-defined]
    for n in range(EVENTS):
        drop(parts, n)
    fresh = [e for e in parts.uploads.events(1 << 20) if e.id not in known]  # type: ignore[attr-defined]
    made = [storage_finalized(e.event) for e in fresh]
    return [(dict(e.headers), e.body) for e in made]


def run() -> bool:
    logging.getLogger("waitress").setLevel(logging.ERROR)
    kept = tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-")
    with kept as home, RecordingBroker() as broker:
        os.environ |= {"EARWITNESS_HOME": home, "EARWITNESS_BROKER_URL": broker.url}
        parts = wiring.from_environment()
        empty = Path(home) / "empty.py"
        empty.write_text(EMPTY)
        ours = Path("functions/main.py").resolve()
        with served("on_audio_uploaded", ours) as intake, served("empty", empty) as nothing:
            found = interleaved(
                {
                    "on_audio_uploaded": lambda: rate(intake, fresh_events(parts)),
                    "empty handler": lambda: rate(nothing, fresh_events(parts)),
                },
                "events/s",
            )
    share = found["on_audio_uploaded"].median / found["empty handler"].median
    print(f"  {share:.2f} of an empty handler (no goal is set)")
    return True
