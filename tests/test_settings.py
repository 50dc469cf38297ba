"""Settings: where values come from, and all that is wrong at once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from local.supervisor import SETTLED
from shared.domain.answers import Task
from shared.domain.cascade import Uncalibrated
from shared.domain.lanes import Lane
from shared.domain.synthesis import Strategy, Synthesis
from shared.errors import InvalidSettings
from shared.settings import descriptions, load, policy, sources


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


@pytest.mark.parametrize("said", [None, "embedded"])
def test_on_cloud_run_the_backend_must_be_gcp(monkeypatch, said):
    monkeypatch.setenv("K_SERVICE", "gateway")
    if said:
        monkeypatch.setenv("EARWITNESS_BACKEND", said)

    with pytest.raises(InvalidSettings, match="EARWITNESS_BACKEND"):
        load()


def test_in_the_cloud_everything_missing_is_named_at_once(monkeypatch):
    monkeypatch.setenv("EARWITNESS_BACKEND", "gcp")
    monkeypatch.setenv("EARWITNESS_SLOTS", "none")

    with pytest.raises(InvalidSettings) as caught:
        load()

    buckets = ("UPLOADS_BUCKET", "RESULTS_BUCKET", "ARCHIVE_BUCKET", "TEMP_BUCKET", "AUDIT_BUCKET")
    for name in ("PROJECT", *buckets, "SLOTS"):
        assert f"EARWITNESS_{name}" in str(caught.value)


def test_in_the_cloud_a_project_and_its_buckets_suffice(monkeypatch):
    monkeypatch.setenv("K_SERVICE", "gateway")
    monkeypatch.setenv("EARWITNESS_BACKEND", "gcp")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "of-google")
    monkeypatch.setenv("EARWITNESS_UPLOADS_BUCKET", "in")
    monkeypatch.setenv("EARWITNESS_RESULTS_BUCKET", "out")
    monkeypatch.setenv("EARWITNESS_ARCHIVE_BUCKET", "archive")
    monkeypatch.setenv("EARWITNESS_TEMP_BUCKET", "temp")
    monkeypatch.setenv("EARWITNESS_AUDIT_BUCKET", "audit")

    settings = load()

    assert (settings.backend, settings.project) == ("gcp", "of-google")
    assert sources(settings)["project"] == "environment"


def test_our_own_name_of_the_project_wins(monkeypatch):
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "of-google")
    monkeypatch.setenv("EARWITNESS_PROJECT", "ours")

    assert load().project == "ours"


@pytest.mark.parametrize("part", ["functions", "service", "gateway"])
def test_on_cloud_run_no_part_starts_on_the_embedded_backend(part, tmp_path):
    env = {**os.environ, "EARWITNESS_HOME": str(tmp_path), "K_SERVICE": part}
    env["EARWITNESS_BACKEND"] = "embedded"

    done = subprocess.run(
        [sys.executable, "-m", "local.child", part, "--port", "1"],
        env=env,
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
    )

    assert done.returncode == SETTLED
    assert "EARWITNESS_BACKEND is not gcp" in done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []


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


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("CASCADE__TRANSCRIBE", "echo", "CASCADE"),
        ("CASCADE__SING", '["echo"]', "CASCADE"),
        ("ENGINES", "[1]", "ENGINES"),
        ("BACKEND", "aws", "BACKEND"),
        ("TICKET_S", "591", "TICKET_S"),
        ("ALLOW_UNSANDBOXED", "maybe", "ALLOW_UNSANDBOXED"),
        ("ARCHIVE_AFTER_DAYS", "0", "ARCHIVE_AFTER_DAYS"),
        ("ARCHIVE_AFTER_DAYS", "3651", "ARCHIVE_AFTER_DAYS"),
        ("ARCHIVE_AFTER_DAYS", "soon", "ARCHIVE_AFTER_DAYS"),
    ],
)
def test_a_wrong_value_is_named(monkeypatch, name, value, said):
    monkeypatch.setenv(f"EARWITNESS_{name}", value)

    with pytest.raises(InvalidSettings, match=f"EARWITNESS_{said}: "):
        load()


def test_a_setting_there_is_not_is_said_when_given_and_ignored_in_the_environment(monkeypatch):
    monkeypatch.setenv("EARWITNESS_NEXT_YEAR", "1")

    assert load().slots == 8
    with pytest.raises(InvalidSettings, match="NEXT_YEAR"):
        load(next_year=1)


def test_values_of_every_kind(monkeypatch, tmp_path):
    monkeypatch.setenv("EARWITNESS_ENGINES", '{"second": {"kind": "whisper"}}')
    monkeypatch.setenv("EARWITNESS_ALLOW_UNSANDBOXED", "1")
    monkeypatch.setenv("EARWITNESS_WEIGHTS", "w")
    monkeypatch.setenv("EARWITNESS_HOME", "here")

    found = load(cascade={"transcribe": ["echo"], "classify": []}, max_seconds=3)

    assert found.engines == {"second": {"kind": "whisper"}}
    assert (found.allow_unsandboxed, found.weights.name) == (True, "w")
    assert (found.home, found.max_seconds) == (tmp_path / "here", 3.0)
    assert found.cascade.classify == []


@pytest.mark.parametrize(
    ("raw", "days"), [(None, 30), ("1", 1), ("3650", 3650), ("", None), ("null", None)]
)
def test_originals_are_compressed_after_days_or_never(monkeypatch, raw, days):
    if raw is not None:
        monkeypatch.setenv("EARWITNESS_ARCHIVE_AFTER_DAYS", raw)

    assert load().archive_after_days == days


def test_a_setting_that_must_be_something_is_not_empty(monkeypatch):
    monkeypatch.setenv("EARWITNESS_SLOTS", "")

    with pytest.raises(InvalidSettings, match="EARWITNESS_SLOTS: "):
        load()


def test_every_setting_says_what_it_does():
    assert all(len(text) > 10 for text in descriptions().values())


def test_when_an_answer_stands_is_read_from_json(monkeypatch):
    monkeypatch.setenv("EARWITNESS_ACCEPT_AT", '{"transcribe": {"whisper": 0.85, "*": 0.9}}')
    monkeypatch.setenv("EARWITNESS_UNCALIBRATED", "escalate")
    monkeypatch.setenv("EARWITNESS_DEGRADE_AFTER_S", '{"high": 60}')
    monkeypatch.setenv("EARWITNESS_SYNTHESIS", '{"strategy": "weighted", "weights": {"echo": 2}}')

    found = policy(load())

    assert found.accepts_at(Task.TRANSCRIBE, "whisper") == 0.85
    assert found.accepts_at(Task.TRANSCRIBE, "echo") == 0.9
    assert found.accepts_at(Task.CLASSIFY, "sounds") == 0.80
    assert (found.uncalibrated, found.min_coverage) == (Uncalibrated.ESCALATE, 0.99)
    assert found.degrade_after_s == {Lane.HIGH: 60.0}
    assert found.synthesis == Synthesis(Strategy.WEIGHTED, {"echo": 2})


def test_every_mistake_in_the_policy_is_named_at_once(monkeypatch):
    monkeypatch.setenv("EARWITNESS_ACCEPT_AT", '{"sing": {"a": 0.5}, "classify": {"b": 1.1}}')
    monkeypatch.setenv("EARWITNESS_DEGRADE_AFTER_S", '{"middle": 1, "low": -1}')
    monkeypatch.setenv(
        "EARWITNESS_SYNTHESIS",
        '{"strategy": "loudest", "weights": {"echo": -1}, "quality": 2, "colour": 1}',
    )

    with pytest.raises(InvalidSettings) as caught:
        load()

    for said in (
        "EARWITNESS_ACCEPT_AT: there is no task 'sing'",
        "EARWITNESS_ACCEPT_AT: classify.b is 1.1; it lies between 0 and 1",
        "EARWITNESS_DEGRADE_AFTER_S: there is no lane 'middle', only high, low",
        "EARWITNESS_DEGRADE_AFTER_S: low is -1; seconds are 0 or more",
        "EARWITNESS_SYNTHESIS: there is no strategy 'loudest', only highest-confidence, latest",
        "EARWITNESS_SYNTHESIS: weights.echo is -1; a weight is 0 or more",
        "EARWITNESS_SYNTHESIS: quality is 2; it lies between 0 and 1",
        "EARWITNESS_SYNTHESIS: there is no 'colour'",
    ):
        assert said in str(caught.value)


@pytest.mark.parametrize("bar", [0.0, 1.0])
def test_a_threshold_may_be_either_end(bar):
    assert load(accept_at={"answer": {"*": bar}}).accept_at == {"answer": {"*": bar}}
