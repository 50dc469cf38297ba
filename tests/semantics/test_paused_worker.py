"""R4: a worker is stopped past its lease; when it goes on, it writes nothing anybody sees."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from io import BytesIO

import pytest

from shared import wiring
from shared.domain.lanes import Lane
from shared.domain.recording import Failure
from shared.domain.states import State
from tests.broker import RecordingBroker
from tests.flows.doomed import hear, parts_of
from tests.sounds import tone_wav

LATER = timedelta(hours=1)


@pytest.fixture(scope="module")
def broker():
    with RecordingBroker() as running:
        yield running


def waiting(home, broker):
    parts = parts_of(home, broker.url)
    upload = parts.inlet.put(
        "uploads/demo/a.wav",
        BytesIO(tone_wav(1.0)),
        content_type="audio/wav",
        metadata={},
        at=datetime.now(UTC),
    )
    wiring.intake(parts)(upload)
    return parts


@contextmanager
def stopped(home, broker, effect):
    """The worker, once it has stopped itself; killed at the end, whatever became of it."""
    worker = subprocess.Popen(
        [sys.executable, "-m", "tests.semantics.paused", str(home), broker.url, effect],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        _, status = os.waitpid(worker.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        yield worker
    finally:
        worker.kill()
        worker.wait()


def seen(parts):
    """Everything anybody can see: all rows, and the files results point to."""
    tables = ("recordings", "jobs", "history", "checkpoints", "outbox", "published", "passages")
    with parts.jobs._db.read() as db:
        rows = {t: [tuple(r) for r in db.execute(f"SELECT * FROM {t}")] for t in tables}
    files = [parts.results.load(r.result, "result.json") for r in parts.recordings.page()]
    return rows, files


def due_again(parts):
    """The lease ran out, was taken back, and the retry's wait is over."""
    assert parts.jobs.take_back(datetime.now(UTC) + LATER) == 1
    with parts.jobs._db.write() as db:
        db.execute("UPDATE jobs SET not_before_us = 0")


def go_on(worker):
    os.kill(worker.pid, signal.SIGCONT)
    return worker.communicate(timeout=60)[0].strip()


@pytest.mark.parametrize("effect", ["jobs.checkpoint", "results.save", "jobs.complete"])
def test_the_late_worker_writes_nothing_anybody_sees(tmp_path, broker, effect):
    parts = waiting(tmp_path, broker)
    with stopped(tmp_path, broker, effect) as worker:
        due_again(parts)
        hear(parts)
        [known] = parts.recordings.page()
        assert (known.state, known.attempts) == (State.DONE, 2)
        before = seen(parts)

        assert go_on(worker) == "lost"
        assert seen(parts) == before


def test_a_late_worker_whose_job_died_writes_nothing_either(tmp_path, broker):
    parts = waiting(tmp_path, broker)
    with stopped(tmp_path, broker, "jobs.complete") as worker:
        due_again(parts)
        lease = parts.jobs.lease_next([Lane.HIGH], "w2", datetime.now(UTC), 60)
        parts.jobs.fail(lease, Failure("engine_died", "It died."), None, datetime.now(UTC))

        assert go_on(worker) == "lost"
        assert parts.recordings.get(lease.recording.id).state is State.DEAD
