"""Trouble around the work (disk, store, decoder, engine, SIGTERM, a flood) loses nothing."""

import json
import os
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from contextlib import closing, contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from shared.domain.names import recording_id
from shared.domain.states import State
from shared.wiring import STORE
from tests.engines.mortal import KILLED
from tests.journeys.running import EARWITNESS, ECHO, Up, until
from tests.journeys.test_kills import ledger
from tests.sounds import tone_wav, wav

ROOT = Path(__file__).parents[2]


@pytest.fixture
def start(tmp_path):
    """Start `up` as often as wanted; whatever still runs is ended."""
    started = []

    def go(home=tmp_path / "home", **environment):
        running = Up(home, **ECHO | environment)
        started.append(running)
        running.start().until_terminal(1)  # the sample of the first run
        return running

    yield go
    for running in started:
        running.end()


def earwitness(up, *words):
    return subprocess.run(
        [EARWITNESS, *words],
        cwd=up.home,
        env=up.environment,
        capture_output=True,
        text=True,
        timeout=240,
    )


def put(up, name, content, tenant="demo"):
    """An upload, as a client of the cloud makes it; returns the recording's id."""
    upload = up.parts.inlet.put(
        f"uploads/{tenant}/{name}",
        BytesIO(content),
        content_type="audio/wav",
        metadata={},
        at=up.parts.now(),
    )
    return recording_id(upload.bucket, upload.name, upload.generation)


def until_done(up, *ids):
    get = up.parts.recordings.get
    until(lambda: all((known := get(i)) and known.state is State.DONE for i in ids))


def attempts(up, ids):
    return Counter(up.parts.recordings.get(id).attempts for id in ids)


@contextmanager
def stopped(up):
    """The service stands still, not in the middle of a write; it goes on at the latest at the end.

    Stopped while it holds the lock of the store, it would keep everybody else out.
    """
    pid = up.child("service")
    try:
        until(lambda: stands_still(pid, up.home / STORE))
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def stands_still(pid, store):
    os.kill(pid, signal.SIGSTOP)
    with closing(sqlite3.connect(store, isolation_level=None, timeout=0.1)) as db:
        try:
            db.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            os.kill(pid, signal.SIGCONT)
            return False
        db.execute("ROLLBACK")
    return True


def said(up, *words):
    text = up.said.read_text()
    return all(word in text for word in words)


# R11: the disk


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own, small enough to be filled (tmpfs; needs the right to mount)."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=320m", "tmpfs", place], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def fill(place):
    """Take every byte that is left."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file:
        block = bytes(1 << 20)
        while block:
            try:
                file.write(block)
            except OSError:
                block = block[: len(block) // 2]
    return filler


def test_full_disk_holds_work_back_and_is_over_when_there_is_room(start, small_disk, capsys):
    up = start(small_disk / "home", EARWITNESS_LEASE_S="5")
    waiting = [tone_wav(1.0 + n / 10) for n in range(5)]
    (up.home / "aside").write_bytes(tone_wav(3.0))
    with stopped(up):
        ids = [put(up, f"{n}.wav", content) for n, content in enumerate(waiting)]
        until(lambda: all(up.parts.recordings.get(id) for id in ids))
        filler = fill(small_disk)

    (up.home / "aside").rename(up.inbox / "dropped.wav")
    until(lambda: said(up, "dropped.wav waits: The disk is full.", "code=disk_full"))
    refused = earwitness(up, "add", str(up.inbox / "dropped.wav"))
    filler.unlink()
    freed_s = time.monotonic()
    until_done(up, *ids)
    until(lambda: "dropped.wav" in up.recordings())
    until(lambda: up.recordings()["dropped.wav"].state is State.DONE)

    with capsys.disabled():
        print(f"\nwent on {time.monotonic() - freed_s:.1f} s after the disk had room again")
    assert refused.returncode == 1
    assert refused.stderr.startswith("The disk is full.")
    assert attempts(up, ids) == {1: len(ids)}
    assert "Traceback" not in up.said.read_text()


# R11: the store


def test_locked_store_holds_work_back_and_is_over_when_it_is_free(start, tmp_path):
    up = start()
    file = tmp_path / "talk.wav"
    file.write_bytes(tone_wav(4.0))
    with stopped(up):
        ids = [put(up, f"{n}.wav", tone_wav(1.0 + n / 10)) for n in range(5)]
        until(lambda: all(up.parts.recordings.get(id) for id in ids))
        lock = sqlite3.connect(up.home / STORE, isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")

    with closing(lock):
        up.drop("dropped.wav", tone_wav(3.0))
        refused = earwitness(up, "add", str(file))
        until(lambda: said(up, "code=store_unavailable"))
        lock.execute("ROLLBACK")
    until_done(up, *ids)
    until(lambda: "dropped.wav" in up.recordings())
    until(lambda: up.recordings()["dropped.wav"].state is State.DONE)

    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("The store did not answer in time.")
    assert attempts(up, ids) == {1: len(ids)}
    assert "Traceback" not in up.said.read_text()


# R6: processes that die


def decoders(up):
    """CPU ticks used by each process that the nursery of decoders has born."""
    nursery = [pid for pid in children(up.child("service")) if is_of_nursery(pid)]
    born = [pid for pid in children(*nursery) if is_of_nursery(pid)]
    return {pid: ticks(pid) for pid in born}


def children(*parents):
    return [pid for pid in pids() if stat(pid)[1:2] in [[str(p)] for p in parents]]


def pids():
    return [int(path.name) for path in Path("/proc").glob("[0-9]*")]


def stat(pid):
    """The fields of /proc/PID/stat from the state on; [] where the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def ticks(pid):
    """CPU time used, in clock ticks."""
    return sum(map(int, stat(pid)[11:13]))


