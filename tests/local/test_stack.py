"""The real stack with the echo engine: one start, and everything asked of it."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from local import first_run
from local.claim import claim, running, write_note
from local.cli import cli
from local.stack import WORKER, Ports, Stack, _sweep
from shared.domain.lanes import Lane
from shared.domain.result import read
from shared.domain.states import TERMINAL, State
from shared.errors import PartNotStarted
from shared.settings import load
from shared.wiring import clock, parts
from tests.local.receiver import PATIENCE_S
from tests.local.test_supervisor import Ear
from tests.local.world import World
from tests.sounds import silence_wav, speech, tone_wav

PAUSE = threading.Event()  # never set: a look at another process has no other sign
EARWITNESS = Path(sys.executable).parent / "earwitness"
ECHO = {
    "EARWITNESS_CASCADE__TRANSCRIBE": '["echo"]',
    "EARWITNESS_CASCADE__CLASSIFY": "[]",
    "EARWITNESS_RETRY_BASE_S": "0.05",
}


class Served:
    """A stack that runs, its store, and what it said."""

    def __init__(self, home):
        self.home, self.said, self.folder = home, Ear(), home / "inbox"
        self.stack = Stack(load(home=home), say=self.said, page=28_080, inbox=self.folder)
        self.parts = parts(load(home=home))

    def recording(self, path):
        return next((r for r in self.parts.recordings.page(limit=1000) if r.path == path), None)

    def until(self, path, *states):
        """Look until the recording is in one of the states."""
        pause = threading.Event()
        for _ in range(int(PATIENCE_S * 3 / 0.02)):
            found = self.recording(path)
            if found is not None and (not states or found.state in states):
                return found
            pause.wait(0.02)
        raise AssertionError((path, found, self.said.sentences))


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    home = tmp_path_factory.mktemp("stack") / "home"
    before = {name: os.environ.get(name) for name in ECHO}
    os.environ.update(ECHO)
    world = World(home)
    world.queued("left-behind.wav")
    world.parts.jobs.lease_next([Lane.HIGH], WORKER, clock(), 3600)  # by one who was killed
    with claim(home):
        made = Served(home)
        made.stack.start()
        write_note(home, made.stack.up(os.getpid()))
        yield made
        made.stack.stop()
    for name, value in before.items():
        os.environ.pop(name)
        os.environ.update({name: value} if value is not None else {})


@pytest.fixture
def earwitness(served, tmp_path, monkeypatch):
    monkeypatch.setenv("EARWITNESS_HOME", str(served.home))
    monkeypatch.chdir(tmp_path)

    def run(*words, **given):
        return CliRunner().invoke(cli, [str(w) for w in words], **given)

    return run


def test_leases_of_a_dead_worker_are_taken_back_at_the_start(served):
    assert any("were being heard when it ended" in s for s in served.said.sentences)
    # Its upload was never made, so hearing it again ends among the dead or refused.
    served.until("left-behind.wav", State.DEAD, State.QUEUED, State.PROCESSING)


def test_note_says_where_everything_answers(served):
    note = running(served.home)

    assert note.url == f"http://127.0.0.1:{served.stack.ports.gateway}"
    assert len({note.url, note.broker, note.functions, note.service}) == 4


def test_dropped_file_is_heard_as_its_folders_tenant(served):
    part = served.folder / "acme" / "talk.wav.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(tone_wav(1.0))
    part.rename(part.with_name("dropped.wav"))

    made = served.until("dropped.wav", State.DONE)

    assert (made.tenant, made.lane, made.rule) == ("acme", Lane.LOW, "everything_else")
    assert "New folder acme/: tenant acme was made, tier free." in served.said.sentences


def test_hear_prints_in_the_order_given_and_nothing_else(earwitness, tmp_path):
    (tmp_path / "two.wav").write_bytes(speech("This one goes on for quite a while longer."))
    (tmp_path / "one.wav").write_bytes(speech("Short."))

    text = earwitness("hear", "two.wav", "one.wav")
    srt = earwitness("hear", "two.wav", "--format", "srt")

    assert (text.exit_code, srt.exit_code) == (0, 0)
    assert re.fullmatch(r"echo [234]\.\d\d s.*\n\necho [01]\.\d\d s\n", text.stdout)
    assert text.stderr == "== two.wav: done\n== one.wav: done\n"
    assert re.match(r"1\n00:00:00,\d{3} --> 00:00:0\d,\d{3}\necho ", srt.stdout)
    assert srt.stderr == ""


def test_hear_json_has_every_result_and_the_worst_status(earwitness, tmp_path):
    (tmp_path / "ok.wav").write_bytes(tone_wav(1.0))
    (tmp_path / "bad.wav").write_text("Dear Sir or Madam, this is no sound at all.")

    answer = earwitness("hear", "bad.wav", "ok.wav", "--json")

    found = [read(json.dumps(r)) for r in json.loads(answer.stdout)["recordings"]]
    assert answer.exit_code == 4
    assert [(r.recording.name, r.status) for r in found] == [
        ("bad.wav", State.REJECTED),
        ("ok.wav", State.DONE),
    ]
    assert answer.stderr.startswith("bad.wav: rejected: ")


def test_hear_takes_folders_and_standard_input_and_writes_files(earwitness, tmp_path):
    (tmp_path / "calls").mkdir()
    (tmp_path / "calls" / "a.wav").write_bytes(speech("Short."))

    sound = speech("Short.")
    answer = earwitness("hear", "calls", "-", "-o", "out", "--format", "vtt", input=sound)

    assert (answer.exit_code, answer.stdout) == (0, "")
    assert "\necho " in (tmp_path / "out" / "a.vtt").read_text()
    assert "\necho " in (tmp_path / "out" / "stdin.vtt").read_text()


def test_wishes_travel_with_the_file(earwitness, tmp_path, served):
    (tmp_path / "wish.wav").write_bytes(speech("Short."))

    answer = earwitness(
        *("add", "wish.wav", "--lane", "bulk", "--engine", "echo", "--language", "de"),
        *("--wait", "--json"),
    )

    [result] = json.loads(answer.stdout)["recordings"]
    made = served.recording("wish.wav")
    assert answer.exit_code == 0
    assert (result["status"], result["language"], result["rule"]) == ("done", "de", "bulk")
    assert (made.wishes.engine, made.wishes.bulk) == ("echo", True)


def test_add_and_wait_prints_ids(earwitness, tmp_path, served):
    (tmp_path / "waited.wav").write_bytes(tone_wav(1.0))

    answer = earwitness("add", "waited.wav", "--wait")

    assert answer.stdout.strip() == served.recording("waited.wav").id


def test_dead_service_is_started_again_and_hears_what_came_meanwhile(served):
    pid = served.stack.pids()["service"]

    os.kill(pid, signal.SIGKILL)
    served.said.wait_for("service stopped (SIGKILL)")
    (served.folder / "meanwhile.wav").write_bytes(tone_wav(1.0))

    served.said.wait_for("service is back.")
    served.until("meanwhile.wav", State.DONE)


def test_dead_functions_lose_no_event(served):
    pid = served.stack.pids()["functions"]

    os.kill(pid, signal.SIGKILL)
    (served.folder / "eventful.wav").write_bytes(tone_wav(1.0))

    served.until("eventful.wav", State.DONE)


def test_first_start_shows_what_the_sample_says(served):
    said = []

    first_run.hear_sample(served.parts, say=said.append, stopped=threading.Event())

    assert said[0].startswith("Nothing was heard here yet")
    assert said[1].strip().startswith("0:0")
    assert not first_run.is_first(served.parts)


def test_first_start_does_not_wait_for_ever(world):
    said, stopped = [], threading.Event()
    assert first_run.is_first(world.parts)

    first_run.hear_sample(world.parts, say=said.append, stopped=stopped, patience_s=0.1)
    stopped.set()
    first_run.hear_sample(world.parts, say=said.append, stopped=stopped)

    assert said[1] == said[3] == "  ... it takes longer than usual; the page will show it."


def started(home, *words, said=subprocess.PIPE):
    environment = os.environ | ECHO | {"EARWITNESS_HOME": str(home)}
    # A shell's background job ignores SIGINT, and so would everything started from it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            [EARWITNESS, *words], env=environment, stdout=subprocess.PIPE, stderr=said, text=True
        )
    finally:
        signal.signal(signal.SIGINT, before)


def test_up_ends_with_a_word_at_sigterm_and_leaves_no_note(tmp_path):
    home = tmp_path / "home"
    up = started(home, "up", "--port", "28080")
    said = []
    for line in up.stderr:
        said.append(line)
        if line.startswith("Ctrl-C"):
            break
    note = running(home)

    up.send_signal(signal.SIGTERM)
    rest = up.stderr.read()

    assert up.wait(PATIENCE_S) == 0
    assert note.url in "".join(said)
    assert rest == "Stopping ...\nStopped.\n"
    assert not (home / "up.json").exists()


def test_up_that_is_interrupted_while_it_starts_leaves_nothing(tmp_path):
    up = started(tmp_path / "home", "up", "--port", "28080")
    assert up.stderr.readline() == "Earwitness is starting ...\n"
    while not (tmp_path / "home" / "logs" / "service.log").exists():
        PAUSE.wait(0.02)

    up.send_signal(signal.SIGINT)
    rest = up.stderr.read()

    assert up.wait(PATIENCE_S * 2) == 0
    assert rest.endswith("Stopped.\n")
    assert "Traceback" not in rest


def test_hear_alone_starts_a_stack_and_ends_it(tmp_path):
    home, sound = tmp_path / "home", tmp_path / "talk.wav"
    sound.write_bytes(speech("Short."))
    heard = started(home, "hear", str(sound))
    out, err = heard.communicate(timeout=PATIENCE_S * 3)

    assert (heard.returncode, err) == (0, "")
    assert out.startswith("echo ")


def test_hear_that_is_interrupted_leaves_the_work_for_later(tmp_path):
    """Half an hour of silence takes seconds to listen through, however slow this test is."""
    home, sound = tmp_path / "home", tmp_path / "talk.wav"
    sound.write_bytes(silence_wav(1800.0))
    hear = started(home, "hear", str(sound))
    while not (home / "logs" / "service.log").exists():
        PAUSE.wait(0.02)

    hear.send_signal(signal.SIGINT)
    out, err = hear.communicate(timeout=PATIENCE_S * 3)

    assert (hear.returncode, out) == (130, "")
    assert err.startswith("Stopped; 1 of 1 files are not heard yet.")
    assert len(err.splitlines()) == 1
    assert running(home) is None
    left = parts(load(home=home))
    waiting = [r for r in left.recordings.page() if r.state not in TERMINAL]
    assert len(left.uploads.events()) + len(waiting) == 1


class Taken(Stack):
    """A stack whose first port another program takes first, once."""

    squatters = ()

    def _children(self):
        if not self.squatters:
            self.squatters = (socket.create_server(("127.0.0.1", self.ports.functions)),)
        return super()._children()


def test_port_that_another_program_takes_first_is_given_up_for_another(tmp_path):
    with claim(tmp_path):
        stack = Taken(load(home=tmp_path), say=Ear())
        wished = stack.ports.functions
        try:
            stack.start()
            answered = stack.ports.functions
        finally:
            stack.stop()
            stack.squatters[0].close()

    assert answered != wished


def test_what_killed_ones_have_left_in_tmp_is_swept_and_what_is_in_use_stays(tmp_path):
    for name in ("old-file", "new-file"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "old-folder").mkdir()
    (tmp_path / "old-folder" / "x").write_bytes(b"x")
    (tmp_path / "upload-laid").write_bytes(b"x")  # an upload's, killed before there was a row
    os.link(tmp_path / "upload-laid", tmp_path.parent / f"{tmp_path.name}-its-place")
    for name in ("old-file", "old-folder", "upload-laid"):
        os.utime(tmp_path / name, (0, 0))

    _sweep(tmp_path, clock().timestamp())
    _sweep(tmp_path / "none", 0.0)

    assert {p.name for p in tmp_path.iterdir()} == {"new-file", "upload-laid"}


def test_no_port_for_the_page_is_said():
    with socket.create_server(("127.0.0.1", 65_535)), pytest.raises(PartNotStarted, match="--port"):
        Ports.choose(65_535)
