"""R2: a real process is killed before and after every durable write, publish and ack.

Whatever is left is picked up by the next event, the next tick and the next ticket, and ends
in the same place as a run that nobody disturbed.
"""

import json
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from io import BytesIO

import pytest

from shared import wiring
from shared.domain.states import State
from tests.broker import RecordingBroker
from tests.flows.doomed import hear, parts_of
from tests.sounds import tone_wav

#: The effects of one undisturbed run; `test_the_list_of_effects_is_complete` checks it.
EFFECTS = [
    "recordings.create_or_get",
    "publisher.publish",
    "outbox.sent",
    "ack event",
    "jobs.lease_next",
    "jobs.checkpoint",
    "jobs.checkpoint",
    "results.save",
    "jobs.complete",
    "publisher.publish",
    "outbox.sent",
    "ack ticket",
]


@pytest.fixture(scope="module")
def broker():
    with RecordingBroker() as running:
        yield running


def uploaded(home, broker):
    parts = parts_of(home, broker.url)
    parts.inlet.put(
        "uploads/demo/a.wav",
        BytesIO(tone_wav(1.0)),
        content_type="audio/wav",
        metadata={},
        at=datetime.now(UTC),
    )
    return parts


def run(home, broker, when, effect):
    return subprocess.run(
        [sys.executable, "-m", "tests.flows.doomed", str(home), broker.url, when, str(effect)],
        capture_output=True,
        text=True,
        timeout=60,
    )


def recover(home, broker):
    """What the platform does next: deliver again, tick, ring. Time is an argument."""
    parts = parts_of(home, broker.url)
    for pending in parts.uploads.events():
        wiring.intake(parts)(pending.event)
        parts.uploads.event_sent(pending)
    later = datetime.now(UTC) + timedelta(hours=1)
    parts.jobs.take_back(later)
    wiring.reconcile(parts)()
    for known in parts.recordings.page(states=[State.QUEUED, State.RECEIVED]):
        _come_due(parts, known.id)
    hear(parts)
    wiring.reconcile(parts)()
    return parts


def _come_due(parts, recording_id):
    """The retry's wait is over (the store's clock is the machine's, so the row is moved)."""
    with parts.jobs._db.write() as db:
        db.execute("UPDATE jobs SET not_before_us = 0 WHERE recording_id = ?", (recording_id,))


def end_state(parts):
    [known] = parts.recordings.page()
    result = json.loads(parts.results.load(known.result, "result.json"))
    with parts.jobs._db.read() as db:
        kept = db.execute("SELECT topic, recording_id, body FROM published").fetchall()
        passages = db.execute("SELECT text FROM passages").fetchall()
        checkpoints = db.execute("SELECT count(*) FROM checkpoints").fetchone()[0]
    announced = sorted(
        (row["topic"], json.loads(row["body"]).get("type") or json.loads(row["body"])["engine"])
        for row in kept
    )
    return {
        "state": known.state,
        "transcript": result["transcript"],
        "features": [parts.results.load(known.result, n) for n in ("features.npy", "vector.npy")],
        "announced": announced,
        "passages": [row["text"] for row in passages],
        "left over": (parts.outbox.pending(), checkpoints, parts.uploads.events()),
        "counts": parts.recordings.counts(),
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, broker):
    home = tmp_path_factory.mktemp("undisturbed")
    uploaded(home, broker)
    done = run(home, broker, "before", 99)
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")[:-1], end_state(parts_of(home, broker.url))


def test_the_list_of_effects_is_complete(undisturbed):
    seen, state = undisturbed

    assert seen == EFFECTS
    assert state["state"] is State.DONE
    assert state["transcript"]["segments"][0]["words"][0]["source"] == "placer"
    assert state["announced"] == [
        ("inference-metrics", "feeler"),
        ("inference-metrics", "first"),
        ("inference-metrics", "placer"),
        ("recording-events", "recording.done"),
    ]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    "effect", range(len(EFFECTS)), ids=[f"{n}-{e}" for n, e in enumerate(EFFECTS)]
)
def test_a_kill_changes_nothing_in_the_end(tmp_path, broker, undisturbed, when, effect):
    uploaded(tmp_path, broker)

    killed = run(tmp_path, broker, when, effect)
    parts = recover(tmp_path, broker)

    assert killed.returncode == -signal.SIGKILL
    assert end_state(parts) == undisturbed[1]
