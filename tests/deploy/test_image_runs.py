"""What the Dockerfile installs is installed into a clean environment, and what it starts is started
from it: packages by their hashes, the rooms that are copied, the entry point, SIGTERM."""

import ast
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path

import httpx
import pytest

from local import push_keys
from local.ports import some_free
from tests.deploy.dockerfile import DOCKERFILE, ROOT, copied, line_of, stages, words
from tests.journeys.running import ECHO, until

_, STAGES = stages(DOCKERFILE.read_text())
#: What only the variant cuda has.
ON_TORCH = {"torch", "transformers", "safetensors"}
#: What pip says where there is no network.
OFFLINE = ("NewConnectionError", "NameResolutionError", "Failed to establish a new connection")


class Image:
    """A target of the Dockerfile without a container: its packages, its files, its entry point."""

    def __init__(self, target: str, packages: str, folder: Path) -> None:
        self.folder, self.app = folder, folder / "app"
        self.python = folder / "venv/bin/python"
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
        [pip] = [words(rest) for rest in STAGES[packages].all("RUN")]
        install = [str(self.python), "-m", "pip", *pip[1:], "--quiet"]
        install[install.index("-r") + 1] = str(ROOT / "requirements" / pip[-1])
        done = subprocess.run(install, capture_output=True, text=True)
        if any(sign in done.stderr for sign in OFFLINE):
            pytest.skip("The package index cannot be reached, so nothing could be installed.")
        assert done.returncode == 0, done.stderr
        for stage in line_of(STAGES, target):
            for source, to in copied(stage):
                shutil.copytree(ROOT / source, self.app / to)
        self.entry = words(STAGES[target].all("ENTRYPOINT")[0])[1:]

    def lacks(self) -> set[str]:
        """Modules that something in it imports, at the top or late, and it does not have."""
        known = "import sys; from importlib.util import find_spec\n"
        script = known + "print(*[m for m in sys.argv[1:] if find_spec(m) is None])"
        done = subprocess.run(
            [self.python, "-c", script, *sorted(_imported(self.app))],
            cwd=self.app,
            capture_output=True,
            text=True,
            check=True,
        )
        return set(done.stdout.split())

    @contextmanager
    def running(self, path: str, **variables: str) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
        """Its process and address, once it answers at `path`; ended at the latest behind this."""
        port, _ = some_free(2)
        inherited = {k: os.environ[k] for k in ("LANG", "PATH") if k in os.environ}
        process = subprocess.Popen(
            [self.python, *self.entry],
            cwd=self.app,
            env=inherited | {"HOME": str(self.folder), "PORT": str(port)} | variables,
            stderr=subprocess.PIPE,
            text=True,
        )
        url = f"http://127.0.0.1:{port}"
        try:
            until(lambda: process.poll() is not None or _answers(url + path))
            assert process.returncode is None, process.stderr and process.stderr.read()
            yield url, process
        finally:
            process.kill()
            process.wait()


def _imported(app: Path) -> set[str]:
    """Foreign modules by their first name, without what only a type checker reads."""
    ours = {path.name for path in app.iterdir()}
    found = set()
    for path in app.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return found - ours - {"_typeshed"}


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).status_code == HTTPStatus.OK
    except httpx.TransportError:
        return False


def terminated(process: "subprocess.Popen[str]") -> int:
    process.send_signal(signal.SIGTERM)
    return process.wait(60)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    return Image("gateway", "gateway-packages", tmp_path_factory.mktemp("gateway"))


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    return Image("service", "service-cpu-packages", tmp_path_factory.mktemp("service"))


@pytest.fixture
def variables(tmp_path):
    """One machine's settings: its own keys, the engine that reads nothing, no cloud."""
    keys = push_keys.PushKeys(tmp_path / "home/keys", lambda: datetime.now(UTC))
    return ECHO | {
        "EARWITNESS_HOME": str(tmp_path / "home"),
        "EARWITNESS_BROKER_URL": "http://127.0.0.1:9",
        "EARWITNESS_PUSH_ISSUER": push_keys.ISSUER,
        "EARWITNESS_PUSH_EMAIL": push_keys.EMAIL,
        "EARWITNESS_PUSH_SUBJECT": push_keys.SUBJECT,
        "EARWITNESS_PUSH_KEYS": str(keys.jwks),
        "EARWITNESS_GATEWAY_EMAIL": push_keys.GATEWAY_EMAIL,
        "EARWITNESS_GATEWAY_SUBJECT": push_keys.GATEWAY_SUBJECT,
        "EARWITNESS_SIGNING_KEY": str(keys.pem),
    }


def test_the_gateways_packages_are_all_it_imports(gateway):
    assert gateway.lacks() == set()


def test_the_gateway_starts_from_its_packages_and_ends_at_sigterm(gateway, variables):
    with gateway.running("/healthz", **variables) as (url, process):
        page = httpx.get(url + "/", trust_env=False)
        ended = terminated(process)

    assert (page.status_code, ended) == (HTTPStatus.OK, 0)


def test_wrong_settings_are_said_and_end_it(gateway, variables):
    broken = variables | {"EARWITNESS_BACKEND": "gcp"}
    process = subprocess.run(
        [gateway.python, *gateway.entry],
        cwd=gateway.app,
        env={"HOME": str(gateway.folder), "PORT": "0"} | broken,
        capture_output=True,
        text=True,
    )

    assert process.returncode == 1
    assert "EARWITNESS_UPLOADS_BUCKET is not set" in process.stderr


@pytest.mark.slow  # 80 s to install, on two free cores
@pytest.mark.timeout(900)
def test_the_services_packages_are_all_it_imports(service):
    assert service.lacks() == ON_TORCH


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_both_start_from_their_packages_hear_and_end_at_sigterm(gateway, service, variables):
    sound = {"file": ("a.flac", (ROOT / "local/sample/welcome.flac").read_bytes(), "audio/flac")}
    with service.running("/readyz", **variables) as (behind, hears):
        told = variables | {"EARWITNESS_SERVICE_URL": behind}
        with gateway.running("/healthz", **told) as (url, passes_on):
            answer = httpx.post(
                f"{url}/v1/audio/transcriptions",
                files=sound,
                data={"model": "echo"},
                trust_env=False,
                timeout=120,
            )
            ended = [terminated(passes_on), terminated(hears)]

    assert answer.status_code == HTTPStatus.OK, answer.text
    assert answer.json()["text"].startswith("echo")
    assert ended == [0, 0]
