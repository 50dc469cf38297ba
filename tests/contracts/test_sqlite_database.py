"""What the file itself promises: migrations, backups, and kind words when it cannot."""

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta

import pytest

from shared.adapters.embedded.schema import MIGRATIONS
from shared.adapters.embedded.sqlite_database import Database, to_us
from shared.adapters.embedded.sqlite_jobs import SqliteJobs
from shared.adapters.embedded.sqlite_recordings import SqliteRecordings
from shared.adapters.embedded.sqlite_retention import SqliteRetention
from shared.adapters.embedded.sqlite_spending import SqliteSpending
from shared.domain.attempts import attempts
from shared.domain.lanes import Lane
from shared.domain.recording import Failure
from shared.domain.spending import DayOfMoney
from shared.domain.states import State
from shared.errors import DiskFull, InvalidSettings, StoreUnavailable
from tests.builders import NOW


def version(path):
    return sqlite3.connect(path).execute("PRAGMA user_version").fetchone()[0]


def test_opening_brings_the_schema_up_to_date_once(tmp_path):
    Database(tmp_path / "s.db")
    Database(tmp_path / "s.db")

    assert version(tmp_path / "s.db") == len(MIGRATIONS)


def test_many_may_open_a_new_file_at_once(tmp_path):
    """SQLite refuses all but one of those who begin its log in the same moment."""
    for n in range(40):
        meeting = threading.Barrier(8)

        def opened(path=tmp_path / f"{n}.db", meeting=meeting):
            meeting.wait()
            Database(path).close()

        with ThreadPoolExecutor(8) as pool:
            for one in [pool.submit(opened) for _ in range(8)]:
                one.result()

        assert version(tmp_path / f"{n}.db") == len(MIGRATIONS)


def test_a_newer_file_is_refused_and_left_alone(tmp_path):
    Database(tmp_path / "s.db").close()
    with sqlite3.connect(tmp_path / "s.db") as db:
        db.execute("PRAGMA user_version = 99")

    with pytest.raises(InvalidSettings, match="version 99"):
        Database(tmp_path / "s.db")
    assert version(tmp_path / "s.db") == 99


def test_a_migration_that_fails_changes_nothing(tmp_path, monkeypatch):
    Database(tmp_path / "s.db").close()
    broken = (*MIGRATIONS, "CREATE TABLE fresh (a); INSERT INTO nowhere VALUES (1);")
    monkeypatch.setattr("shared.adapters.embedded.sqlite_database.MIGRATIONS", broken)

    with pytest.raises(sqlite3.OperationalError):
        Database(tmp_path / "s.db")

    tables = sqlite3.connect(tmp_path / "s.db").execute("SELECT name FROM sqlite_master")
    assert ("fresh",) not in tables.fetchall()
    assert version(tmp_path / "s.db") == len(MIGRATIONS)


def test_a_full_disk_is_said_and_recovers_without_reopening(tmp_path):
    db = Database(tmp_path / "s.db")
    with db.write() as c:
        pages = c.execute("PRAGMA page_count").fetchone()[0]
        c.execute(f"PRAGMA max_page_count = {pages + 1}")

    with pytest.raises(DiskFull), db.write() as c:
        c.execute("CREATE TABLE big (a)")
        c.executemany("INSERT INTO big VALUES (?)", [("x" * 4000,)] * 100)

    with db.write() as c:
        c.execute("PRAGMA max_page_count = 1000000")
    with db.write() as c:
        c.execute("CREATE TABLE big (a)")


