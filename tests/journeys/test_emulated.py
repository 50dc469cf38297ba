"""`earwitness up --backend gcp --emulators`: the stranger's way again, on Google's own parts.

One stack for the whole module. It is reached as anybody would: by the command line, over HTTP,
and through Google's clients at the addresses that HOME/up.json names.
"""

import json
import os
import shutil
import signal
import subprocess
import urllib.request
from pathlib import Path

import pytest

from gateway.uploads import RESUMABLE_FROM
from local.emulated.project import DATASET, PROJECT, RESULTS
from shared.adapters.gcp.bigquery_measurements import VIEW
from shared.domain.states import State
from tests.journeys.emulated import EMULATORS, Emulated, missing
from tests.journeys.running import EARWITNESS, ECHO, until
from tests.sounds import speech, tone_wav

SOUND = speech("Nothing is kept by emulators.")


@pytest.fixture(scope="module")
def up(tmp_path_factory):
    if why := missing():
        pytest.skip(why)
    running = Emulated(tmp_path_factory.mktemp("emulated") / "home", **ECHO)
    try:
        running.start()
        until(lambda: "Ctrl-C" in running.said.read_text())
        yield running
    finally:
        running.end()


@pytest.fixture(scope="module")
def heard(up):
    """A sound and a letter, dropped; both settled."""
    up.drop("acme/call.wav", SOUND)
    up.drop("letter.wav", b"Dear Sir or Madam, " * 20)
    until(lambda: {"call.wav", "letter.wav"} <= set(up.recordings()))
    until(lambda: up.recordings()["call.wav"].state is State.DONE)
    until(lambda: up.recordings()["letter.wav"].state is State.REJECTED)
    return up.recordings()


def test_it_says_that_nothing_is_kept(up):
    assert "keep nothing between starts" in up.said.read_text()


def test_a_drop_ends_as_testimony_in_the_results_bucket(up, heard):
    known = heard["call.wav"]

    blob = up.files.bucket(RESULTS).blob(f"{known.result}/result.json")
    result = json.loads(blob.download_as_bytes())

    assert (known.tenant, known.attempts) == ("acme", 1)
    assert result["recording"]["id"] == known.id
    assert result["recording"]["uri"].startswith("gs://earwitness-uploads/uploads/acme/")
    assert result["transcript"]["text"].startswith("echo")


def test_a_refusal_is_recorded_and_announced(up, heard):
    assert heard["letter.wav"].error.code == "not_audio"
    until(lambda: "letter.wav: rejected" in up.said.read_text())
    until(lambda: "call.wav: done" in up.said.read_text())


def test_the_measurement_is_a_row_of_bigquery(up, heard):
    query = f"SELECT recording_id, engine, tenant FROM `{PROJECT}.{DATASET}.{VIEW}`"

    def rows():
        found = [tuple(row) for row in up.tables.query(query).result()]
        return [row for row in found if row[0] == heard["call.wav"].id]

    assert until(rows) == [(heard["call.wav"].id, "echo", "acme")]


def test_the_command_line_finds_the_emulators(up, heard):
    id = heard["call.wav"].id

    listed = up.json("ls")["recordings"]
    shown = up.run("show", id, "--format", "srt")
    [hit] = up.json("find", "echo", "--tenant", "acme")["hits"]

    assert {r["recording"]["name"] for r in listed} >= {"call.wav", "letter.wav"}
    assert shown.stdout.startswith("1\n00:00:00,")
    assert hit["recording"]["id"] == id
    assert up.run("dead", "ls").stderr == "No dead recordings.\n"


def test_a_file_that_is_added_is_waited_for_and_heard(up, tmp_path):
    (tmp_path / "added.wav").write_bytes(tone_wav(1.0))

    [result] = up.json("add", str(tmp_path / "added.wav"), "--wait")["recordings"]

    assert (result["status"], result["recording"]["name"]) == ("done", "added.wav")


def test_a_large_file_goes_straight_to_the_bucket(up, tmp_path):
    """Where sessions are begun it would be one; the emulator's have no names."""
    content = tone_wav(70.0)
    (tmp_path / "gr\u00f6\u00dfer.wav").write_bytes(content)

    [result] = up.json("add", str(tmp_path / "gr\u00f6\u00dfer.wav"), "--wait")["recordings"]

    assert len(content) > RESUMABLE_FROM
    assert (result["status"], result["recording"]["name"]) == ("done", "gr\u00f6\u00dfer.wav")
    bucket, _, name = result["recording"]["uri"].removeprefix("gs://").partition("/")
    blob = up.files.bucket(bucket).get_blob(name)
    assert blob.metadata["name"] == "=?utf-8?B?Z3LDtsOfZXIud2F2?="
    assert blob.download_as_bytes() == content


