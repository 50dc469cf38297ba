"""A HOME of its own for every test, and what stands in it."""

import pytest

from tests.local.receiver import Receiver
from tests.local.world import World


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty HOME that the settings name; nothing else of the machine's is read."""
    for name in ("EARWITNESS_CASCADE__TRANSCRIBE", "EARWITNESS_CASCADE__CLASSIFY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("EARWITNESS_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def world(home):
    return World(home)


@pytest.fixture
def receiver():
    made = Receiver()
    yield made
    made.close()