def test_a_locked_file_is_unavailable_and_recovers(tmp_path, monkeypatch):
    monkeypatch.setattr("shared.adapters.embedded.sqlite_database.BUSY_MS", 10)
    db = Database(tmp_path / "s.db")
    other = sqlite3.connect(tmp_path / "s.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(StoreUnavailable), db.write():
        pass

    other.execute("ROLLBACK")
    with db.write() as c:
        c.execute("CREATE TABLE t (a)")


def test_writes_inside_a_write_are_one_commit(tmp_path):
    db = Database(tmp_path / "s.db")
    with db.write() as c:
        c.execute("CREATE TABLE t (a)")

    with pytest.raises(ZeroDivisionError), db.write():
        with db.write() as c:
            c.execute("INSERT INTO t VALUES (1)")
        raise ZeroDivisionError

    with db.read() as c:
        assert c.execute("SELECT count(*) FROM t").fetchone()[0] == 0


def test_data_version_tells_of_others_commits(tmp_path):
    mine, other = Database(tmp_path / "s.db"), Database(tmp_path / "s.db")
    before = mine.data_version()

    with other.write() as c:
        c.execute("CREATE TABLE t (a)")

    assert mine.data_version() != before


def test_a_backup_is_a_whole_store(tmp_path):
    db = Database(tmp_path / "s.db")
    with db.write() as c:
        c.execute("CREATE TABLE t (a)")
        c.execute("INSERT INTO t VALUES (7)")

    db.backup(tmp_path / "copy.db")

    copy = Database(tmp_path / "copy.db")
    with copy.read() as c:
        assert c.execute("SELECT a FROM t").fetchone()[0] == 7
        assert c.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


@pytest.mark.parametrize(
    ("pragma", "value"), [("journal_mode", "wal"), ("synchronous", 2), ("secure_delete", 1)]
)
def test_what_was_committed_survives_and_what_was_deleted_does_not(tmp_path, pragma, value):
    with Database(tmp_path / "s.db").read() as c:
        assert c.execute(f"PRAGMA {pragma}").fetchone()[0] == value


def test_only_what_can_be_done_again_is_committed_without_a_sync(tmp_path):
    """PRAGMA synchronous: 2 is FULL, 1 is NORMAL (no fsync at a commit in WAL mode)."""
    db = Database(tmp_path / "s.db")

    def level(**how):
        with db.write(**how) as c:
            return c.execute("PRAGMA synchronous").fetchone()[0]

    assert [level(), level(durable=False), level(), level(durable=True)] == [2, 1, 2, 2]
    with db.write(), db.write(durable=False) as joined:
        assert joined.execute("PRAGMA synchronous").fetchone()[0] == 2


#: What version 1 wrote for a recording that died after one failed attempt, and for one that
#: was dead already and discarded.
HISTORY_1 = [
    ("received", "intake", "lane low by rule everything_else"),
    ("queued", "outbox", "rang for lane low"),
    ("processing", "w1", "attempt 1"),
    ("queued", "w1", "engine_died"),
    ("processing", "w2", "attempt 2"),
    ("dead", "reconcile", "worker_lost"),
]


def home_of_version_1(path):
    """A file as the first release left it: its own schema, its own rows."""
    with closing(sqlite3.connect(path)) as db:
        db.executescript(MIGRATIONS[0])
        for id, job in (("waits", "dead"), ("gone", "discarded")):
            db.execute(
                "INSERT INTO recordings (id, tenant, bucket, name, path, generation, size_bytes,"
                " content_type, state, tier, lane, rule, wishes, received_us, updated_us,"
                " kept_until_us, error_code, error_message, attempts) VALUES (?, 'acme',"
                " 'uploads', 'uploads/acme/a.wav', 'a.wav', 1, 1, '', 'dead', 'free', 'low',"
                " 'everything_else', '{}', ?, ?, ?, 'worker_lost', 'It fell silent.', 2)",
                (id, to_us(NOW), to_us(NOW), to_us(NOW)),
            )
            db.execute(
                "INSERT INTO jobs (recording_id, lane, state, start_tag) VALUES (?, 'low', ?, 0)",
                (id, job),
            )
            discarded = [("dead", "cli", "discarded")] if job == "discarded" else []
            for seq, line in enumerate(HISTORY_1 + discarded, start=1):
                values = (id, seq, line[0], to_us(NOW), *line[1:])
                db.execute("INSERT INTO history VALUES (?, ?, ?, ?, ?, ?)", values)
        db.execute("PRAGMA user_version = 1")
        db.commit()


def test_letters_of_version_1_keep_their_causes_attempts_and_places(tmp_path):
    home_of_version_1(tmp_path / "s.db")

    db = Database(tmp_path / "s.db")
    jobs, recordings = SqliteJobs(db), SqliteRecordings(db)

    assert [r.id for r in jobs.dead()] == ["waits"]
    told = [(a.number, a.worker, a.error) for a in attempts(recordings.history("waits"))]
    assert told == [
        (1, "w1", Failure("engine_died", "")),
        (2, "w2", Failure("worker_lost", "")),
    ]
    assert recordings.get("waits").error == Failure("worker_lost", "It fell silent.")
    assert [(d.code, d.count) for d in jobs.causes(NOW)] == [("worker_lost", 2)]
    assert jobs.lapse(NOW, NOW + timedelta(days=7)) == 0
    assert jobs.replay("waits", "cli", NOW).state is State.QUEUED
    assert jobs.lease_next([Lane.LOW], "w3", NOW, 60.0).attempt == 1


def test_a_letter_of_version_1_lapses_when_its_days_are_over(tmp_path):
    home_of_version_1(tmp_path / "s.db")
    jobs = SqliteJobs(Database(tmp_path / "s.db"))
    late = NOW + timedelta(microseconds=1)

    assert (jobs.lapse(late, late), jobs.dead()) == (1, [])


def test_what_was_spent_before_there_were_slices_is_still_spent(tmp_path):
    before = next(n for n, step in enumerate(MIGRATIONS) if "CREATE TABLE slices" in step)
    with closing(sqlite3.connect(tmp_path / "s.db")) as db:
        for step in MIGRATIONS[:before]:
            db.executescript(step)
        for n, cost in enumerate((250_000, 500_000)):
            day = NOW.date().isoformat()
            db.execute(
                "INSERT INTO calls (recording_id, tenant, day, engine, task, attempt, micro_usd,"
                " segments) VALUES (?, 'acme', ?, 'paid', 'transcribe', 1, ?, '0')",
                (f"rec{n}", day, cost),
            )
        db.execute(f"PRAGMA user_version = {before}")
        db.commit()

    db = Database(tmp_path / "s.db")

    assert SqliteSpending(db).day("acme", NOW) == DayOfMoney(0.75, 0.0, 0.0)
    with db.read() as rows:
        assert rows.execute("SELECT taken FROM money").fetchone()[0] == 750_000


def test_what_was_heard_before_there_was_an_archive_is_looked_at_once_if_it_may_be_pcm(tmp_path):
    before = next(n for n, step in enumerate(MIGRATIONS) if "compress_us" in step)
    long, short = NOW + timedelta(days=120), NOW + timedelta(days=120, microseconds=-1)
    rows = (
        ("wav", "audio/wav", "done", long),
        ("unknown", "", "done", long),
        ("mp3", "audio/mpeg", "done", long),
        ("short", "audio/wav", "done", short),
        ("dead", "audio/wav", "dead", long),
    )
    with closing(sqlite3.connect(tmp_path / "s.db")) as db:
        for step in MIGRATIONS[:before]:
            db.executescript(step)
        for id, kind, state, kept_until in rows:
            db.execute(
                "INSERT INTO recordings (id, tenant, bucket, name, path, generation, size_bytes,"
                " content_type, state, tier, wishes, received_us, updated_us, kept_until_us)"
                " VALUES (?, 'acme', 'uploads', ?, 'a', 1, 1, ?, ?, 'free', '{}', ?, ?, ?)",
                (id, id, kind, state, to_us(NOW), to_us(NOW), to_us(kept_until)),
            )
        db.execute(f"PRAGMA user_version = {before}")
        db.commit()

    retention = SqliteRetention(Database(tmp_path / "s.db"))
    found = retention.compressible(NOW + timedelta(days=30))

    assert [one.id for one in found] == ["unknown", "wav"]
    assert retention.compressible(NOW + timedelta(days=30, microseconds=-1)) == []


def test_what_was_erased_before_the_indexes_knew_of_it_does_not_end(tmp_path):
    before = next(n for n, step in enumerate(MIGRATIONS) if "COLUMN erased" in step)
    with closing(sqlite3.connect(tmp_path / "s.db")) as db:
        for step in MIGRATIONS[:before]:
            db.executescript(step)
        for id in ("done", "erased"):
            db.execute(
                "INSERT INTO recordings (id, tenant, bucket, name, path, generation, size_bytes,"
                " content_type, state, tier, wishes, received_us, updated_us, kept_until_us)"
                " VALUES (?, 'acme', 'uploads', ?, 'a', 1, 1, '', ?, 'free', '{}', 0, 0, 0)",
                (id, id, id),
            )
        db.execute(f"PRAGMA user_version = {before}")
        db.commit()

    retention = SqliteRetention(Database(tmp_path / "s.db"))

    for which in ({}, {"unannounced": True}, {"tenant": "acme"}):
        assert [one.id for one in retention.ending(NOW, **which)] == ["done"]


@pytest.mark.parametrize("asked", ["compressible", "clearable"])
def test_what_is_due_in_the_archive_is_found_without_looking_at_what_is_not(tmp_path, asked):
    db, seen = Database(tmp_path / "s.db"), []
    db.connection().set_trace_callback(seen.append)

    getattr(SqliteRetention(db), asked)(NOW)

    [plan] = db.connection().execute(f"EXPLAIN QUERY PLAN {seen[0]}").fetchall()
    assert "USING INDEX recordings_to_" in plan["detail"]
