"""Threads that write at once share a commit, and none of them notices."""

import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from random import Random
from threading import Event
from weakref import ref

import pytest

from shared.adapters.embedded import sqlite_database
from shared.adapters.embedded.sqlite_commits import FULL, NORMAL
from shared.adapters.embedded.sqlite_database import Database
from shared.errors import DiskFull, StoreUnavailable

#: Seconds within which a thread that was let go has arrived.
SOON_S = 30


@pytest.fixture
def path(tmp_path):
    return tmp_path / "s.db"


@pytest.fixture
def db(path):
    made = Database(path)
    with made.write() as c:
        c.execute("CREATE TABLE t (a UNIQUE)")
    return made


def kept(path):
    with sqlite3.connect(path) as other:
        return sorted(a for (a,) in other.execute("SELECT a FROM t"))


class Crowd:
    """Threads that have all come to write while the first of them is not done."""

    def __init__(self, db, count):
        self.db, self.count = db, count
        self.commits = []
        self.pool = ThreadPoolExecutor(count)

    @contextmanager
    def held(self):
        """The first to write; the others queue behind it until this block ends."""
        with self.db.write() as c:
            c.set_trace_callback(lambda s: self.commits.append(s) if s == "COMMIT" else None)
            yield c
            while len(self.db._commits._waiting) < self.count:
                os.sched_yield()

    def writes(self, *jobs):
        return [self.pool.submit(job) for job in jobs]


@pytest.fixture
def crowd(db):
    made = Crowd(db, 4)
    yield made
    made.pool.shutdown()


def put(db, value, then=lambda: None):
    def job():
        with db.write() as c:
            c.execute("INSERT INTO t VALUES (?)", (value,))
            then()

    return job


def fails(error):
    def now():
        raise error

    return now


def test_threads_that_wait_share_one_commit(db, crowd, path):
    with crowd.held() as c:
        c.execute("INSERT INTO t VALUES (0)")
        done = crowd.writes(*(put(db, n) for n in range(1, 5)))

    assert [one.result(SOON_S) for one in done] == [None] * 4
    assert kept(path) == [0, 1, 2, 3, 4]
    assert len(crowd.commits) == 1


def test_nobody_returns_before_it_is_committed(db, crowd, path):
    """Each looks from another connection as soon as it may go on."""
    seen = {}

    def job(n):
        def do():
            put(db, n)()
            seen[n] = n in kept(path)

        return do

    with crowd.held():
        done = crowd.writes(*(job(n) for n in range(1, 5)))

    assert [one.result(SOON_S) for one in done] == [None] * 4
    assert seen == dict.fromkeys(range(1, 5), True)


def test_who_fails_undoes_nothing_but_its_own(db, crowd, path):
    with crowd.held() as c:
        c.execute("INSERT INTO t VALUES (0)")
        good, bad, last, double = crowd.writes(
            put(db, 1), put(db, 2, fails(ZeroDivisionError())), put(db, 3), put(db, 0)
        )

    assert (good.result(SOON_S), last.result(SOON_S)) == (None, None)
    with pytest.raises(ZeroDivisionError):
        bad.result(SOON_S)
    with pytest.raises(sqlite3.IntegrityError):
        double.result(SOON_S)
    assert kept(path) == [0, 1, 3]


def test_who_fails_last_commits_for_the_others(db, crowd, path):
    with crowd.held() as c:
        c.execute("INSERT INTO t VALUES (0)")
        done = crowd.writes(*(put(db, n, fails(ZeroDivisionError())) for n in range(1, 5)))

    assert [type(one.exception(SOON_S)) for one in done] == [ZeroDivisionError] * 4
    assert kept(path) == [0]


def test_who_fails_first_undoes_nothing_of_the_others(db, crowd, path):
    with pytest.raises(ZeroDivisionError), crowd.held() as c:
        c.execute("INSERT INTO t VALUES (0)")
        done = crowd.writes(*(put(db, n) for n in range(1, 5)))
        raise ZeroDivisionError

    assert [one.result(SOON_S) for one in done] == [None] * 4
    assert kept(path) == [1, 2, 3, 4]


def test_a_full_disk_fails_all_whom_it_undid_and_nobody_after(db, crowd, path):
    def big():
        with db.write() as c:
            c.executemany("INSERT INTO t VALUES (?)", [(f"{n}" * 4000,) for n in range(100)])

    with pytest.raises(DiskFull), crowd.held() as c:
        pages = c.execute("PRAGMA page_count").fetchone()[0]
        c.execute(f"PRAGMA max_page_count = {pages + 1}")
        c.execute("INSERT INTO t VALUES (0)")
        done = crowd.writes(big, big, big, big)

    assert [type(one.exception(SOON_S)) for one in done] == [DiskFull] * 4
    with db.write() as c:
        c.execute("PRAGMA max_page_count = 1000000")
    put(db, 9)()
    assert 9 in kept(path)


