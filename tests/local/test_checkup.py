"""What doctor finds, fine and not."""

import sqlite3

import pytest

from gpu_service.weights import pinned
from local import checkup
from local.claim import Up, claim, write_note
from shared.errors import StoreUnavailable
from shared.settings import load


@pytest.fixture
def settings(home):
    def make(**given):
        return load(home=home, **given)

    return make


def test_sandbox_that_nobody_needs_is_no_problem(settings, monkeypatch):
    monkeypatch.setattr(checkup, "seccomp_filter", lambda: None)  # as on a system without it

    assert not checkup.sandbox(settings()).ok
    assert checkup.sandbox(settings(allow_unsandboxed=True)).ok


def test_damaged_weights_say_what_to_remove(settings, tmp_path):
    folder = tmp_path / f"whisper-base-{pinned.BASE_REVISION[:8]}"
    folder.mkdir()

    found = checkup.model_weights(settings(weights=tmp_path))

    assert not found.ok
    assert f"Remove {folder}" in found.said


def test_weights_not_assembled_yet_are_fine_where_they_are_packaged(settings, tmp_path):
    found = checkup.model_weights(settings(weights=tmp_path))

    assert found.ok is (pinned.packaged() is not None)


def test_weights_do_not_matter_where_nobody_asks_for_them(settings, tmp_path):
    cascade = {"transcribe": ["echo"], "classify": []}

    assert checkup.model_weights(settings(weights=tmp_path, cascade=cascade)).ok


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"kind": "wisper"}, "the kind 'wisper' is unknown"),
        ({"kind": "tests.engines.kinds:OnTorch"}, "make env-models"),
    ],
    ids=["unknown", "torch"],
)
def test_engines_that_cannot_be_built_are_said(settings, tmp_path, entry, said):
    given = settings(engines={"mine": entry}, models_python=tmp_path / "python")

    found = next(f for f in checkup.findings(given) if f.what == "engines")

    assert not found.ok
    assert said in found.said
    assert checkup.engines(settings()).said == "whisper, sounds, echo"


def test_new_home_is_fine(settings):
    assert checkup.home(settings()).ok
    assert checkup.disk(settings()).ok
    assert checkup.store(settings()).said.startswith("none yet")
    assert checkup.lock(settings()).said == "no"


def test_sound_store_is_fine_and_a_newer_one_is_not(settings, world, home):
    assert checkup.store(settings()).said.endswith("sound")

    with sqlite3.connect(home / "earwitness.db") as db:
        db.execute("PRAGMA user_version = 999")

    assert "newer" in checkup.store(settings()).said


def test_running_stack_is_named(settings, home):
    with claim(home):
        assert checkup.lock(settings()).said == "starting"
        write_note(home, Up(1, "http://127.0.0.1:8080", "", "", "", "", ""))
        assert checkup.lock(settings()).said == "http://127.0.0.1:8080 (process 1)"
        assert checkup.page_port(settings()).said == "8080"
    assert "was killed" in checkup.lock(settings()).said


def test_check_that_fails_for_a_known_reason_is_a_problem(settings, monkeypatch):
    def broken(_):
        raise StoreUnavailable

    monkeypatch.setattr(checkup, "CHECKS", (broken,))

    [found] = checkup.findings(settings())

    assert (found.what, found.ok) == ("broken", False)
