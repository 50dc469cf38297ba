"""R2 for the tick: killed before and after each of its effects, the next ticks finish it."""

import io
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared import wiring
from shared.domain.lanes import Lane
from shared.domain.recording import Failure
from shared.domain.states import State
from tests.broker import RecordingBroker
from tests.builders import placed, recording
from tests.flows.doomed import parts_of
from tests.sounds import tone_wav

#: Long ago: every grace and every wait is over.
THEN = datetime.now(UTC) - timedelta(days=8)
CAUSE = Failure("decoder_died", "The decoder died.")
#: What one tick does to the home below; `test_the_list_of_effects_is_complete` checks it.
EFFECTS = [
    *("jobs.take_back", "jobs.undefer", "jobs.lapse"),
    *("publisher.publish", "outbox.sent"),
    *("jobs.unrung", "publisher.publish"),
    *("arrivals.pull", "recordings.create_or_get", "publisher.publish", "outbox.sent"),
    "arrivals.ack",
    *("bookmarks.move", "bookmarks.move"),
    *("bookmarks.move", "results.remove", "bookmarks.move"),
]


@pytest.fixture(scope="module")
def broker():
    with RecordingBroker() as running:
        yield running


def wrecked(home, broker):
    """A store in which one of each is missing."""
    parts = parts_of(home, broker.url)
    made = {}
    for number, state in enumerate(["dead", "leased", "unrung", "deferred"]):
        draft = recording(number, received_at=THEN, tenant="demo")
        until = THEN if state == "deferred" else None
        made[state] = parts.recordings.create_or_get(draft, lambda _, u=until: placed(until=u)).id
        parts.outbox.sent(parts.outbox.pending(), THEN)
        if state in ("dead", "leased"):
            lease = parts.jobs.lease_next((Lane.LOW,), "w1", THEN, 60.0)
            assert lease.recording.id == made[state]
        if state == "dead":
            parts.jobs.fail(lease, CAUSE, None, THEN)
    parts.inlet.put(
        "uploads/demo/lost.wav", io.BytesIO(tone_wav(1.0)), content_type="", metadata={}, at=THEN
    )
    folder = f"results/demo/{made['dead']}/1"
    parts.results.save(folder, {"result.json": b"{}"})
    os.utime(home / folder, (THEN.timestamp(), THEN.timestamp()))
    return parts


def tick(home, broker, when, effect):
    words = [str(home), broker.url, when, str(effect), "tick"]
    return subprocess.run(
        [sys.executable, "-m", "tests.flows.doomed", *words],
        capture_output=True,
        text=True,
        timeout=60,
    )


def recover(parts):
    """The ticks of the next hour: claims and hidden arrivals have come back."""
    later = replace(parts, now=lambda: datetime.now(UTC) + timedelta(hours=1))
    while wiring.reconcile(later)():
        pass


def end_state(parts):
    with parts.jobs._db.read() as db:
        told = db.execute("SELECT body FROM published").fetchall()
        jobs = db.execute("SELECT state, attempts FROM jobs ORDER BY recording_id").fetchall()
        arrivals = db.execute("SELECT count(*) FROM arrivals").fetchone()[0]
    return {
        "states": sorted((r.path, r.state) for r in parts.recordings.page()),
        "jobs": [tuple(row) for row in jobs],
        "announced": sorted(json.loads(row["body"])["type"] for row in told),
        "left over": (parts.outbox.pending(), arrivals, parts.results.folders()),
        "history": {r.path: settled(parts, r.id) for r in parts.recordings.page()},
    }


def settled(parts, id):
    return [(m.state, m.actor) for m in parts.recordings.history(id)]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, broker):
    home = tmp_path_factory.mktemp("undisturbed")
    parts = wrecked(home, broker)
    done = tick(home, broker, "before", 99)
    assert done.returncode == 0, done.stderr
    recover(parts)
    return done.stdout.split("\n")[:-1], end_state(parts)


def test_the_list_of_effects_is_complete(undisturbed):
    seen, state = undisturbed

    assert seen == EFFECTS
    assert [s for _, s in state["states"]].count(State.QUEUED) == 4
    assert state["left over"] == ([], 0, [])


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    "effect", range(len(EFFECTS)), ids=[f"{n}-{e}" for n, e in enumerate(EFFECTS)]
)
def test_a_kill_changes_nothing_in_the_end(tmp_path, broker, undisturbed, when, effect):
    parts = wrecked(tmp_path, broker)

    killed = tick(tmp_path, broker, when, effect)
    recover(parts)

    assert killed.returncode == -signal.SIGKILL
    assert end_state(parts) == undisturbed[1]
