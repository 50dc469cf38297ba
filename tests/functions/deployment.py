"""The archive as the platform would have it: unpacked, installed by hash, served by the framework.

The platform builds with pip from requirements.txt and starts `functions-framework` in the
archive's root, one process per function.
"""

import http.client
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

import pytest

from deploy import archive
from local.ports import some_free
from tests.journeys.running import until

ROOT = Path(__file__).parents[2]
QUIETLY = ("--quiet", "--disable-pip-version-check")


@dataclass(frozen=True)
class Installed:
    """One unpacked archive and the clean environment made from its requirements.txt."""

    root: Path
    bin: Path

    def python(self, code: str, **environment: str) -> str:
        """What a fresh interpreter prints, started in the archive's root."""
        done = subprocess.run(
            [self.bin / "python", "-c", code],
            cwd=self.root,
            env=clean(**environment),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def clean(**environment: str) -> dict[str, str]:
    """An environment that knows nothing of the one the tests run in."""
    return {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"} | environment


def install(folder: Path) -> Installed:
    """Build, unpack and install the archive below `folder`; about half a minute."""
    target, root, venv = folder / "functions.zip", folder / "unpacked", folder / "venv"
    archive.build(ROOT, target)
    with ZipFile(target) as packed:
        packed.extractall(root)
    # Our own pip fills it, and what is never imported is not compiled: half the time.
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    pip = [sys.executable, "-m", "pip", "--python", venv / "bin/python", "install", "--no-compile"]
    subprocess.run(
        [*pip, *QUIETLY, "--require-hashes", "-r", "requirements.txt"],
        cwd=root,
        env={k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "COVERAGE"))},
        check=True,
    )
    return Installed(root, venv / "bin")


@pytest.fixture(scope="session")
def deployed(tmp_path_factory):
    """`tests/conftest.py` offers it to every test: imported twice it would be made twice."""
    return install(tmp_path_factory.mktemp("deployed"))


class Function:
    """One entry point in a functions-framework process of its own, ended by its pid."""

    def __init__(self, installed: Installed, name: str, log: Path, **environment: str) -> None:
        self.name, self.log, [self.port] = name, log, some_free(1)
        options = ["--target", name, "--signature-type", "cloudevent", "--host", "127.0.0.1"]
        with log.open("wb") as said:
            self.process = subprocess.Popen(
                [installed.bin / "functions-framework", *options, "--port", str(self.port)],
                cwd=installed.root,
                env=clean(PYTHONUNBUFFERED="1", **environment),
                stdout=said,
                stderr=said,
            )

    def answers(self) -> bool:
        """Whether it serves; it is asked in a way that no function hears."""
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.name} ended: {self.log.read_text()}")
        try:
            return self._send("GET", {}, b"") == http.client.METHOD_NOT_ALLOWED
        except OSError:
            return False

    def until_ready(self) -> "Function":
        until(self.answers)
        return self

    def post(self, headers: Mapping[str, str], body: bytes) -> int:
        """Send one event in binary mode; the status that comes back."""
        return self._send("POST", headers, body)

    def _send(self, method: str, headers: Mapping[str, str], body: bytes) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, "/", body, dict(headers))
            return connection.getresponse().status
        finally:
            connection.close()

    def end(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