def test_a_commit_that_fails_is_told_to_all_of_it(db, crowd, path):
    """A deferred foreign key is looked at when it is committed, whoever broke it."""
    with db.write() as c:
        c.execute("CREATE TABLE child (a REFERENCES t (a) DEFERRABLE INITIALLY DEFERRED)")
    with db._commits.alone() as c:
        c.execute("PRAGMA foreign_keys = ON")

    def orphan():
        with db.write() as c:
            c.execute("INSERT INTO child VALUES ('nobody')")

    with pytest.raises(sqlite3.IntegrityError), crowd.held():
        done = crowd.writes(put(db, 1), put(db, 2), orphan, put(db, 3))

    assert [type(one.exception(SOON_S)) for one in done] == [sqlite3.IntegrityError] * 4
    assert kept(path) == []
    put(db, 4)()
    assert kept(path) == [4]


def test_a_locked_file_fails_who_waited_for_it_and_nobody_after(db, path, monkeypatch):
    monkeypatch.setattr(sqlite_database, "BUSY_MS", 10)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with ThreadPoolExecutor(4) as pool:
        done = [pool.submit(put(db, n)) for n in range(4)]
        failed = [type(one.exception(SOON_S)) for one in done]
    other.execute("ROLLBACK")

    put(db, 9)()

    assert failed == [StoreUnavailable] * 4
    assert kept(path) == [9]


def test_no_commit_grows_beyond_its_limit(db, crowd, monkeypatch, path):
    monkeypatch.setattr(db._commits, "_most", 2)
    with crowd.held() as c:
        c.execute("INSERT INTO t VALUES (0)")
        done = crowd.writes(*(put(db, n) for n in range(1, 5)))

    assert [one.result(SOON_S) for one in done] == [None] * 4
    assert len(crowd.commits) == 3
    assert kept(path) == [0, 1, 2, 3, 4]


def test_what_must_be_synced_does_not_join_what_need_not(db, crowd, path):
    levels = []

    def durable():
        with db.write() as c:
            levels.append(c.execute("PRAGMA synchronous").fetchone()[0])

    with db.write(durable=False) as c:
        levels.append(c.execute("PRAGMA synchronous").fetchone()[0])
        c.execute("INSERT INTO t VALUES (0)")
        [done] = crowd.writes(durable)
        while not db._commits._waiting:
            os.sched_yield()

    assert done.result(SOON_S) is None
    assert levels == [NORMAL, FULL]
    assert kept(path) == [0]


def test_who_fails_hears_it_when_what_it_saw_is_committed(db, crowd, path):
    """It may have failed because of what an earlier turn of the same commit wrote."""
    seen = []

    def outdated():
        try:
            put(db, 0)()
        except sqlite3.IntegrityError:
            seen.append(kept(path))

    with crowd.held() as c:
        c.execute("INSERT INTO t VALUES (0)")
        done = crowd.writes(*[outdated] * 4)

    assert [one.result(SOON_S) for one in done] == [None] * 4
    assert seen == [[0]] * 4


def test_who_fails_counts_for_the_limit(db, crowd, monkeypatch, path):
    """Else writers that go on failing would keep a good write from its commit."""
    monkeypatch.setattr(db._commits, "_most", 2)
    with crowd.held() as c:
        c.execute("INSERT INTO t VALUES (0)")
        c.set_trace_callback(crowd.commits.append)
        done = crowd.writes(*(put(db, n, fails(ZeroDivisionError())) for n in range(1, 5)))

    assert [type(one.exception(SOON_S)) for one in done] == [ZeroDivisionError] * 4
    ends = [s for s in crowd.commits if s in {"COMMIT", "ROLLBACK", "ROLLBACK TO turn"}]
    assert ends[:2] == ["ROLLBACK TO turn", "COMMIT"]
    assert kept(path) == [0]


class Odd:
    """A connection that fails once behind, or instead of, a statement."""

    def __init__(self, path, statement, error, instead):
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._fault, self._instead = (statement, error), instead

    def execute(self, statement, *given):
        fault = self._fault if self._fault and self._fault[0] == statement else None
        self._fault = None if fault else self._fault
        found = None if fault and self._instead else self._db.execute(statement, *given)
        if fault:
            raise fault[1]
        return found

    def __getattr__(self, name):
        return getattr(self._db, name)


def odd(db, path, statement, error, *, instead=False):
    db._commits._db = Odd(path, statement, error, instead)


def test_who_is_interrupted_behind_a_commit_undoes_it_for_nobody(db, crowd, path):
    odd(db, path, "COMMIT", KeyboardInterrupt())
    with ThreadPoolExecutor(1) as last:
        with db.write() as c:
            c.execute("INSERT INTO t VALUES (0)")
            interrupted = last.submit(put(db, 1))
            while not db._commits._waiting:
                os.sched_yield()

        assert isinstance(interrupted.exception(SOON_S), KeyboardInterrupt)

    assert kept(path) == [0, 1]
    assert db._commits.mine() is None


