"""A real process is killed around a paid call; a server of ours counts what would be paid."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO

import pytest

from shared import wiring
from shared.domain.recording import Lease
from shared.domain.states import State
from tests.broker import RecordingBroker
from tests.engines.openai_server import OpenAiServer, Reply, recorded
from tests.flows.paying import hear, parts_of
from tests.sounds import tone_wav

#: The effects of one undisturbed hearing, from the lease on.
EFFECTS = [
    "jobs.lease_next",
    "spending.intend",
    "spending.settle",
    "results.save",
    "jobs.complete",
    "publisher.publish",
    "outbox.sent",
]
#: 60 s of sound at 0.0045 USD a minute; the recorded answer says 3 s were billed.
AT_MOST, BILLED = 0.0045, 0.0045 * 3 / 60


@pytest.fixture
def server():
    with OpenAiServer() as running:
        yield running
    assert running.refused == []


@pytest.fixture(scope="module")
def broker():
    with RecordingBroker() as running:
        yield running


@pytest.fixture
def parts(tmp_path, broker):
    """A recording of a tenant that agreed, taken in and waiting."""
    made = parts_of(tmp_path, broker.url)
    made.tenants.put(replace(made.tenants.get("demo"), fallback=True))
    made.inlet.put(
        "uploads/demo/a.wav",
        BytesIO(tone_wav(1.0)),
        content_type="audio/wav",
        metadata={},
        at=datetime.now(UTC),
    )
    [pending] = made.uploads.events()
    wiring.intake(made)(pending.event)
    return made


def started(parts, server, when="before", effect=99):
    s = parts.settings
    where = [str(s.home), s.broker_url, server.url, when, str(effect)]
    command = [sys.executable, "-m", "tests.flows.paying", *where]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def run(*how):
    process = started(*how)
    said, _ = process.communicate(timeout=60)
    return process.returncode, said.splitlines()


def killed_in_the_call(parts, server):
    """The process dies while the server has its call and has not answered."""
    process = started(parts, server)

    def strike(call):
        os.kill(process.pid, signal.SIGKILL)
        return Reply(recorded("transcription"))

    server.speak = strike
    process.communicate(timeout=60)
    server.speak = None
    return process.returncode


def next_attempt(parts):
    later = datetime.now(UTC) + timedelta(hours=1)
    parts.jobs.take_back(later)
    with parts.jobs._db.write() as db:  # the retry's wait is over
        db.execute("UPDATE jobs SET not_before_us = 0")


def same_attempt(parts):
    """As a service that is told to stop: it lets go of the job without spending the attempt."""
    [known] = parts.recordings.page()
    lease = Lease(known, 1, parts.settings.worker, datetime.now(UTC), 1)
    parts.jobs.hand_over(lease, datetime.now(UTC))


def spent(parts):
    return parts.spending.spent_usd("demo", datetime.now(UTC))


def result(parts):
    [known] = parts.recordings.page()
    assert known.state is State.DONE
    return json.loads(parts.results.load(known.result, "result.json"))


def test_an_undisturbed_hearing_pays_once(parts, server):
    code, effects = run(parts, server)

    assert (code, effects) == (0, EFFECTS)
    assert len(server.calls) == 1
    assert spent(parts) == pytest.approx(BILLED, abs=1e-6)
    assert result(parts)["cost_usd"] == pytest.approx(BILLED)


def test_killed_in_the_call_the_next_attempt_calls_once_more(parts, server):
    assert killed_in_the_call(parts, server) == -signal.SIGKILL
    assert (len(server.calls), spent(parts)) == (1, pytest.approx(AT_MOST))

    next_attempt(parts)
    hear(parts, server.url)

    assert len(server.calls) == 2
    assert spent(parts) == pytest.approx(AT_MOST + BILLED, abs=1e-6)
    assert result(parts)["transcript"]["text"].startswith("The quick brown fox")


def test_killed_in_the_call_the_same_attempt_calls_nobody(parts, server):
    assert killed_in_the_call(parts, server) == -signal.SIGKILL

    same_attempt(parts)
    hear(parts, server.url)

    assert len(server.calls) == 1
    assert spent(parts) == pytest.approx(AT_MOST)
    [known] = parts.recordings.page()
    assert known.error.code == "paid_call_withheld"  # nobody else had an answer
    next_attempt(parts)
    hear(parts, server.url)
    assert (len(server.calls), bool(result(parts))) == (2, True)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("effect", range(5), ids=EFFECTS[:5])
def test_whenever_it_dies_an_attempt_calls_at_most_once(parts, server, when, effect):
    code, _ = run(parts, server, when, effect)
    before = len(server.calls)
    [known] = parts.recordings.page()
    if known.state is State.PROCESSING:
        same_attempt(parts)
        hear(parts, server.url)
    in_one_attempt = len(server.calls)
    next_attempt(parts)
    hear(parts, server.url)

    assert code == -signal.SIGKILL
    assert before <= in_one_attempt <= 1
    assert len(server.calls) <= 2
    assert spent(parts) >= BILLED * len(server.calls) - 1e-6
    assert result(parts)["transcript"]["text"].startswith("The quick brown fox")
