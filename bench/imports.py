"""P8: the functions as deployed: their import, and how soon the first event is settled."""

import http.client
import io
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from google.cloud import storage

from bench.measuring import goal, interleaved
from local.cloud_events import CloudEvent, storage_finalized
from local.emulated.emulators import PROJECT, Firestore, PubSub, Storage, running
from shared import wiring
from shared.domain.states import State
from shared.domain.tenants import Tier
from shared.settings import load
from tests.functions.deployment import QUIETLY, ROOT, Function, Installed, clean, install
from tests.pubsub import Topics
from tests.sounds import silence_wav

REPEATS = 11
#: What functions look like that import every client of the house as the manuals say.
NAIVE = "from google.cloud import bigquery, firestore, kms, pubsub_v1, run_v2, storage\n"
#: And those that import only where the data goes: shown beside, not judged.
DATA = "from google.cloud import bigquery, firestore, pubsub_v1, storage\n"
#: What they need beyond the archive's requirements.
ONLY_NAIVE = ("google-cloud-bigquery", "google-cloud-run", "python-dateutil", "six")
#: One handler that does nothing: the framework's own share of a start.
EMPTY = """
import functions_framework

@functions_framework.cloud_event
def on_audio_uploaded(event):
    pass
"""


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
    ours, peer, _ = found.values()
    return goal("of functions-framework alone", ours.over(peer), 1.5, at_most=True)


@dataclass(frozen=True)
class Cloud:
    """The emulators, with what Terraform would have made."""

    parts: wiring.Parts
    variables: dict[str, str]
    numbers: Iterator[int]

    def dropped(self) -> CloudEvent:
        """An object that nobody was told of yet, and its event."""
        return storage_finalized(
            self.parts.inlet.put(
                f"uploads/bench/{next(self.numbers)}.wav",
                io.BytesIO(silence_wav(1.0)),
                content_type="audio/wav",
                metadata={},
                at=self.parts.now(),
            )
        )

    def queued(self) -> int:
        return self.parts.recordings.counts()[State.QUEUED]


#: What the settings of a project name.
BUCKETS = ("UPLOADS", "RESULTS", "ARCHIVE", "TEMP", "AUDIT")


@contextmanager
def emulated(folder: Path) -> Iterator[Cloud]:
    with ExitStack() as stack:
        variables = {"EARWITNESS_BACKEND": "gcp", "GOOGLE_CLOUD_PROJECT": PROJECT}
        for emulator in (PubSub(), Firestore(), Storage()):
            variables |= stack.enter_context(running(emulator, folder))
        variables |= {f"EARWITNESS_{k}_BUCKET": k.lower() for k in BUCKETS}
        os.environ.update(variables)
        topics = Topics()
        stack.callback(topics.close)
        variables["EARWITNESS_TOPIC_PREFIX"] = topics.prefix
        for bucket in BUCKETS:
            storage.Client(PROJECT).create_bucket(bucket.lower())
        parts = wiring.parts(load(topic_prefix=topics.prefix))
        parts.tenants.ensure("bench", Tier.ENTERPRISE, parts.now())
        yield Cloud(parts, variables, itertools.count())


def _first_event(installed: Installed, cloud: Cloud, log: Path) -> float:
    """Milliseconds from the start of the process until its first event is settled."""
    event = cloud.dropped()
    begun = time.perf_counter()
    function = Function(installed, "on_audio_uploaded", log, **cloud.variables)
    try:
        status = _settled(function, event)
        took_ms = (time.perf_counter() - begun) * 1000
    finally:
        function.end()
    if status != http.client.OK:
        raise RuntimeError(f"{status}: {log.read_text()}")
    return took_ms


def _settled(function: Function, event: CloudEvent) -> int:
    """Deliver the event as soon as somebody listens."""
    while function.process.poll() is None:
        try:
            return function.post(event.headers, event.body)
        except ConnectionRefusedError:
            time.sleep(0.001)
    raise RuntimeError(function.log.read_text())


def started(installed: Installed, folder: Path) -> bool:
    """The whole start on the emulators, beside the same functions with every client imported."""
    main = (installed.root / "main.py").read_text()
    naive, data = _beside(installed, "naive", NAIVE + main), _beside(installed, "data", DATA + main)
    empty = _beside(installed, "empty", EMPTY)
    _add(installed, ONLY_NAIVE)
    print("  start to first event settled, on the emulators:")
    with emulated(folder) as cloud:

        def case(one: Installed) -> Callable[[], float]:
            return lambda: _first_event(one, cloud, folder / "said")

        cases = {
            "ours": case(installed),
            "all clients imported": case(naive),
            "four of them, for the data": case(data),
        }
        for warmed in cases.values():  # bytecode, and the emulators' own first calls
            warmed()
        found = interleaved({**cases, "an empty function": case(empty)}, "ms", repeats=REPEATS)
        wanted = len(cases) * (REPEATS + 1)
        if cloud.queued() != wanted:
            raise RuntimeError(f"{cloud.queued()} recordings are queued, not {wanted}")
    ours, peer, data, _ = found.values()
    print(f"  of four of them: {ours.over(data):.2f}, not judged")
    return goal("of all clients imported naively", ours.over(peer), 0.8, at_most=True)


def _beside(installed: Installed, name: str, main: str) -> Installed:
    """The same archive with another main.py."""
    root = installed.root.with_name(name)
    shutil.copytree(installed.root, root)
    (root / "main.py").write_text(main)
    return Installed(root, installed.bin)


def _add(installed: Installed, names: tuple[str, ...]) -> None:
    """Into the environment, in the versions of run.txt."""
    lines = (ROOT / "requirements/run.txt").read_text().splitlines()
    pins = [line.split()[0] for line in lines if line.startswith(tuple(f"{n}==" for n in names))]
    pip = [sys.executable, "-m", "pip", "--python", installed.bin / "python", "install"]
    subprocess.run([*pip, *QUIETLY, "--no-deps", *pins], check=True)


def run() -> bool:
    with tempfile.TemporaryDirectory() as folder:
        installed = install(Path(folder))
        for code in ("import main", "import functions_framework"):  # writes their bytecode
            _fresh(installed, code)()
        return all([imported(installed), started(installed, Path(folder))])


if __name__ == "__main__":
    sys.exit(0 if run() else 1)