def test_who_is_interrupted_behind_a_begin_leaves_no_lock(db, path):
    odd(db, path, "BEGIN IMMEDIATE", KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        put(db, 0)()

    put(db, 1)()

    assert kept(path) == [1]


def test_what_cannot_be_undone_by_itself_is_undone_with_all(db, path):
    odd(db, path, "ROLLBACK TO turn", sqlite3.OperationalError("disk I/O error"), instead=True)
    with ThreadPoolExecutor(1) as last, pytest.raises(StoreUnavailable), db.write() as c:
        c.execute("INSERT INTO t VALUES (0)")
        bad = last.submit(put(db, 1, fails(ZeroDivisionError())))
        while not db._commits._waiting:
            os.sched_yield()

    assert isinstance(bad.exception(SOON_S), ZeroDivisionError)
    assert kept(path) == []


def test_who_swallows_that_all_was_undone_is_told_at_the_end(db, crowd, path):
    with pytest.raises(StoreUnavailable), crowd.held() as c:
        c.execute("INSERT INTO t VALUES (0)")
        c.execute("ROLLBACK")
        done = crowd.writes(*(put(db, n) for n in range(1, 5)))

    assert [one.result(SOON_S) for one in done] == [None] * 4
    assert kept(path) == [1, 2, 3, 4]


def test_a_store_closed_while_it_writes_says_so(db, path):
    with pytest.raises(sqlite3.ProgrammingError), db.write():
        db.close()

    put(db, 1)()
    assert kept(path) == [1]


def test_a_store_nobody_knows_any_more_is_closed(path):
    gone = ref(Database(path))

    assert gone() is None


@pytest.mark.parametrize("seed", range(5))
def test_what_was_said_to_be_written_is_there_and_nothing_else(db, path, seed):
    """Eight threads over two connections to the file; a third of what they do fails."""
    other, said = Database(path), [set() for _ in range(8)]

    def some(n):
        chance, store = Random(f"{seed} {n}"), (db, other)[n % 2]
        for value in range(n * 100, n * 100 + 100):
            durable, fails = chance.random() < 0.8, chance.random() < 1 / 3
            with suppress(ZeroDivisionError):
                with store.write(durable=durable) as c:
                    c.execute("INSERT INTO t VALUES (?)", (value,))
                    if fails:
                        raise ZeroDivisionError
                said[n].add(value)

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(some, n) for n in range(8)]:
            done.result(SOON_S)

    assert kept(path) == sorted(set().union(*said))
    assert 400 < len(kept(path)) < 660


def test_who_relied_on_a_thread_that_was_interrupted_commits_by_itself(db, path):
    """Ctrl-C reaches the main thread while it queues, after another has left its work to it."""

    class Interrupted:
        def __enter__(self):
            left.set()
            assert went_on.wait(SOON_S)
            raise KeyboardInterrupt

        def __exit__(self, *_):
            raise AssertionError("nobody got here")

    left, went_on, commits = Event(), Event(), db._commits
    with ThreadPoolExecutor(2) as pool:
        with db.write() as c:
            c.execute("INSERT INTO t VALUES (0)")
            lock, commits._lock = commits._lock, Interrupted()
            interrupted = pool.submit(put(db, 1))
            assert left.wait(SOON_S)
            commits._lock = lock
            done = pool.submit(put(db, 2))
            while len(commits._waiting) < 2:
                os.sched_yield()
        assert done.result(SOON_S) is None
        went_on.set()
        assert isinstance(interrupted.exception(SOON_S), KeyboardInterrupt)

    assert kept(path) == [0, 2]
    assert not commits._waiting


def test_nobody_reads_what_another_thread_has_not_committed(db, path):
    def count():
        with db.read() as c:
            return c.execute("SELECT count(*) FROM t").fetchone()[0]

    with ThreadPoolExecutor(1) as pool, db.write() as c:
        c.execute("INSERT INTO t VALUES (0)")
        assert (pool.submit(count).result(SOON_S), count()) == (0, 1)


@pytest.mark.parametrize("where", [":memory:", "file"])
def test_what_is_written_while_reading_is_one_commit_of_its_own(where, tmp_path):
    db = Database(where if where == ":memory:" else tmp_path / "s.db")
    with db.write() as c:
        c.execute("CREATE TABLE t (a)")

    with db.read(), pytest.raises(ZeroDivisionError), db.write() as c:
        c.execute("INSERT INTO t VALUES (1)")
        raise ZeroDivisionError
    with db.read(), db.write() as c:
        c.execute("INSERT INTO t VALUES (2)")

    with db.read() as c:
        assert [a for (a,) in c.execute("SELECT a FROM t")] == [2]


def test_reading_inside_a_write_does_not_end_it():
    db = Database(":memory:")
    with db.write() as c:
        c.execute("CREATE TABLE t (a)")

    with pytest.raises(ZeroDivisionError), db.write() as c:
        c.execute("INSERT INTO t VALUES (1)")
        with db.read() as inside:
            assert inside.execute("SELECT count(*) FROM t").fetchone()[0] == 1
        raise ZeroDivisionError

    with db.read() as c:
        assert c.execute("SELECT count(*) FROM t").fetchone()[0] == 0


def test_a_closed_store_opens_again_by_itself(db, path):
    db.close()

    put(db, 1)()

    assert kept(path) == [1]
