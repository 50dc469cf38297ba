"""Many threads' writes in one commit, so that they share what a commit costs.

A thread that finds others waiting for the lock leaves the transaction open for them, and the last
of them commits for all; each returns only when its own is committed. Source: group commit, DeWitt,
Katz, Olken, Shapiro, Stonebraker and Wood, "Implementation Techniques for Main Memory Database
Systems" (SIGMOD 1984), section 5.2.
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from shared.errors import DiskFull, StoreUnavailable

#: Seconds between two looks at a write lock that another process holds.
POLL_S = 0.0005
#: Seconds after which a thread no longer relies on those who came after it.
PATIENCE_S = 0.2
#: SQLite's numbers for PRAGMA synchronous.
NORMAL, FULL = 1, 2


class _Commit:
    """What becomes of several writes, for each that waits to know."""

    def __init__(self, level: int) -> None:
        self.level = level
        self.writes = 0
        self._settled = threading.Event()
        self._error: BaseException | None = None

    def settle(self, error: BaseException | None) -> None:
        self._error = error
        self._settled.set()

    def settled(self, within_s: float) -> bool:
        """Whether it is known what became of it; raises if that is nothing."""
        known = self._settled.wait(within_s)
        if known and self._error is not None:
            raise self._error
        return known


class Commits:
    """One connection that writes, and the threads that take turns at it.

    Args:
        connect: opens the connection, at its first use.
        most: writes of one commit; so many a thread waits for at most. 1: none waits.
        busy_s: seconds to wait for another process's commit.
    """

    def __init__(
        self, connect: Callable[[], sqlite3.Connection], most: int, busy_s: Callable[[], float]
    ) -> None:
        self._connect, self._most, self._busy_s = connect, most, busy_s
        self._db: sqlite3.Connection | None = None
        self._level = FULL
        self._lock = threading.Lock()
        self._waiting: set[int] = set()  #: threads that come next
        self._owner: int | None = None
        self._open: _Commit | None = None

    def mine(self) -> sqlite3.Connection | None:
        """The connection, if it is this thread's turn; None otherwise."""
        return self._db if self._owner == threading.get_ident() else None

    @contextmanager
    def write(self, level: int) -> Iterator[sqlite3.Connection]:
        """What this thread does is committed, or undone if it raises.

        Inside another write of this thread it is a part of that one.
        """
        inside = self.mine()
        if inside is not None and self._open is not None:
            yield inside
            return
        failed: Exception | None = None
        with self._turn() as db:
            commit = self._join(db, level)
            waits = True
            try:
                yield db
                _still_open(db)
                if commit.writes > 1:
                    db.execute("RELEASE turn")
            except Exception as error:
                waits, failed = self._undo(db, commit, error), error
            except BaseException as error:
                self._undo(db, commit, error)
                raise
            if inside is not None:
                self._commit(db)
        # Who fails may have seen what others of the commit wrote: it is true once they are told so.
        if waits:
            self._await(commit)
        if failed is not None:
            raise failed

    def _await(self, commit: _Commit) -> None:
        while not commit.settled(PATIENCE_S):
            # Whoever was to commit for us was interrupted, or is slow.
            with self.alone():
                pass

    @contextmanager
    def alone(self) -> Iterator[sqlite3.Connection]:
        """The connection while nobody else writes; what others wrote is committed."""
        inside = self.mine()
        with self._turn() as db:
            if inside is None:
                self._commit(db)
            yield db

    def close(self) -> None:
        with self.alone() as db:
            self._db, self._level = None, FULL
            db.close()

    @contextmanager
    def _turn(self) -> Iterator[sqlite3.Connection]:
        inside = self.mine()
        if inside is not None:
            yield inside
            return
        me = threading.get_ident()
        try:
            self._waiting.add(me)
            with self._lock:
                self._waiting.discard(me)
                self._owner = me
                try:
                    with self._ending() as db:
                        yield db
                finally:
                    self._owner = None
        finally:
            self._waiting.discard(me)

    @contextmanager
    def _ending(self) -> Iterator[sqlite3.Connection]:
        """The connection; afterwards all is committed, unless somebody else comes to do it."""
        db = self._db = self._db or self._connect()
        try:
            yield db
        finally:
            if self._open and (not self._waiting or self._open.writes >= self._most):
                self._commit(db)

    def _join(self, db: sqlite3.Connection, level: int) -> _Commit:
        if self._open and self._open.level < level:
            self._commit(db)
        if self._open is None:
            self._begin(db, level)
            self._open = _Commit(level)
        else:
            db.execute("SAVEPOINT turn")
        self._open.writes += 1
        return self._open

    def _begin(self, db: sqlite3.Connection, level: int) -> None:
        """Take the write lock from other processes.

        SQLite's own wait sleeps 1, 2, 5, 10, 15 ... 100 ms between looks, while a commit of ours
        takes half a millisecond. So threads queue on a lock, and processes look every POLL_S.
        """
        if db.in_transaction:  # somebody was interrupted behind BEGIN, or ROLLBACK failed
            db.execute("ROLLBACK")
        if self._level != level:
            db.execute(f"PRAGMA synchronous={level}")
            self._level = level
        patiently(db, "BEGIN IMMEDIATE", self._busy_s())

    def _undo(self, db: sqlite3.Connection, commit: _Commit, error: BaseException) -> bool:
        """Undo this turn; False if all of the commit is undone with it (by a full disk, say)."""
        undone = False
        try:
            if commit.writes > 1 and db.in_transaction:
                with suppress(sqlite3.Error):
                    db.execute("ROLLBACK TO turn")
                    db.execute("RELEASE turn")
                    undone = True
        finally:
            if not undone:
                self._open = None
                with suppress(sqlite3.Error):
                    db.execute("ROLLBACK")
                commit.settle(_for_all(error))
        return undone

    def _commit(self, db: sqlite3.Connection) -> None:
        commit = self._open
        error: Exception | None = None
        if commit is None:
            return
        try:
            self._open = None
            db.execute("COMMIT")
        except sqlite3.Error as failed:
            error = failed
        finally:
            self._open = None
            # A failed COMMIT may have rolled back by itself already; an interrupted one is made
            # if no transaction is left.
            if error is not None or db.in_transaction:
                with suppress(sqlite3.Error):
                    db.execute("ROLLBACK")
                error = error or StoreUnavailable(detail="the commit was interrupted")
            commit.settle(error)


def patiently(db: sqlite3.Connection, statement: str, within_s: float) -> None:
    """Ask again, every POLL_S, as long as another connection holds what is asked for."""
    give_up = time.monotonic() + within_s
    while True:
        try:
            db.execute(statement)
            return
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > give_up:
                raise
            time.sleep(POLL_S)


def _still_open(db: sqlite3.Connection) -> None:
    if not db.in_transaction:
        raise StoreUnavailable(detail="the transaction was undone")


def _for_all(error: BaseException) -> BaseException:
    """What those are told whose writes were undone with one that failed."""
    if isinstance(error, sqlite3.Error | StoreUnavailable | DiskFull):
        return error
    return StoreUnavailable(detail="it was undone with another write")