def get(up, path, **headers):
    request = urllib.request.Request(up.note()["url"] + path, headers=headers)
    with urllib.request.urlopen(request) as answer:
        return answer.status, answer.read()


def test_the_page_lists_it_and_plays_it(up, heard):
    id = heard["call.wav"].id

    _, page = get(up, "/")
    _, one = get(up, f"/recordings/{id}")

    assert b"call.wav" in page
    assert b"letter.wav" in page
    assert f"/v1/recordings/{id}/audio".encode() in one
    assert get(up, f"/v1/recordings/{id}/audio") == (200, SOUND)
    assert get(up, f"/v1/recordings/{id}/audio", Range="bytes=4-9") == (206, SOUND[4:10])


def test_parts_of_ours_that_die_are_started_again_and_nothing_is_lost(up):
    before = {name: up.child(name) for name in ("functions", "service", "gateway")}
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)

    up.drop("after.wav", tone_wav(1.5))

    until(lambda: "after.wav" in up.recordings())
    until(lambda: up.recordings()["after.wav"].state is State.DONE)
    assert all(up.child(name) not in (None, pid) for name, pid in before.items())


def test_logs_tell_of_no_failure_that_nobody_understood(up, heard):
    logs = {path.name: path.read_text() for path in (up.home / "logs").glob("*.log")}

    assert logs.keys() >= {"functions.log", "service.log", "gateway.log", "pubsub.log"}
    assert not [name for name, text in logs.items() if "Traceback" in text]


def test_a_second_up_says_where_the_first_is(up):
    second = up.run("up", *EMULATORS)

    assert second.returncode == 1
    assert up.note()["url"] in second.stderr


def test_ctrl_c_ends_everything(up):
    """The last of this module: what it used is gone afterwards."""
    assert len(javas(up)) == 2

    code = up.stop(signal.SIGINT)

    until(lambda: not up.family())
    assert code == 0
    assert up.said.read_text().endswith("Stopping ...\nStopped.\n")
    assert not (up.home / "up.json").exists()
    assert not (up.home / "emulated").exists()


def javas(up):
    """Java's processes by their words; the leash around each carries the same ones."""
    said = {
        pid: Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0") for pid in up.family()
    }
    return {pid: words for pid, words in said.items() if words[0].endswith("java")}


def test_a_dead_emulator_ends_everything_with_a_sentence(tmp_path):
    if why := missing():
        pytest.skip(why)
    up = Emulated(tmp_path / "home", **ECHO)
    try:
        up.start()
        port = up.told["FIRESTORE_EMULATOR_HOST"].rpartition(":")[2]
        [pid] = [pid for pid, words in javas(up).items() if f"--port={port}" in words]
        os.kill(pid, signal.SIGKILL)

        code = up.process.wait(timeout=60)
    finally:
        up.end()

    until(lambda: not up.family())
    said = up.said.read_text().splitlines()
    assert code == 1
    assert said[-1].startswith("The firestore emulator stopped, and what it held is gone.")
    assert "Traceback" not in up.said.read_text()


USAGE = {
    "emulators without gcp": (["--emulators"], {}, "--backend gcp"),
    "embedded, said": (["--backend", "embedded", "--emulators"], {}, "--backend gcp"),
    "gcp without emulators": (["--backend", "gcp"], {}, "EARWITNESS_PROJECT"),
    "gcp by variable": ([], {"EARWITNESS_BACKEND": "gcp"}, "--emulators"),
}


@pytest.mark.parametrize(("words", "environment", "said"), USAGE.values(), ids=USAGE)
def test_what_up_does_not_do_is_said(tmp_path, words, environment, said):
    ended = started(tmp_path, *words, **environment)

    assert ended.returncode == 2
    assert said in " ".join(ended.stderr.split())


MISSING = {
    "no environment": ({"EARWITNESS_EMULATORS": "/nowhere"}, "make env-emulators"),
    "no java": ({"PATH": "{with_gcloud}"}, "Install a Java runtime"),
    "no gcloud": ({"PATH": "{with_java}"}, "gcloud components install"),
}


@pytest.mark.parametrize(("environment", "said"), MISSING.values(), ids=MISSING)
def test_what_is_missing_is_said_with_how_to_get_it(tmp_path, environment, said):
    if why := missing():
        pytest.skip(why)
    folders = {}
    for name in ("java", "gcloud"):
        folders[f"with_{name}"] = tmp_path / name
        (tmp_path / name).mkdir()
        (tmp_path / name / name).symlink_to(os.path.realpath(shutil.which(name)))
    environment = {key: value.format(**folders) for key, value in environment.items()}

    ended = started(tmp_path, *EMULATORS, **environment)

    assert (ended.returncode, ended.stdout) == (1, "")
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def started(home, *words, **environment):
    return subprocess.run(
        [EARWITNESS, "up", *words],
        cwd=home,
        env=os.environ | {"EARWITNESS_HOME": str(home / "home")} | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
