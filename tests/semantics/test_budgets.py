"""R9: budgets under 64 threads in 4 processes that are killed and started again."""

import random
import signal
import subprocess
import sys
from datetime import timedelta

import pytest

from shared.adapters.embedded.sqlite_database import Database
from shared.adapters.embedded.sqlite_jobs import SqliteJobs
from shared.adapters.embedded.sqlite_recordings import SqliteRecordings
from shared.adapters.embedded.sqlite_spending import SqliteSpending
from shared.adapters.embedded.sqlite_tenants import SqliteTenants
from shared.domain.answers import Task
from shared.domain.lanes import Lane
from shared.domain.slices import PART, SLICE, SLICE_S
from shared.domain.spending import MICRO, Intent, PaidCall
from shared.domain.tenants import Tier
from tests.builders import NOW, placed, recording

PROCESSES, KILLS, SEED = 4, 2, 20261121
#: Commits a process has said when it is killed, at most, and commits under way then.
MOST_SAID, UNDER_WAY = 8, 4
#: More than those that are killed may spend and strand: 8 x (12 x 0.02 + 0.25) USD.
CAP_USD = 4.0


@pytest.fixture
def db(tmp_path):
    made = Database(tmp_path / "store.db")
    SqliteTenants(made).ensure("acme", Tier.PRO, NOW)
    recordings = SqliteRecordings(made)
    with made.write():
        for number in range(500):
            recordings.create_or_get(recording(number), lambda _: placed())
    return made


def buyer(db, name, seed):
    command = [sys.executable, "-m", "tests.semantics.buying", db.path, name, str(seed)]
    pipe = subprocess.PIPE
    return subprocess.Popen([*command, str(CAP_USD)], stdin=pipe, stdout=pipe, text=True)


def killed(process, said):
    """Let it make so many commits and begin some more, then kill it."""
    process.stdin.write(f"{said + UNDER_WAY}\n")
    process.stdin.flush()
    for _ in range(said):
        assert process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.stdout.close()
    process.stdin.close()
    return process.wait() == -signal.SIGKILL


def books(db):
    """Millionths: what all calls cost, what slices say was spent, were granted, the day's sum."""
    with db.read() as rows:
        calls = rows.execute("SELECT coalesce(sum(micro_usd), 0) FROM calls").fetchone()[0]
        spent, granted = rows.execute("SELECT sum(spent), sum(granted) FROM slices").fetchone()
        taken = rows.execute("SELECT taken FROM money").fetchone()[0]
    return calls, spent, granted, taken


def test_64_threads_in_processes_that_are_killed_never_pass_the_cap(db):
    chance = random.Random(SEED)
    for life in range(KILLS):
        many = [buyer(db, f"w{n}-{life}", chance.randrange(10**6)) for n in range(PROCESSES)]
        assert all(killed(process, chance.randint(1, MOST_SAID)) for process in many)
        calls, spent, granted, taken = books(db)
        assert (calls, granted) == (spent, taken)
        assert taken <= CAP_USD * MICRO

    many = [buyer(db, f"w{n}-last", chance.randrange(10**6)) for n in range(PROCESSES)]
    for process in many:
        process.stdin.write("1000000\n")
        process.stdin.flush()
    said = [process.communicate()[0] for process in many]

    calls, spent, granted, taken = books(db)
    day = SqliteSpending(db).day("acme", NOW)
    print(f"\n{PROCESSES * KILLS} processes killed; of {CAP_USD} USD {day}")
    assert [process.returncode for process in many] == [0] * PROCESSES
    assert any(said)
    assert (calls, granted) == (spent, taken)
    assert taken <= CAP_USD * MICRO
    # Whoever holds something holds at most a slice, and of a small day at most a sixteenth.
    slices = PROCESSES * (KILLS + 1)
    assert day.reserved_usd <= slices * min(SLICE / MICRO, CAP_USD / PART)


def test_what_the_killed_have_left_is_spent_by_others_when_its_time_is_over(db):
    killed(buyer(db, "w0", 1), 5)
    lapsed = NOW + timedelta(seconds=SLICE_S)
    spending = SqliteSpending(db, "alive")
    day = spending.day("acme", lapsed)
    assert (day.reserved_usd, day.stranded_usd > 0) == (0, True)

    lease = SqliteJobs(db).lease_next(tuple(Lane), "alive", lapsed, 60.0)
    rest = PaidCall("paid", Task.TRANSCRIBE, (0,), CAP_USD - day.spent_usd)
    made = spending.intend(lease, rest, CAP_USD, lapsed)

    assert isinstance(made, Intent)
    assert spending.spent_usd("acme", lapsed) == pytest.approx(CAP_USD)
