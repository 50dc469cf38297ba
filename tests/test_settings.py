"""Settings: where values come from, and all that is wrong at once."""

import pytest

from shared.errors import InvalidSettings
from shared.settings import load, sources


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_variables_win_over_the_file_and_given_values_over_both(monkeypatch, tmp_path):
    (tmp_path / ".env").write_text("EARWITNESS_SLOTS=3\nEARWITNESS_LEASE_S=7\n# note\n")
    monkeypatch.setenv("EARWITNESS_SLOTS", "5")

    assert (load().slots, load().lease_s, load(slots=9).slots) == (5, 7.0, 9)


def test_the_cascade_of_a_task_is_a_json_list(monkeypatch):
    monkeypatch.setenv("EARWITNESS_CASCADE__TRANSCRIBE", '["echo"]')

    assert load().cascade.transcribe == ["echo"]
    assert load().cascade.classify == ["sounds"]


def test_every_wrong_value_is_named_at_once(monkeypatch):
    monkeypatch.setenv("EARWITNESS_SLOTS", "none")
    monkeypatch.setenv("EARWITNESS_LEASE_S", "-1")

    with pytest.raises(InvalidSettings) as caught:
        load()

    assert "EARWITNESS_SLOTS" in str(caught.value)
    assert "EARWITNESS_LEASE_S" in str(caught.value)


def test_on_cloud_run_the_backend_must_be_said(monkeypatch):
    monkeypatch.setenv("K_SERVICE", "gateway")

    with pytest.raises(InvalidSettings, match="EARWITNESS_BACKEND"):
        load()
    monkeypatch.setenv("EARWITNESS_BACKEND", "gcp")
    assert load().backend == "gcp"


def test_each_value_has_its_source(monkeypatch, tmp_path):
    (tmp_path / ".env").write_text("EARWITNESS_SLOTS=3\n")
    monkeypatch.setenv("EARWITNESS_CASCADE__TRANSCRIBE", '["echo"]')

    found = sources(load(lease_s=9))

    assert found["slots"] == ".env"
    assert found["cascade"] == "environment"
    assert found["lease_s"] == "given"
    assert found["decoders"] == "default"


def test_home_is_the_checkouts_or_the_users(tmp_path, monkeypatch):
    assert load().home.parts[-3:] == (".local", "share", "earwitness")[-3:]
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "local/cli").mkdir(parents=True)

    assert load().home == tmp_path / ".earwitness"
