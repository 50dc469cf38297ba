"""R1 in small: 200 recordings while every component is killed again and again."""

import json
import os
import random
import signal
from collections import Counter
from io import BytesIO

import pytest

from shared.domain.states import State
from tests.journeys.running import ECHO, Up, until
from tests.sounds import speech

JOBS, KILLS, SEED = 200, 20, 20261121
#: A recording hit by four kills in a row would be dead, rightly; waits of 0.5, 2 and 8 s make
#: that as rare as it is outside.
SETTINGS = ECHO | {"EARWITNESS_RETRY_BASE_S": "0.5"}
PARTS = ("functions", "service", "gateway", "supervisor")


@pytest.fixture
def up(tmp_path):
    running = Up(tmp_path / "home", **SETTINGS)
    yield running
    running.end()


def put(up, number, content):
    """Each with last samples of its own: known content would not be heard again."""
    up.parts.inlet.put(
        f"uploads/demo/{number}.wav",
        BytesIO(content[:-8] + number.to_bytes(8, "little")),
        content_type="audio/wav",
        metadata={},
        at=up.parts.now(),
    )


def kill(up, part):
    if part == "supervisor":
        up.stop(signal.SIGKILL)
        up.start()
    elif pid := up.child(part):
        os.kill(pid, signal.SIGKILL)


def ledger(up):
    """Every recording and every effect that anybody can see."""
    with up.parts.jobs._db.read() as db:
        published = db.execute("SELECT topic, recording_id, body FROM published").fetchall()
        passages = db.execute("SELECT recording_id FROM passages").fetchall()
    done = Counter(
        row["recording_id"]
        for row in published
        if json.loads(row["body"]).get("type") == "recording.done"
    )
    measured = Counter(r["recording_id"] for r in published if r["topic"] == "inference-metrics")
    return done, measured, Counter(row["recording_id"] for row in passages)


def test_nothing_is_lost_and_nothing_doubled(up, capsys):
    chance = random.Random(SEED)
    up.start()
    victims, content = Counter(), speech("Nothing is lost.")
    for number in range(JOBS):
        put(up, number, content)
        if number % (JOBS // KILLS) == JOBS // KILLS // 2:
            part = PARTS[len(victims)] if len(victims) < len(PARTS) else chance.choice(PARTS)
            victims[part] += 1
            kill(up, part)
    up.until_terminal(JOBS + 1)  # and the sample of the first run
    until(lambda: not up.parts.outbox.pending())

    ours = [
        r
        for r in up.parts.recordings.page("demo", limit=1000)
        if r.name.startswith("uploads/demo/") and r.path[:-4].isdigit()
    ]
    states = Counter(r.state for r in ours)
    done, measured, found = ledger(up)
    with capsys.disabled():
        print(
            f"\nkills (seed {SEED}): {dict(victims)}; {len(ours)} recordings: "
            f"{ {str(s): n for s, n in states.items()} }; announced twice"
            f" {sum(n > 1 for n in done.values())}, measured twice"
            f" {sum(n > 1 for n in measured.values())}"
        )
    assert len(ours) == JOBS
    assert states == {State.DONE: JOBS}
    assert {done[r.id] for r in ours} == {1}
    assert {measured[r.id] for r in ours} == {1}
    assert {found[r.id] for r in ours} == {1}


@pytest.mark.slow
def test_nothing_is_lost_and_nothing_doubled_over_many_kills(capsys):
    """R1 with 1,000 recordings and 60 kills; 10,000 and 500 are `python -m bench.kills`."""
    from bench.kills import run

    with capsys.disabled():
        print()
        assert run(jobs=1_000, kills=60, seed=SEED + 1)
