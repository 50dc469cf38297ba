"""Real processes: started, restarted, ended, and none left behind."""

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import urllib.request

import pytest

from local.ports import some_free
from local.supervisor import Part, Supervisor, wait_s
from shared.errors import PartNotStarted
from tests.local.receiver import PATIENCE_S


class Ear:
    """Hears what is said, and lets a test wait for it."""

    def __init__(self):
        self.sentences = []
        self._came = threading.Condition()

    def __call__(self, sentence):
        with self._came:
            self.sentences.append(sentence)
            self._came.notify_all()

    def wait_for(self, part):
        with self._came:
            assert self._came.wait_for(
                lambda: any(part in s for s in self.sentences), PATIENCE_S
            ), self.sentences


def tiny(kind="lives", *, health="/", note="", name="tiny", any_answer=False):
    [port] = some_free(1)
    command = [sys.executable, "-m", "tests.local.tiny_child", kind, str(port), str(note)]
    return Part(name, command, port, health, {}, any_answer)


@pytest.fixture
def supervise(tmp_path):
    made = []

    def make(*parts, **calls):
        supervisor = Supervisor(parts, tmp_path / "logs", **{"say": Ear(), **calls})
        made.append(supervisor)
        return supervisor

    yield make
    for supervisor in made:
        with contextlib.suppress(OSError):  # stopped already
            supervisor.stop()


def wait_until_gone(pid):
    with contextlib.suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        gone, _, _ = select.select([handle], [], [], PATIENCE_S)
        os.close(handle)
        assert gone, f"process {pid} still lives"


def pids_in(note, count):
    lines = note.read_text().split()
    assert len(lines) == count
    return [int(line) for line in lines]


def test_parts_answer_after_start_and_are_gone_after_stop(supervise):
    a, b = tiny(name="a"), tiny(name="b", health="/missing", any_answer=True)
    supervisor = supervise(a, b)

    supervisor.start()
    with urllib.request.urlopen(a.url, timeout=PATIENCE_S) as answer:
        assert answer.status == 200
    pids = supervisor.pids()
    supervisor.stop()

    for pid in pids.values():
        wait_until_gone(pid)


def test_killed_part_is_started_again_and_it_is_said(supervise):
    ear, died, back = Ear(), Ear(), Ear()
    supervisor = supervise(tiny(), say=ear, died=died, back=back)
    supervisor.start()
    first = supervisor.pids()["tiny"]

    os.kill(first, signal.SIGKILL)
    ear.wait_for("tiny is back.")

    assert supervisor.pids()["tiny"] != first
    assert died.sentences == ["tiny"]
    assert back.sentences == ["tiny", "tiny"]
    assert "tiny stopped (SIGKILL); starting it again in 0.2 s." in ear.sentences


def test_what_a_killed_part_has_started_is_ended_too(supervise, tmp_path):
    note, ear = tmp_path / "pids", Ear()
    supervisor = supervise(tiny("parent", note=note), say=ear)
    supervisor.start()
    child, grandchild = pids_in(note, 2)

    os.kill(child, signal.SIGKILL)

    wait_until_gone(grandchild)


@pytest.mark.parametrize(
    ("deaths", "seconds"), [(1, 0.2), (2, 0.4), (8, 25.6), (9, 30.0), (10_000, 30.0)]
)
def test_restarts_back_off_up_to_half_a_minute(deaths, seconds):
    assert wait_s(deaths) == pytest.approx(seconds)


def test_part_that_never_answers_ends_the_start_with_its_reason(supervise, tmp_path):
    note = tmp_path / "pids"
    other = tiny(name="other", note=tmp_path / "other")
    supervisor = supervise(tiny("dies", note=note), other)

    with pytest.raises(PartNotStarted, match="it cannot be") as caught:
        supervisor.start()

    assert len(pids_in(note, 3)) == 3
    assert caught.value.context == {"part": "tiny", "port_taken": False}
    if (tmp_path / "other").exists():
        wait_until_gone(int((tmp_path / "other").read_text()))


def test_part_that_knows_better_is_not_started_again(supervise, tmp_path):
    note = tmp_path / "pids"

    with pytest.raises(PartNotStarted, match=r"the settings are wrong\. Its log"):
        supervise(tiny("settled", note=note)).start()

    assert len(pids_in(note, 1)) == 1


def test_part_that_is_silent_too_long_ends_the_start(supervise):
    with pytest.raises(PartNotStarted, match="gave no reason"):
        supervise(tiny("mute")).start(patience_s=0.3)


def test_part_that_is_not_ready_is_waited_for(supervise):
    with pytest.raises(PartNotStarted):
        supervise(tiny(health="/no")).start(patience_s=1.0)


def test_taken_port_is_told_apart(supervise):
    part = tiny("settled")
    with socket.create_server(("127.0.0.1", part.port)), pytest.raises(PartNotStarted) as caught:
        supervise(part).start()

    assert caught.value.context["port_taken"] is True


def test_stubborn_part_is_killed_after_its_grace(supervise):
    supervisor = supervise(tiny("stubborn"))
    supervisor.start()
    pid = supervisor.pids()["tiny"]

    supervisor.stop(grace_s=0.1)

    wait_until_gone(pid)


SUPERVISED = """
import sys, threading
from pathlib import Path
from local.supervisor import Part, Supervisor
tiny = [sys.executable, "-m", "tests.local.tiny_child"]
parts = [
    Part(kind, [*tiny, kind, port, note], int(port), "/")
    for kind, port, note in [sys.argv[2:5], sys.argv[5:8]]
]
supervisor = Supervisor(parts, Path(sys.argv[1]), say=print)
supervisor.start()
print(*supervisor.pids().values(), flush=True)
threading.Event().wait()
"""


def test_nothing_outlives_a_supervisor_that_was_killed(tmp_path):
    a, b = map(str, some_free(2))
    note = tmp_path / "pids"
    supervisor = subprocess.Popen(
        [sys.executable, "-c", SUPERVISED, tmp_path, "lives", a, "", "parent", b, note],
        stdout=subprocess.PIPE,
        text=True,
    )
    children = [int(pid) for pid in supervisor.stdout.readline().split()]
    grandchild = pids_in(note, 2)[1]
    assert len(children) == 2

    supervisor.kill()
    supervisor.wait(PATIENCE_S)

    for pid in [*children, grandchild]:
        wait_until_gone(pid)
    supervisor.stdout.close()
