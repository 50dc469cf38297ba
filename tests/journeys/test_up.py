"""A stranger's way: `earwitness up`, a file dropped, testimony read, Ctrl-C, and again."""

import json
import os
import shutil
import signal
import subprocess
import urllib.request
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.domain.states import State
from tests.journeys.running import EARWITNESS, ECHO, Up, until
from tests.sounds import silence_wav, speech, tone_wav


@pytest.fixture
def start(tmp_path):
    """Start `up` as often as wanted; whatever still runs is ended."""
    started = []

    def go(home="home", **environment):
        running = Up(tmp_path / home, **environment)
        started.append(running)
        return running.start()

    yield go
    for running in started:
        running.end()


def earwitness(running, *words):
    return subprocess.run(
        [EARWITNESS, *words],
        cwd=running.home,
        env=running.environment,
        capture_output=True,
        text=True,
        timeout=240,
    )


@pytest.mark.whisper
def test_the_first_run_hears_the_sample_then_what_is_dropped(start, tmp_path):
    up = start()
    said = until(lambda: "The inbox" in up.said.read_text() and up.said.read_text())

    up.drop("acme/call.wav", speech("The train to Dublin leaves at noon."))
    up.until_terminal(2)
    known = up.recordings()["call.wav"]

    assert "drop a recording into the inbox" in said.lower()
    assert (known.state, known.tenant) == (State.DONE, "acme")
    shown = earwitness(up, "show", known.id, "--format", "text")
    assert "train to Dublin leaves at noon" in shown.stdout
    [hit] = json.loads(earwitness(up, "find", "dublin", "--json").stdout)["hits"]
    assert hit["recording"]["id"] == known.id
    result = json.loads(
        urllib.request.urlopen(f"{up.note()['url']}/v1/recordings/{known.id}").read()
    )
    assert result["transcript"]["segments"][0]["words"][0]["end_s"] > 0
    assert [s["label"] for s in result["sounds"]] == ["speech"]
    until(lambda: "call.wav: done" in up.said.read_text())


@pytest.mark.skipif(not shutil.which("flac"), reason="flac is not installed (apt-get install flac)")
def test_a_month_later_the_upload_is_flac_and_comes_back_byte_for_byte(start, tmp_path):
    up, content = start(**ECHO), tone_wav(5.0)
    up.drop("call.wav", content)
    until(lambda: "call.wav" in up.recordings() and up.recordings()["call.wav"].result)
    id, retention = up.recordings()["call.wav"].id, up.parts.retention

    def passes(**times):
        """What was to happen later is to happen now; the ticks do the rest."""
        retention.decide(id, lambda it: replace(it, **times), "archive", up.parts.now())

    assert up.recordings()["call.wav"].compress_at is not None
    passes(compress_at=up.parts.now() - timedelta(days=8))
    until(lambda: up.recordings()["call.wav"].archived)
    passes(clear_at=up.parts.now())
    until(lambda: up.recordings()["call.wav"].clear_at is None)

    played = urllib.request.urlopen(f"{up.note()['url']}/v1/recordings/{id}/audio")
    saved, back = tmp_path / "call.wav.flac", tmp_path / "call.wav"
    saved.write_bytes(played.read())
    restoring = ["flac", "--decode", "--silent", "--keep-foreign-metadata"]
    subprocess.run([*restoring, saved, "-o", back], check=True)
    assert played.headers["content-type"] == "audio/flac"
    assert back.read_bytes() == content
    assert not any(one.name.endswith("call.wav") for one in up.parts.uploads.page())


def test_ctrl_c_leaves_nothing_behind_and_the_next_start_goes_on(start):
    up = start(**ECHO)
    up.drop("one.wav", tone_wav(1.0))
    up.until_terminal(1)

    code = up.stop(signal.SIGINT)
    left = until(lambda: not up.family())
    again = start(**ECHO)
    again.drop("two.wav", tone_wav(2.0))
    until(lambda: "two.wav" in again.recordings())

    assert (code, left) == (0, True)
    assert "Traceback" not in up.said.read_text()
    assert set(again.recordings()) >= {"one.wav", "two.wav"}


def test_a_killed_supervisor_leaves_no_orphans(start):
    up = start(**ECHO)
    assert len(up.family()) >= 4

    up.stop(signal.SIGKILL)

    until(lambda: not up.family())
    assert start(**ECHO).note()


def test_a_drop_waits_while_the_functions_are_stopped(start):
    """The command line never calls an engine itself: without the event, nothing is heard."""
    up = start(**ECHO)
    up.drop("first.wav", tone_wav(1.0))
    up.until_terminal(1)
    functions = up.child("functions")
    os.kill(functions, signal.SIGSTOP)

    up.drop("second.wav", tone_wav(2.0))
    until(up.parts.inlet.events)
    waiting = set(up.recordings())
    os.kill(functions, signal.SIGCONT)
    until(lambda: "second.wav" in up.recordings())

    assert "second.wav" not in waiting
    until(lambda: up.recordings()["second.wav"].state is State.DONE)


def test_a_dead_part_is_started_again_and_it_is_said(start):
    up = start(**ECHO)
    for name in ("functions", "service", "gateway"):
        pid = until(lambda name=name: up.child(name))
        os.kill(pid, signal.SIGKILL)
        until(lambda name=name, pid=pid: up.child(name) not in (None, pid))

    up.drop("after.wav", tone_wav(1.0))

    until(lambda: "after.wav" in up.recordings())
    until(lambda: up.recordings()["after.wav"].state is State.DONE)
    assert all(name in up.said.read_text() for name in ("functions", "service", "gateway"))


BAD = {
    "empty.wav": (b"", "empty_audio"),
    "letter.wav": (b"Dear Sir or Madam, " * 20, "not_audio"),
    "picture.wav": (b"\x89PNG\r\n\x1a\n" + b"\0" * 200, "not_audio"),
    "cut.wav": (tone_wav(1.0)[:20], "damaged_audio"),
    "list.mp3": (b"#EXTM3U\nhttp://127.0.0.1:9/a.ts\n", "references_elsewhere"),
    "concat.wav": (b"ffconcat version 1.0\nfile /etc/passwd\n", "references_elsewhere"),
    "long.wav": (silence_wav(61.0, rate=4_000), "audio_too_long"),
}


def test_bad_input_is_refused_with_its_code_and_the_rest_goes_on(start, tmp_path):
    up = start(EARWITNESS_MAX_SECONDS="60", **ECHO)

    for name, (content, _) in BAD.items():
        up.drop(name, content)
    up.drop("good.wav", tone_wav(1.0))
    up.until_terminal(len(BAD) + 2)  # and the sample of the first run

    known = up.recordings()
    codes = {name: known[name].error and known[name].error.code for name in BAD}
    assert codes == {name: code for name, (_, code) in BAD.items()}
    assert all(known[name].state is State.REJECTED for name in BAD)
    assert known["good.wav"].state is State.DONE
    assert (up.inbox / "letter.wav").read_bytes() == BAD["letter.wav"][0]
    heard = earwitness(up, "hear", str(up.inbox / "letter.wav"))
    assert (heard.returncode, heard.stdout) == (4, "")


def test_a_second_up_on_the_same_home_says_where_the_first_is(start):
    up = start(**ECHO)

    second = earwitness(up, "up")

    assert second.returncode == 1
    assert up.note()["url"] in second.stderr
