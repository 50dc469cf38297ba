"""The command line hands over through the gateway that runs here: a whole stack, once."""

import hashlib
import io
import json
import os
import signal
import subprocess

import pytest

from earwitness.client import Earwitness, State
from tests.journeys.running import EARWITNESS, ECHO, Up
from tests.sounds import tone_wav


@pytest.fixture(scope="module")
def up(tmp_path_factory):
    home = tmp_path_factory.mktemp("stack") / "home"
    home.mkdir()
    running = Up(home, **ECHO)
    try:
        yield running.start()
    finally:
        running.stop()
        running.end()


def earwitness(up, *words, **options):
    return subprocess.run(
        [EARWITNESS, *words], cwd=up.home, env=up.environment, capture_output=True, **options
    )


def by_gateway(up, name):
    """The recordings of this name, and whether each came through the door (under a ULID)."""
    return [
        r.name.rpartition("/")[2] != name
        for r in up.parts.recordings.page(limit=999)
        if r.path == name
    ]


def test_hear_submits_to_the_gateway_that_runs_here(up, tmp_path):
    (tmp_path / "asked.wav").write_bytes(tone_wav(1.0))

    done = earwitness(up, "hear", "--json", str(tmp_path / "asked.wav"))

    assert done.returncode == 0, done.stderr
    (result,) = json.loads(done.stdout)["recordings"]
    assert (result["recording"]["name"], result["status"]) == ("asked.wav", "done")
    assert by_gateway(up, "asked.wav") == [True]


def test_add_prints_the_id_the_recording_gets(up):
    done = earwitness(up, "add", "-", "--json", input=tone_wav(1.1))

    (draft,) = json.loads(done.stdout)["recordings"]
    with Earwitness.local(up.home) as ears:
        result = ears.wait(draft["recording"]["id"], timeout_s=120)
    assert (result.status, result.recording.name) == (State.DONE, "stdin")
    assert draft["recording"] == json.loads(result.recording.model_dump_json()) | {"sha256": None}


def test_program_uploads_waits_and_reads(up):
    sound = io.BytesIO(tone_wav(1.2))
    with Earwitness.local(up.home) as ears:
        result = ears.wait(ears.upload(sound, name="from a program.wav"), timeout_s=120)

        assert result.status is State.DONE
        assert ears.transcript(result.recording.id, "vtt").startswith("WEBVTT")
        assert next(ears.recordings()).recording.id == result.recording.id


def test_upload_outlives_a_gateway_that_is_killed(up):
    """kill -9 in the middle; the supervisor starts another on the same port."""
    content, killed = tone_wav(90.0), []

    def kill_once(sent, size):
        if sent > size // 2 and not killed:
            killed.append(up.child("gateway"))
            os.kill(killed[0], signal.SIGKILL)

    with Earwitness.local(up.home) as ears:
        upload = ears.upload(io.BytesIO(content), name="outlived.wav", on_progress=kill_once)
        result = ears.wait(upload, timeout_s=120)

    assert (len(killed), result.status) == (1, State.DONE)
    assert result.recording.sha256 == hashlib.sha256(content).hexdigest()
    assert by_gateway(up, "outlived.wav") == [True]
