"""models ls|load|unload|check, without a stack, and against a service that really answers."""

import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from click.testing import CliRunner, Result

from gpu_service.house import House
from gpu_service.main import create_app
from local import push_keys
from local.claim import Up, claim, write_note
from local.cli import cli
from local.push_keys import PushKeys
from shared.settings import load
from shared.wiring import clock

ENGINES = {
    "fast": {"kind": "tests.engines.kinds:OnCuda", "device": "cuda"},
    "far": {"kind": "tests.engines.kinds:Distant"},
    "torch": {"kind": "tests.engines.kinds:OnTorch"},
    "broken": {"kind": "tests.engines.mortal:Mortal", "options": {"weights": False}},
    "costly": {"kind": "tests.engines.kinds:Paid"},
}


@pytest.fixture
def environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EARWITNESS_ENGINES", json.dumps(ENGINES))
    monkeypatch.setenv("EARWITNESS_MODELS_PYTHON", str(home / "no-python"))


def earwitness(*words: str) -> Result:
    return CliRunner().invoke(cli, ["models", *words])


def test_without_a_stack_the_settings_engines_are_listed(environment: None) -> None:
    answer = earwitness("ls", "--json")
    told = {m["engine"]: m for m in json.loads(answer.stdout)["models"]}

    assert "Nothing runs here" in answer.stderr
    assert set(told) >= {*ENGINES, "whisper", "sounds", "echo"}
    assert told["fast"]["device"] == "cuda"
    assert told["far"]["device"] == "remote"
    assert {m["state"] for m in told.values()} == {"absent"}
    assert "ENGINE" in earwitness("ls").stdout


@pytest.mark.parametrize("verb", ["load", "unload"])
def test_without_a_stack_a_wish_says_what_to_do(environment: None, verb: str) -> None:
    answer = earwitness(verb, "echo")

    assert (answer.exit_code, answer.stdout) == (1, "")
    assert "Start it with `earwitness up`" in answer.stderr


def test_check_loads_hears_and_tells(environment: None) -> None:
    answer = earwitness("check", "echo")

    assert answer.exit_code == 0
    for word in ("echo: echo on cpu", "start", "warm_up", "in all", "memory", "a call takes"):
        assert word in answer.stdout
    assert "It works: 1 s heard in" in answer.stdout


def test_check_says_that_it_fell_back(environment: None) -> None:
    answer = earwitness("check", "fast", "--json")

    report = json.loads(answer.stdout)
    assert report["device"] == "cpu"
    assert "NVIDIA" in report["fallback"]
    assert report["answer"]["cautions"] == ["cpu_fallback"]
    assert "not where it is set to" in earwitness("check", "fast").stdout


@pytest.mark.parametrize(
    ("name", "status", "said"),
    [
        ("broken", 1, "model.bin is missing"),
        ("torch", 1, "make env-models"),
        ("nix", 3, "There is no engine called nix"),
    ],
)
def test_check_of_what_does_not_work_says_why(
    environment: None, name: str, status: int, said: str
) -> None:
    answer = earwitness("check", name)

    assert (answer.exit_code, answer.stdout) == (status, "")
    assert said in answer.stderr


def test_check_of_wrong_settings_names_them(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setenv("EARWITNESS_ENGINES", '{"a": {"kind": "wisper"}, "b": {"kind": "no"}}')

    answer = earwitness("check", "a")

    assert answer.exit_code == 2
    assert "engine a: the kind 'wisper' is unknown" in answer.stderr
    assert "engine b" not in answer.stderr
    assert earwitness("check", "echo").exit_code == 0


def test_a_paid_engine_is_not_asked(environment: None) -> None:
    answer = earwitness("check", "costly")

    assert answer.exit_code == 0
    assert "each call costs money" in answer.stdout


class Announced(uvicorn.Server):
    """Says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.answers = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.answers.set()


@pytest.fixture
def service(environment: None, home: Path) -> Iterator[House]:
    """A real service on this HOME behind HTTP, as `up` leaves it."""
    keys = PushKeys(home / "keys", clock)
    settings = load(
        push_keys=str(keys.jwks),
        push_issuer=push_keys.ISSUER,
        push_email=push_keys.EMAIL,
        push_subject=push_keys.SUBJECT,
        operator_email=push_keys.OPERATOR_EMAIL,
        operator_subject=push_keys.OPERATOR_SUBJECT,
        cascade={"transcribe": ["echo"], "classify": []},
        decoders=1,
    )
    app = create_app(settings)
    server = Announced(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert server.answers.wait(60)
        port = server.servers[0].sockets[0].getsockname()[1]
        with claim(settings.home):
            url = f"http://127.0.0.1:{port}"
            write_note(settings.home, Up(os.getpid(), "", "", "", url, "", ""))
            yield app.state.house
    finally:
        server.should_exit = True
        thread.join()


def test_with_a_stack_wishes_are_written_and_followed(service: House) -> None:
    wished = earwitness("load", "echo", "--reason", "a launch")
    service.fleet.tick(0.0)
    service.hosts["echo"].load()
    told = {m["engine"]: m for m in json.loads(earwitness("ls", "--json").stdout)["models"]}

    assert wished.exit_code == 0
    assert "echo is to be loaded" in wished.stderr
    assert told["echo"]["state"] == "ready"
    assert told["echo"]["wanted"]["reason"] == "a launch"
    assert earwitness("unload", "echo").exit_code == 0
    assert service.fleet.desired("echo").wanted == "unloaded"
    assert earwitness("load", "nix").exit_code == 3


def test_a_note_of_a_service_that_is_gone_is_said(environment: None, home: Path) -> None:
    PushKeys(home / "keys", clock)
    with claim(home):
        write_note(home, Up(os.getpid(), "", "", "", "http://127.0.0.1:9", "", ""))

        answer = earwitness("load", "echo")

    assert answer.exit_code == 1
    assert "does not answer" in answer.stderr
