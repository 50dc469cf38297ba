"""Bars in seconds of sound, on a terminal only."""

import io

import pytest
from rich.console import Console

from local.cli.progress import MOST_LINES, Bars, heard_s
from shared.domain.states import State
from tests.builders import recording

HEARD = {
    "waiting": ({"state": State.QUEUED}, 0.0),
    "half": ({"state": State.PROCESSING, "progress": 0.5}, 5.0),
    "done": ({"state": State.DONE, "progress": 0.5}, 10.0),
    "dead": ({"state": State.DEAD}, 10.0),
    "unknown length": ({"state": State.PROCESSING, "seconds": None}, 0.0),
}


@pytest.mark.parametrize(("changes", "seconds"), HEARD.values(), ids=HEARD)
def test_seconds_that_need_no_more_work(changes, seconds):
    assert heard_s(recording(**changes)) == seconds


def shown(*looks, terminal=True):
    out = io.StringIO()
    with Bars(Console(file=out, force_terminal=terminal, width=100)) as bars:
        for look in looks:
            bars.update(look)
            bars._progress.refresh()
    return out.getvalue()


def test_each_file_and_all_of_them_are_shown():
    busy = recording(1, state=State.PROCESSING, progress=0.5, path="a.wav")
    text = shown([busy, None], [recording(1, state=State.DONE, path="a.wav"), None])

    assert "0 of 2 files" in text
    assert "a.wav" in text
    assert "0:05.0 of 0:10.0 heard" in text
    assert "1 of 2 files" in text


def test_only_so_many_files_have_a_line():
    many = [
        recording(n, state=State.PROCESSING, path=f"file{n:02}.wav") for n in range(MOST_LINES + 2)
    ]

    text = shown(many)

    assert f"file{MOST_LINES - 1:02}.wav" in text
    assert f"file{MOST_LINES:02}.wav" not in text


def test_nothing_is_shown_where_nobody_looks():
    assert shown([recording(state=State.PROCESSING)], terminal=False).strip() == ""
