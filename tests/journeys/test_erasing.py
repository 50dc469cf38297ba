"""A file is heard by the real processes and erased by the real command: no byte, no log has it."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

import local
from tests.journeys.running import EARWITNESS, ECHO, PATIENCE_S

#: A name nobody would write; what the engine `echo` says of ten seconds of sound.
NAME, SAID = "qzwhoever4711vx", b"echo 9.92 s"


@pytest.fixture
def run(tmp_path):
    def run(*args):
        environment = os.environ | ECHO | {"EARWITNESS_HOME": str(tmp_path / "home")}
        done = subprocess.run(
            [EARWITNESS, *args],
            env=environment,
            capture_output=True,
            check=True,
            timeout=PATIENCE_S,
        )
        return done.stdout

    return run


def holding(home, word):
    files = (path for path in home.rglob("*") if path.is_file())
    return {str(p.relative_to(home)) for p in files if word in p.read_bytes()}


@pytest.mark.slow
def test_what_was_heard_is_erased_from_every_file_and_log(run, tmp_path):
    home, sound = tmp_path / "home", tmp_path / f"{NAME}.flac"
    shutil.copy(Path(local.__file__).parent / "sample" / "welcome.flac", sound)
    heard = json.loads(run("hear", str(sound), "--format", "json"))["recordings"]
    id = heard[0]["recording"]["id"]
    assert holding(home, NAME.encode())
    assert holding(home, SAID)

    run("erase", id)

    assert (home / "logs").is_dir()
    assert holding(home, NAME.encode()) == holding(home, SAID) == set()
    receipt = tmp_path / "receipt.json"
    receipt.write_bytes(run("receipt", "show", id))
    run("receipt", "verify", str(receipt))
