"""The Earwitness of this machine is found by what it leaves in HOME."""

import json

import pytest

from earwitness.client import AsyncEarwitness, Earwitness, NotRunning
from earwitness.client.here import Here, here


@pytest.fixture
def home(tmp_path):
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "page.token").write_text("secret\n")
    (tmp_path / "up.json").write_text(json.dumps({"url": "http://127.0.0.1:8080", "pid": 1}))
    return tmp_path


def test_home_says_where_and_how(home):
    assert here(home) == Here("http://127.0.0.1:8080", "secret")


def test_environment_names_home(home, monkeypatch):
    monkeypatch.setenv("EARWITNESS_HOME", str(home))

    assert here().token == "secret"


def test_checkout_has_its_own(home, monkeypatch, tmp_path_factory):
    monkeypatch.delenv("EARWITNESS_HOME", raising=False)
    checkout = tmp_path_factory.mktemp("checkout")
    home.rename(checkout / ".earwitness")
    monkeypatch.chdir(checkout)

    assert here().token == "secret"


@pytest.mark.parametrize(
    "note", ["", "{", "[]", "{}", '{"url": ""}', '{"url": 1}'], ids=lambda note: note or "empty"
)
def test_note_that_names_no_page_is_not_running(home, note):
    (home / "up.json").write_text(note)

    with pytest.raises(NotRunning):
        here(home)


@pytest.mark.parametrize("missing", ["up.json", "keys/page.token"])
def test_nothing_there_is_not_running(home, missing):
    (home / missing).unlink()

    with pytest.raises(NotRunning, match="earwitness up"):
        Earwitness.local(home)


@pytest.mark.parametrize("client", [Earwitness, AsyncEarwitness])
def test_local_client_is_made_of_it(home, client):
    assert client.local(home)._door.token == "secret"
