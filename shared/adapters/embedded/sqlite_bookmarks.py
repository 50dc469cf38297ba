"""Implements `Bookmarks` on SQLite."""

from shared.adapters.embedded.sqlite_database import Database


class SqliteBookmarks:
    def __init__(self, db: Database) -> None:
        self._db = db

    def get(self, name: str) -> str | None:
        with self._db.read() as db:
            row = db.execute("SELECT note FROM bookmarks WHERE name = ?", (name,)).fetchone()
        return row["note"] if row else None

    def move(self, name: str, seen: str | None, to: str) -> bool:
        with self._db.write() as db:
            if seen is None:
                moved = db.execute(
                    "INSERT INTO bookmarks VALUES (?, ?) ON CONFLICT (name) DO NOTHING", (name, to)
                )
            else:
                moved = db.execute(
                    "UPDATE bookmarks SET note = ? WHERE name = ? AND note = ?", (to, name, seen)
                )
            return moved.rowcount == 1