def is_of_nursery(pid):
    try:
        return b"decoding.nursery" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def test_a_killed_decoder_costs_its_recording_one_attempt_and_nobody_else_any(start):
    up = start(EARWITNESS_DECODERS="2")
    before = decoders(up)

    def at_work():
        return [pid for pid, used in decoders(up).items() if used > before.get(pid, 0) + 1]

    long = tone_wav(600.0, rate=8_000)
    ids = [put(up, f"{n}.wav", long) for n in range(2)]
    os.kill(until(at_work)[0], signal.SIGKILL)
    ids += [put(up, f"short-{n}.wav", tone_wav(1.0 + n)) for n in range(3)]
    until_done(up, *ids)

    assert attempts(up, ids) == {1: 4, 2: 1}
    [struck] = [id for id in ids if up.parts.recordings.get(id).attempts == 2]
    reasons = [moved.reason for moved in up.parts.recordings.history(struck)]
    assert any("decoder_died" in reason for reason in reasons)


#: Sounds are all that is asked for: beside a transcript they would only be missing.
KILLER = {
    "EARWITNESS_CASCADE__TRANSCRIBE": "[]",
    "EARWITNESS_CASCADE__CLASSIFY": '["mortal"]',
    "EARWITNESS_ENGINES": json.dumps({"mortal": {"kind": "tests.engines.mortal:Mortal"}}),
    "PYTHONPATH": str(ROOT),
}
HEALED = KILLER | {"EARWITNESS_ENGINES": json.dumps({"mortal": {"kind": "echo"}})}


def test_a_job_that_kills_its_engine_is_dead_after_four_attempts_until_replayed(start):
    up = start(**KILLER)
    poison = np.zeros(16_000)
    poison[0] = KILLED * 32_768.5 / 32_767  # exact once it is PCM
    with stopped(up):
        ids = [put(up, f"{n}.wav", tone_wav(1.0 + n)) for n in range(4)]
        ids.insert(2, guilty := put(up, "poison.wav", wav(poison)))
        until(lambda: all(up.parts.recordings.get(id) for id in ids))
    up.until_terminal(len(ids) + 1)

    dead = up.parts.recordings.get(guilty)
    listed, shown = earwitness(up, "dead", "ls"), earwitness(up, "dead", "show", guilty)
    code = up.stop()
    well = start(**HEALED)
    replayed = earwitness(well, "dead", "replay", guilty)
    until_done(well, guilty)

    assert (dead.state, dead.attempts, dead.error.code) == (State.DEAD, 4, "engine_died")
    assert attempts(well, [id for id in ids if id != guilty]) == {1: 4}
    assert [line.split()[0] for line in listed.stdout.splitlines()] == [guilty]
    assert "SIGKILL" in listed.stdout
    assert shown.stdout.count("engine_died") >= 4
    assert (code, replayed.returncode) == (0, 0)
    assert earwitness(well, "dead", "ls").stdout == ""


# R7, and fairness as it is felt


#: With an engine for every window, so that also tones are measured.
MEASURED = {"EARWITNESS_CASCADE__CLASSIFY": '["echo"]'}


def test_sigterm_under_load_loses_nothing_doubles_nothing_and_costs_no_attempt(start, capsys):
    up = start(**MEASURED)
    ids = [put(up, f"{n}.wav", tone_wav(30.0 + n / 10, rate=8_000)) for n in range(60)]
    until(lambda: up.parts.recordings.counts()[State.DONE] >= 10)

    asked_s = time.monotonic()
    code = up.stop(signal.SIGTERM)
    took_s = time.monotonic() - asked_s
    known = [up.parts.recordings.get(id) for id in ids]
    left = sum(r is None or r.state is not State.DONE for r in known)
    again = start(**MEASURED)
    until_done(again, *ids)
    until(lambda: not again.parts.outbox.pending())

    announced, measured, _ = ledger(again)
    with capsys.disabled():
        print(f"\nSIGTERM: exit after {took_s:.1f} s with {left} of {len(ids)} not done (goal 8 s)")
    assert (code, left > 0) == (0, True)
    assert attempts(again, ids) == {1: len(ids)}
    assert {announced[id] for id in ids} == {1}
    assert {measured[id] for id in ids} == {1}


FLOOD = 200


def test_one_file_behind_anothers_flood_is_not_last(start, capsys):
    up = start()
    for tenant in ("flood", "calm"):
        earwitness(up, "tenants", "set", tenant, "--tier", "enterprise", "--weight", "1")
    with stopped(up):
        for n in range(FLOOD):
            up.drop(f"flood/{n}.wav", tone_wav(2.0 + n / 1000, rate=4_000))
        until(lambda: sum(r.tenant == "flood" for r in up.recordings().values()) == FLOOD)
        up.drop("calm/one.wav", tone_wav(2.0, rate=4_000))
        until(lambda: "one.wav" in up.recordings())
    up.until_terminal(FLOOD + 2)

    ended = sorted(up.recordings().values(), key=lambda r: r.updated_at)
    place = [r.path for r in ended if r.tenant != "demo"].index("one.wav") + 1
    with capsys.disabled():
        print(f"\nthe one file behind {FLOOD} of another tenant was heard as number {place}")
    assert {r.state for r in ended} == {State.DONE}
    assert place <= FLOOD // 2
