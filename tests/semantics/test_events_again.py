"""R3: events delivered 1 to 5 times, shuffled, to 8 processes, have one effect each."""

import json
import os
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from io import BytesIO

from local.cloud_events import storage_finalized
from shared import wiring
from shared.domain.names import recording_id
from shared.domain.states import State
from shared.settings import load
from tests.broker import RecordingBroker
from tests.sounds import tone_wav

PROCESSES, GOOD, BAD = 8, 12, 3
SEED = 20261121


def put(parts, name, content):
    return parts.inlet.put(
        f"uploads/demo/{name}",
        BytesIO(content),
        content_type="audio/wav",
        metadata={},
        at=datetime.now(UTC),
    )


def uploaded(parts):
    """Good files, bad ones, and one name in two generations, the later one first."""
    good = [put(parts, f"{n}.wav", tone_wav(0.1 + n / 100)) for n in range(GOOD)]
    again = put(parts, "0.wav", tone_wav(0.5))
    bad = [put(parts, f"bad-{n}.wav", b"no sound at all" * (n + 1)) for n in range(BAD)]
    return [again, *good], bad


def line(upload):
    event = storage_finalized(upload)
    return json.dumps({"headers": dict(event.headers), "body": event.body.decode()})


def take(home, broker, events, seed):
    environment = os.environ | {"EARWITNESS_HOME": str(home), "EARWITNESS_BROKER_URL": broker.url}
    return subprocess.Popen(
        [sys.executable, "-m", "tests.semantics.taking", str(events), str(seed)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_eight_processes_told_five_times_do_it_once(tmp_path):
    with RecordingBroker() as broker:
        parts = wiring.parts(load(home=tmp_path / "home", broker_url=broker.url))
        good, bad = uploaded(parts)
        events = tmp_path / "events"
        events.write_text("\n".join(line(upload) for upload in good + bad))
        running = [take(tmp_path / "home", broker, events, SEED + n) for n in range(PROCESSES)]
        answers = [json.loads(process.communicate(timeout=120)[0]) for process in running]

    statuses = Counter(status for one in answers for status in one)
    print(f"seed {SEED}: {statuses.total()} deliveries of {len(good + bad)} events")
    assert set(statuses) == {"200 OK"}
    assert statuses.total() > 2 * PROCESSES * len(good + bad)
    counts = {state: n for state, n in parts.recordings.counts().items() if n}
    assert counts == {State.QUEUED: len(good), State.REJECTED: len(bad)}
    for upload in good:
        known = recording_id(upload.bucket, upload.name, upload.generation)
        states = [moved.state for moved in parts.recordings.history(known)]
        assert states == [State.RECEIVED, State.QUEUED]
    assert parts.outbox.pending() == []
    assert sum(parts.jobs.waiting(datetime.now(UTC)).values()) == len(good)
    with parts.jobs._db.read() as db:
        ledger = json.loads(
            db.execute("SELECT ledger FROM tenants WHERE id = 'demo'").fetchone()[0]
        )
        told = db.execute("SELECT count(*) FROM published").fetchone()[0]
    assert ledger["files"] == len(good)
    assert told == len(bad)  # one announcement a refusal


def test_an_older_generation_never_overwrites_a_newer(tmp_path):
    """Whatever comes last: each generation is a recording of its own."""
    with RecordingBroker() as broker:
        parts = wiring.parts(load(home=tmp_path / "home", broker_url=broker.url))
        old, new = (put(parts, "same.wav", tone_wav(0.1 * n)) for n in (1, 2))
        take_one = wiring.intake(parts)
        newer = take_one(new)
        older = take_one(old)

        assert newer.id != older.id
        kept = parts.recordings.get(newer.id)
        assert (kept.generation, kept.seconds) == (2, 0.2)
        assert parts.recordings.get(older.id).seconds == 0.1
