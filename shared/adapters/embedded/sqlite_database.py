"""One SQLite file: connections, commits, migrations, and SQLite's errors in our words."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path

from shared.adapters.embedded.schema import MIGRATIONS
from shared.adapters.embedded.sqlite_commits import FULL, NORMAL, Commits, patiently
from shared.domain.moments import from_us as from_us
from shared.domain.moments import to_us as to_us
from shared.errors import DiskFull, InvalidSettings, StoreUnavailable

#: Milliseconds a commit waits for another process's before it is StoreUnavailable.
BUSY_MS = 5_000
#: Writes of one commit at most: what all that is heard at once has to say, and some more.
TOGETHER = 32


class Database:
    """A file shared by threads and processes; `:memory:` for tests.

    WAL with synchronous=FULL: what was committed survives a power cut (SQLite's
    documentation of WAL, "Performance Considerations"), but for what `write` was told may
    be undone. secure_delete overwrites what is deleted. Each thread reads over its own
    connection, and all write over one; in memory that one is the only one.
    """

    def __init__(self, path: Path | str) -> None:
        """Open or create the file and bring its schema up to date.

        Raises:
            InvalidSettings: the file was written by a newer version; nothing was changed.
            StoreUnavailable, DiskFull: opening again may help.
        """
        self.path = str(path)
        self._in_memory = self.path == ":memory:"
        self._local = threading.local()
        # In memory nobody may read what is not committed yet: there, each commits by itself.
        most = 1 if self._in_memory else TOGETHER
        self._commits = Commits(partial(_writer, self.path), most, lambda: BUSY_MS / 1000)
        self._migrate()

    def connection(self) -> sqlite3.Connection:
        """The one by which this thread reads, or writes right now."""
        writing = self._commits.mine()
        if writing is not None:
            return writing
        if self._in_memory:
            with self._commits.alone() as db:
                return db
        found: sqlite3.Connection | None = getattr(self._local, "db", None)
        if found is None:
            found = self._local.db = _connected(self.path)
        return found

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """One commit; inside another `write` of this thread it joins that one.

        Joining is how many writes share one fsync: `with db.write(): a(); b()`. Threads that write
        at the same time share one, too (`Commits`): it returns when its own is committed.
        Not `durable` saves the fsync where a power cut may undo the commit, because its
        effect is then made again: a message forgotten after it was sent is sent once more.
        Other processes see it at once, a kill does not undo it, and it survives as soon as
        any durable commit follows (the log is synced in order).
        """
        with translated(), self._commits.write(FULL if durable else NORMAL) as db:
            yield db

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Statements that change nothing; inside a `write` they see what it did."""
        with translated(), self._commits.alone() if self._in_memory else nullcontext():
            yield self.connection()

    def data_version(self) -> int:
        """A number that changes when another connection has committed."""
        with self.read() as db:
            version: int = db.execute("PRAGMA data_version").fetchone()[0]
            return version

    def truncate_log(self) -> None:
        """Move the log into the file and cut it to nothing, so that no page is as it was.

        Raises:
            StoreUnavailable: somebody has been reading for longer than BUSY_MS.
        """
        if self._in_memory:
            return
        with translated(), self._commits.alone() as db:
            db.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
            try:
                busy = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            finally:
                db.execute("PRAGMA busy_timeout = 0")
        if busy:
            raise StoreUnavailable(detail="the log is being read")

    def backup(self, to: Path) -> None:
        """Copy the whole store, consistently, while others go on writing."""
        with self.read() as db, sqlite3.connect(to) as target:
            db.backup(target)
        target.close()

    def close(self) -> None:
        """Close the connection that writes and the one by which this thread reads."""
        self._commits.close()
        db = getattr(self._local, "db", None)
        if db is not None:
            db.close()
            self._local.db = None

    def _migrate(self) -> None:
        with self.read() as db:
            version = schema_version(db)
        if version > len(MIGRATIONS):
            raise InvalidSettings(
                f"The store has schema version {version}; this Earwitness knows {len(MIGRATIONS)}."
                " Start the newer version again, or restore a backup made before the upgrade."
            )
        if version == len(MIGRATIONS):
            return
        with self.write() as db:
            # Another process may have migrated between the look and the lock.
            for step in MIGRATIONS[schema_version(db) :]:
                for statement in _statements(step):
                    db.execute(statement)
            db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def _connected(path: str) -> sqlite3.Connection:
    db = sqlite3.connect(
        path,
        timeout=BUSY_MS / 1000,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )
    db.row_factory = sqlite3.Row
    # Where several open a new file at once, SQLite does not wait for whoever begins its log
    # ("database is locked", whatever the timeout).
    patiently(db, "PRAGMA journal_mode=WAL", BUSY_MS / 1000)
    for pragma in ("synchronous=FULL", "secure_delete=ON"):
        db.execute(f"PRAGMA {pragma}")
    return db


def _writer(path: str) -> sqlite3.Connection:
    db = _connected(path)
    db.execute("PRAGMA busy_timeout = 0")  # `Commits` waits by itself
    return db


def schema_version(db: sqlite3.Connection) -> int:
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    return version


def _statements(script: str) -> Iterator[str]:
    """Split a migration; `executescript` would commit first and lose the transaction."""
    statement = ""
    for part in script.split(";"):
        statement += part + ";"
        if sqlite3.complete_statement(statement):
            if statement.strip(" \n;"):
                yield statement
            statement = ""


@contextmanager
def translated() -> Iterator[None]:
    """SQLite's errors in our words; what is neither busy nor full is a bug and stays itself."""
    try:
        yield
    except sqlite3.OperationalError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            raise DiskFull from error
        if code in _UNAVAILABLE:
            raise StoreUnavailable(detail=str(error)) from error
        raise


_UNAVAILABLE = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_PROTOCOL,  # several processes recover the log of a killed one at once
    }
)
