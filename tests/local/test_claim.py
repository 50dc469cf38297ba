"""One stack a HOME; whoever died does not count."""

import json
import os
import subprocess
import sys

import pytest

from local.claim import LOCK, NOTE, Up, claim, is_claimed, read_note, running, write_note
from shared.errors import AlreadyRunning
from tests.local.receiver import PATIENCE_S

HOLD = """
import sys
from pathlib import Path
from local.claim import claim
with claim(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def up(pid, url="http://127.0.0.1:8080"):
    return Up(pid, url, "http://b", "http://f", "http://s", "2026-03-01T12:00:00+00:00", "0.1.0")


@pytest.fixture
def holder(home):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, home], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.communicate(timeout=PATIENCE_S)


def test_second_one_is_told_where_the_first_serves(home, holder):
    write_note(home, up(holder.pid))

    with pytest.raises(AlreadyRunning, match=r"http://127\.0\.0\.1:8080"), claim(home):
        pass
    assert running(home) == up(holder.pid)


def test_second_one_is_told_of_a_stack_without_a_page(home, holder):
    write_note(home, up(holder.pid, url=""))

    with pytest.raises(AlreadyRunning, match="earwitness hear"), claim(home):
        pass


def test_claim_without_a_note_is_just_starting(home, holder):
    with pytest.raises(AlreadyRunning, match="just starting"), claim(home):
        pass
    assert is_claimed(home)
    assert running(home) is None


def test_claim_of_a_killed_process_is_free_and_its_note_stale(home, holder):
    write_note(home, up(holder.pid))
    holder.kill()
    holder.wait(PATIENCE_S)

    assert not is_claimed(home)
    assert running(home) is None
    with claim(home):
        assert is_claimed(home)


def test_note_goes_with_the_claim_and_another_ones_stays(home):
    with claim(home):
        write_note(home, up(os.getpid()))
    assert not (home / NOTE).exists()

    with claim(home):
        write_note(home, up(1))
    assert (home / NOTE).exists()


def test_nothing_is_claimed_where_nothing_is(home):
    assert not is_claimed(home)
    with claim(home):
        pass
    assert (home / LOCK).exists()
    assert not is_claimed(home)


@pytest.mark.parametrize("content", ["", "[]", "{}", json.dumps({"pid": 1})])
def test_odd_note_is_no_note(home, content):
    home.mkdir()
    (home / NOTE).write_text(content)

    assert read_note(home) is None
